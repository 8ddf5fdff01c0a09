"""Anthropic's Messages API as its callers speak it, into OpenAI's form and back."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import (
    ApiError,
    BadRequest,
    Cut,
    Forbidden,
    NotFound,
    Refused,
    Silent,
    Unauthorized,
    Unavailable,
)
from standpipe.providers.anthropic.dialect import Anthropic
from standpipe.providers.dialect import Quirks
from standpipe.wire import chat
from standpipe.wire.messages_answer import error_body, from_openai_completion
from standpipe.wire.messages_api import to_openai_request
from standpipe.wire.messages_stream import MessagesEncoder

Json = dict[str, Any]

MARK = {"type": "ephemeral"}
TOOL: Json = {
    "name": "weather",
    "description": "Tells.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    "cache_control": MARK,
}
FULL: Json = {
    "model": "asked",
    "max_tokens": 9000,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": MARK}],
    "messages": [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Bonn"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "rain", "is_error": True},
                {"type": "text", "text": "And this?", "cache_control": MARK},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"},
                },
                {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
                {
                    "type": "document",
                    "title": "a",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                    "citations": {"enabled": True},
                },
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"},
                },
                {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}},
                {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
            ],
        },
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "stop_sequences": ["END"],
    "stream": True,
    "metadata": {"user_id": "u"},
    "service_tier": "standard_only",
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {
        "format": {
            "type": "json_schema",
            "schema": {"type": "object", "properties": {}, "additionalProperties": False},
        }
    },
}


def openai(body: Json, *, native: bool = False) -> Json:
    """Return the request, after the check that every request passes."""
    request = to_openai_request(body, native=native)
    chat.parse(json.dumps(request).encode())
    return request


def asked(*messages: Json, **fields: Any) -> Json:
    return {"model": "m", "max_tokens": 9, "messages": list(messages), **fields}


def user(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks)}


def test_request_comes_back_whole_at_a_target_that_speaks_messages() -> None:
    request = chat.parse(json.dumps(openai(FULL, native=True)).encode())
    sent = json.loads(Anthropic().prepare(request, "claude-sonnet-4-5", Quirks()).body)
    results = FULL["messages"][2]["content"]
    text = {"type": "text", "text": "rain"}
    expected = {**FULL, "model": "claude-sonnet-4-5", "messages": list(FULL["messages"])}
    expected["messages"][0] = user({"type": "text", "text": "Hi"})
    expected["messages"][2] = user({**results[0], "content": [text]}, *results[1:])
    assert sent == expected


def test_request_for_another_target_has_nothing_that_only_anthropic_reads() -> None:
    request = openai(FULL)
    assert "cache_control" not in json.dumps(request)
    assert "thinking" not in json.dumps(request)
    roles = [message["role"] for message in request["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "user"]
    assert request["messages"][0]["content"] == "Be brief."
    assert request["messages"][3]["content"] == "Error: rain"
    assert request["max_completion_tokens"] == 9000
    assert (request["stop"], request["user"]) == (["END"], "u")
    assert (request["parallel_tool_calls"], request["reasoning_effort"]) == (False, "low")
    assert request["stream_options"] == {"include_usage": True}
    assert request["response_format"]["json_schema"]["strict"] is True
    assert request["tools"][0]["function"]["parameters"] == TOOL["input_schema"]
    kinds = [part["type"] for part in request["messages"][4]["content"]]
    assert kinds == ["text", "image_url", "image_url", "file", "text", "file", "file"]


def test_images_in_a_tools_result_are_told_by_the_user() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}
    call = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    turns = [user({"type": "text", "text": "a"}), {"role": "assistant", "content": [call]}]
    request = openai(asked(*turns, user(result)))
    assert request["messages"][2] == {"role": "tool", "tool_call_id": "t", "content": []}
    assert request["messages"][3]["content"][0]["type"] == "image_url"


@pytest.mark.parametrize(
    ("choice", "put"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        (
            {"type": "tool", "name": "weather"},
            {"type": "function", "function": {"name": "weather"}},
        ),
    ],
)
def test_tool_choice_has_its_word(choice: Json, put: Any) -> None:
    body = asked(user({"type": "text", "text": "a"}), tools=[TOOL], tool_choice=choice)
    assert openai(body)["tool_choice"] == put


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"type": "enabled", "budget_tokens": 1024}, "low"),
        ({"type": "enabled", "budget_tokens": 8000}, "medium"),
        ({"type": "enabled", "budget_tokens": 32000}, "high"),
        ({"type": "adaptive"}, None),
        ({"type": "disabled"}, None),
    ],
)
def test_budget_becomes_the_nearest_effort(thinking: Json, effort: str | None) -> None:
    body = asked(user({"type": "text", "text": "a"}), thinking=thinking)
    assert openai(body).get("reasoning_effort") == effort
    assert openai(body, native=True)["thinking"] == thinking


def test_unknown_fields_tools_and_blocks_stay_to_be_refused_by_name() -> None:
    search = {"type": "web_search_20260318", "name": "web_search"}
    result = {"type": "search_result", "source": "s", "title": "t", "content": []}
    request = openai(asked(user(result), tools=[search], container="c"))
    assert request["tools"] == [search]
    assert request["messages"][0]["content"] == [result]
    assert request["container"] == "c"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        (asked(1), "messages[0]"),  # type: ignore[arg-type] # what a caller may send
        (asked({"role": "tool", "content": ""}), "messages[0].role"),
        (asked({"role": ["user"], "content": ""}), "messages[0].role"),
        (asked({"role": "user", "content": 1}), "messages[0].content"),
        (asked({"role": "user", "content": [1]}), "messages[0].content[0]"),
        (asked(user({"type": "text"})), "messages[0].content[0].text"),
        (asked(user({})), "messages[0].content[0].type"),
        (asked(user({"type": "image"})), "messages[0].content[0].source"),
        (
            asked(user({"type": "image", "source": {"type": "x"}})),
            "messages[0].content[0].source.type",
        ),
        (
            asked(user({"type": "document", "source": {"type": "text"}})),
            "messages[0].content[0].source.data",
        ),
        (asked(user({"type": "tool_result"})), "messages[0].content[0].tool_use_id"),
        (
            asked({"role": "assistant", "content": [{"type": "server_tool_use"}]}),
            "messages[0].content[0].type",
        ),
        (
            asked({"role": "assistant", "content": [{"type": "tool_use", "input": 1}]}),
            "messages[0].content[0].name",
        ),
        (asked(system=1), "system"),
        (asked(tools=1), "tools"),
        (asked(tools=[1]), "tools[0]"),
        (asked(tool_choice={"type": "x"}), "tool_choice.type"),
        (asked(output_config={"format": 1}), "output_config.format"),
        (asked(thinking=1), "thinking"),
        (asked(metadata=1), "metadata"),
    ],
)
def test_wrong_request_is_refused_by_name(body: Json, param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        to_openai_request(body)
    assert raised.value.param == param


KEYS = (
    "role", "content", "type", "text", "source", "input", "name", "id", "index", "delta",
    "finish_reason", "tool_calls", "message", "function", "usage",
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner | st.sampled_from(["user", "assistant", "text", "image", "tool_use", "stop"]),
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(sorted(FULL)), json_values))
def test_no_request_crashes(body: Json) -> None:
    for native in (False, True):
        with contextlib.suppress(BadRequest):
            to_openai_request(body, native=native)


@given(st.lists(json_values, max_size=3), json_values)
def test_no_completion_or_chunk_crashes(choices: list[Any], part: Any) -> None:
    body = {"choices": choices, "usage": part}
    from_openai_completion(body, "m")
    from_openai_completion({"choices": [{"message": part, "finish_reason": part}]}, "m")
    encoder = MessagesEncoder("m")
    encoder.feed(body)
    encoder.feed({"choices": [{"index": 0, "delta": part, "finish_reason": part}]})
    encoder.finish()


def completion(message: Json, finish: str = "stop", **choice: Any) -> Json:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_creation_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    choices = [{"index": 0, "message": message, "finish_reason": finish, **choice}]
    return {"id": "c1", "choices": choices, "usage": usage}


def test_completion_becomes_a_message() -> None:
    call = {
        "id": "t",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Bonn"}'},
    }
    said = {"role": "assistant", "content": "Hm.", "reasoning_content": "t", "tool_calls": [call]}
    message = from_openai_completion(completion(said, "tool_calls"), "asked")
    assert message == {
        "id": "c1",
        "type": "message",
        "role": "assistant",
        "model": "asked",
        "content": [
            {"type": "thinking", "thinking": "t", "signature": ""},
            {"type": "text", "text": "Hm."},
            {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Bonn"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 5,
            "output_tokens": 5,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 3,
            "output_tokens_details": {"thinking_tokens": 1},
        },
    }


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("function_call", "tool_use"),
        ("content_filter", "refusal"),
        (None, "end_turn"),
    ],
)
def test_finish_reason_has_its_word(finish: str, stop: str) -> None:
    message = from_openai_completion(completion({"content": "a"}, finish), "m")
    assert message["stop_reason"] == stop


def test_refusal_is_told_with_its_category() -> None:
    told = completion(
        {"content": None, "refusal": "No."},
        "content_filter",
        content_filter_results={"cyber": {"filtered": True}},
    )
    message = from_openai_completion(told, "m")
    assert message["content"] == [{"type": "text", "text": "No."}]
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    assert message["stop_details"] == details


def test_sequence_that_stopped_the_answer_is_told() -> None:
    message = from_openai_completion(completion({"content": "a"}, stop_reason="END"), "m")
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")


def test_arguments_that_are_no_object_are_kept() -> None:
    call = {"id": "t", "function": {"name": "f", "arguments": '{"a": '}}
    message = from_openai_completion(completion({"tool_calls": [call]}), "m")
    assert message["content"][0]["input"] == {"raw_arguments": '{"a": '}


def events(*deltas: Json, finish: str | None = "stop", usage: Json | None = None) -> list[Json]:
    encoder = MessagesEncoder("asked")
    out = b""
    for delta in deltas:
        out += encoder.feed({"id": "c1", "choices": [{"index": 0, "delta": delta}]})
    out += encoder.feed({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    out += encoder.feed({"choices": [], "usage": usage})
    out += encoder.finish()
    named = [event.split(b"\ndata: ") for event in out.split(b"\n\n")[:-1]]
    told = [json.loads(data) for _, data in named]
    assert [name for name, _ in named] == [b"event: " + event["type"].encode() for event in told]
    return told


def test_chunks_become_blocks_one_after_another() -> None:
    call = {"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}
    told = events(
        {"role": "assistant", "content": ""},
        {"reasoning_content": "h"},
        {"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "h", "signature": "s"}]},
        {"thinking_blocks": [{"index": 1, "type": "redacted_thinking", "data": "d"}]},
        {"content": "a"},
        {"content": "b"},
        {"tool_calls": [call]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{**call, "index": 1, "id": "t2"}]},
        finish="tool_calls",
        usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    )
    assert told[0]["message"]["id"] == "c1"
    starts = [
        event["content_block"]["type"] for event in told if event["type"] == "content_block_start"
    ]
    assert starts == ["thinking", "redacted_thinking", "text", "tool_use", "tool_use"]
    signed = {"type": "signature_delta", "signature": "s"}
    assert {"type": "content_block_delta", "index": 0, "delta": signed} in told
    open_blocks: list[int] = []
    for event in told:
        if event["type"] == "content_block_start":
            assert not open_blocks
            open_blocks.append(event["index"])
        elif event["type"] == "content_block_stop":
            assert open_blocks.pop() == event["index"]
    assert told[-2]["delta"]["stop_reason"] == "tool_use"
    assert (told[-2]["usage"]["input_tokens"], told[-2]["usage"]["output_tokens"]) == (3, 2)
    assert told[-1] == {"type": "message_stop"}


def test_refusal_in_a_stream_is_told_and_explained() -> None:
    told = events({"refusal": "N"}, {"refusal": "o."}, finish="content_filter")
    assert told[-2]["delta"]["stop_details"]["explanation"] == "No."


def test_only_the_first_choice_is_told() -> None:
    encoder = MessagesEncoder("m")
    out = encoder.feed({"choices": [{"index": 1, "delta": {"content": "other"}}]})
    assert b"other" not in out


def test_stream_that_failed_ends_in_an_error_event() -> None:
    event = MessagesEncoder("m").fail(Cut("it broke"))
    assert event.startswith(b"event: error\ndata: ")
    assert b"it broke" in event


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("x"), "invalid_request_error"),
        (Unauthorized("x"), "authentication_error"),
        (Forbidden("x"), "permission_error"),
        (NotFound("x"), "not_found_error"),
        (Refused(429, "TOO_MANY_REQUESTS", "x"), "rate_limit_error"),
        (Refused(418, "BAD_REQUEST", "x"), "invalid_request_error"),
        (Cut("x"), "api_error"),
        (Unavailable("x"), "overloaded_error"),
        (Silent("x"), "timeout_error"),
    ],
)
def test_error_has_anthropics_type(error: ApiError, kind: str) -> None:
    body = error_body(error, "r1")
    assert body["error"] == {"type": kind, "message": "x"}
    assert (body["type"], body["request_id"]) == ("error", "r1")
