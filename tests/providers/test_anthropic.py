"""Anthropic's dialect: what each field becomes, what is refused, what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from standpipe.errors import BadRequest, NotACompletion
from standpipe.providers.anthropic import models
from standpipe.providers.anthropic.dialect import Anthropic
from standpipe.providers.anthropic.schema import enforced, gaps
from standpipe.providers.dialect import Quirks
from standpipe.wire import chat

Json = dict[str, Any]

DIALECT = Anthropic()
QUIRKS = Quirks()
OLD, NEW = "claude-sonnet-4-5-20250929", "claude-opus-5-5"
SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def request(**fields: Any) -> chat.ChatRequest:
    body = {"model": "asked", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return chat.parse(json.dumps(body).encode())


def sent(model: str = NEW, **fields: Any) -> Json:
    body: Json = json.loads(DIALECT.prepare(request(**fields), model, QUIRKS).body)
    return body


def said(*content: Json, role: str = "user", **more: Any) -> list[Json]:
    turns: list[Json] = sent(messages=[{"role": role, "content": list(content), **more}])[
        "messages"
    ]
    return turns


def refused(model: str = NEW, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as raised:
        sent(model, **fields)
    return raised.value


def asking_schema(schema: Json = SCHEMA, *, strict: bool = True) -> Json:
    form = {"name": "thing", "schema": schema, "strict": strict}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def tool(name: str = "f", **function: Any) -> Json:
    return {"type": "function", "function": {"name": name, **function}}


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-opus-5-5", (5, 5)),
        ("claude-haiku-4-5-20251001", (4, 5)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-opus-4@20250514", (4, 0)),
        ("claude-4-opus-20250514", (4, 0)),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", (4, 1)),
        ("claude-3-5-sonnet-latest", (3, 5)),
        ("claude-3-opus", (3, 0)),
        ("claude-instant-1.2", (1, 2)),
        ("claude-fable-5", (5, 0)),
        ("claude-mythos-preview", (99, 0)),
        ("MiniMax-M2", (0, 0)),
    ],
)
def test_generation_is_read_from_the_name(model: str, version: tuple[int, int]) -> None:
    assert models.version(model) == version


def test_system_is_gathered_from_anywhere_and_empty_texts_are_left_out() -> None:
    messages = [
        {"role": "system", "content": ""},
        {"role": "user", "content": "Hi"},
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "again"},
    ]
    body = sent(messages=messages)
    assert body["system"] == [{"type": "text", "text": "Be brief."}]
    texts = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "again"}]
    assert body["messages"] == [{"role": "user", "content": texts}]


def test_request_without_a_user_is_refused_by_name() -> None:
    assert refused(messages=[{"role": "system", "content": "Be brief."}]).param == "messages"


def test_cache_marks_pass_on_parts_tools_messages_and_results() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    marked = {"type": "text", "text": "a", "cache_control": mark}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    body = sent(
        messages=[
            {"role": "system", "content": [marked]},
            {"role": "user", "content": "a", "cache_control": mark},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "", "cache_control": mark},
        ],
        tools=[{**tool(), "cache_control": mark}],
    )
    assert body["system"] == [marked]
    assert body["messages"][0]["content"] == [marked]
    assert body["messages"][1]["content"][0]["input"] == {}
    result = {"type": "tool_result", "tool_use_id": "c", "cache_control": mark}
    assert body["messages"][2]["content"] == [result]
    assert body["tools"][0]["cache_control"] == mark


def test_unknown_keys_of_a_part_reach_the_provider() -> None:
    [turn] = said({"type": "text", "text": "a", "x_new": [1]})
    assert turn["content"] == [{"type": "text", "text": "a", "x_new": [1]}]


def test_thoughts_go_back_signed_and_first() -> None:
    blocks = [
        {"index": 0, "type": "thinking", "thinking": "t", "signature": "s"},
        {"index": 1, "type": "redacted_thinking", "data": "d"},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
    ]
    turns = sent(
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Ho", "thinking_blocks": blocks},
        ]
    )["messages"]
    assert turns[1]["content"] == [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "Ho"},
    ]


def test_refusal_of_the_assistant_is_said_as_text() -> None:
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "refusal": "No."},
    ]
    assert sent(messages=messages)["messages"][1]["content"] == [{"type": "text", "text": "No."}]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "ftp://x"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,abc"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,A"}}, "image_url.url"),
        ({"type": "file", "file": {}}, "file"),
        ({"type": "file", "file": {"file_data": "data:a/b;base64,QQ=="}}, "file.file_data"),
        ({"type": "file", "file": {"file_data": "data:text/csv;base64,/w=="}}, "file.file_data"),
        ({"type": "video_url", "video_url": {}}, "type"),
    ],
)
def test_part_that_cannot_be_said_is_refused_by_name(part: Json, param: str) -> None:
    assert refused(messages=[{"role": "user", "content": [part]}]).param == (
        f"messages[0].content[0].{param}"
    )


@pytest.mark.parametrize("arguments", ["{", "[]", "1", "null", "[" * 5000])
def test_call_whose_arguments_are_no_object_is_refused_by_name(arguments: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]}]
    assert refused(messages=messages).param == "messages[1].tool_calls[0].function.arguments"


def test_audio_of_an_earlier_turn_is_refused_by_name() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "audio": {"id": "x"}}]
    assert refused(messages=messages).param == "messages[1].audio"


@pytest.mark.parametrize(
    ("choice", "put"),
    [
        ("none", {"type": "none"}),
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)
def test_tool_choice_has_its_word(choice: Any, put: Json) -> None:
    body = sent(tools=[tool()], tool_choice=choice)
    assert body["tool_choice"] == put
    alone = sent(tools=[tool()], tool_choice=choice, parallel_tool_calls=False)["tool_choice"]
    assert alone.get("disable_parallel_tool_use", False) is (choice != "none")


def test_choice_without_tools_is_not_sent() -> None:
    assert "tool_choice" not in sent(tool_choice="none", parallel_tool_calls=False)


def test_zero_is_sent() -> None:
    body = sent(temperature=0, top_p=0.0)
    assert (body["temperature"], body["top_p"]) == (0, 0.0)


def test_limit_is_the_callers_or_large_enough() -> None:
    assert sent(max_tokens=5)["max_tokens"] == 5
    assert sent(max_tokens=5, max_completion_tokens=6)["max_tokens"] == 6
    assert sent(OLD)["max_tokens"] == 4096
    assert sent(NEW)["max_tokens"] == 16384


@pytest.mark.parametrize("effort", sorted(models.BUDGETS))
def test_older_model_gets_a_budget_that_fits_the_limit(effort: str) -> None:
    for limit in (1025, 3000, 60000, None):
        fields = {} if limit is None else {"max_completion_tokens": limit}
        body = sent(OLD, reasoning_effort=effort, **fields)
        assert 1024 <= body["thinking"]["budget_tokens"] < body["max_tokens"]
    assert refused(OLD, reasoning_effort=effort, max_tokens=1024).param == "max_tokens"


def test_newer_model_gets_an_effort() -> None:
    body = sent(reasoning_effort="xhigh", max_tokens=10)
    assert body["output_config"] == {"effort": "xhigh"}
    assert body["thinking"]["type"] == "adaptive"


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        (OLD, None),
        ("claude-opus-5", {"type": "disabled"}),
        ("claude-sonnet-5-5", {"type": "between_tools"}),
    ],
)
def test_no_thinking_is_said_as_the_model_knows_it(model: str, thinking: Json | None) -> None:
    assert sent(model, reasoning_effort="none").get("thinking") == thinking


def test_unknown_effort_and_tier_are_refused_by_name() -> None:
    assert refused(reasoning_effort="huge").param == "reasoning_effort"
    assert refused(service_tier="flex").param == "service_tier"


def test_fields_of_anthropics_own_pass() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    body = sent(OLD, thinking=thinking, top_k=5, container=None)
    assert (body["thinking"], body["top_k"]) == (thinking, 5)
    assert "container" not in body


def test_effort_and_schema_share_the_output_config() -> None:
    config = sent(reasoning_effort="low", **asking_schema())["output_config"]
    assert config["effort"] == "low"
    assert config["format"]["schema"] == {**SCHEMA, "additionalProperties": False}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "integer", "minimum": 1},
        {"type": "string", "maxLength": 3},
        {"type": "string", "format": "regex"},
        {"type": "string", "format": ["uri"]},
        {"type": "array", "items": {}, "minItems": 2},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object"},
        {"$ref": "https://x.test/schema"},
        {"oneOf": [{"type": "string"}]},
        {"anyOf": [{"not": {}}]},
    ],
)
def test_strict_schema_that_cannot_be_enforced_is_refused_by_name(part: Json) -> None:
    schema = {"type": "object", "properties": {"a": part}}
    error = refused(**asking_schema(schema))
    assert str(error.param).startswith("response_format.json_schema.schema.properties.a")
    parameters = refused(tools=[tool(strict=True, parameters=schema)])
    assert str(parameters.param).startswith("tools[0].function.parameters.properties.a")
    assert gaps(schema)


def test_names_of_properties_are_no_keywords() -> None:
    schema: Json = {
        "type": "object",
        "properties": {"minimum": {"type": "integer"}, "items": {"type": "string"}},
        "$defs": {"not": {"type": "object", "properties": {}}},
    }
    assert gaps(schema) == []
    assert enforced(schema, ())["$defs"]["not"]["additionalProperties"] is False
    assert "additionalProperties" not in schema


def test_schema_that_is_too_deep_is_refused() -> None:
    schema: Json = {"type": "string"}
    for _ in range(80):
        schema = {"type": "array", "items": schema}
    with pytest.raises(BadRequest, match="levels"):
        enforced(schema, ("schema",))


def test_schema_that_is_not_strict_is_asked_for_in_words_where_it_cannot_be_enforced() -> None:
    body = sent(**asking_schema({"type": "object", "minProperties": 1}, strict=False))
    assert "output_config" not in body
    assert '"minProperties":1' in body["system"][0]["text"]
    assert "output_config" in sent(**asking_schema(strict=False))


def test_json_object_is_asked_for_in_words() -> None:
    assert "JSON object" in sent(response_format={"type": "json_object"})["system"][-1]["text"]


@pytest.mark.parametrize(
    ("fields", "choice", "names"),
    [
        ({}, {"type": "tool", "name": "thing"}, ["thing"]),
        ({"tools": [tool()]}, {"type": "any"}, ["f", "thing"]),
        (
            {"tools": [tool()], "parallel_tool_calls": False},
            {"type": "any", "disable_parallel_tool_use": True},
            ["f", "thing"],
        ),
        (
            {"tools": [tool()], "tool_choice": "none"},
            {"type": "tool", "name": "thing"},
            ["f", "thing"],
        ),
        ({"tools": [tool()], "tool_choice": "required"}, {"type": "any"}, ["f"]),
    ],
)
def test_older_model_answers_a_schema_by_a_tool(
    fields: Json, choice: Json, names: list[str]
) -> None:
    body = sent("claude-3-5-haiku-20241022", **fields, **asking_schema())
    assert body["tool_choice"] == choice
    assert [offered["name"] for offered in body["tools"]] == names


def test_schema_named_like_a_tool_is_refused_on_an_older_model() -> None:
    error = refused("claude-3-opus", tools=[tool("thing")], **asking_schema())
    assert error.param == "response_format.json_schema.name"


def test_call_beside_the_answer_by_a_tool_stays_a_call() -> None:
    content = [
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "t2", "name": "thing", "input": {"a": "b"}},
    ]
    body = json.dumps({"content": content, "stop_reason": "tool_use"}).encode()
    call = request(tools=[tool()], **asking_schema())
    choice = json.loads(DIALECT.completion(body, call).body)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert [made["id"] for made in choice["message"]["tool_calls"]] == ["t1"]
    assert choice["message"]["content"] == '{"a":"b"}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"content":null}',
        b'{"type":"error","error":{"message":"no"}}',
    ],
)
def test_answer_that_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(NotACompletion):
        DIALECT.completion(body, request())


def test_answer_with_nothing_in_it_has_no_invented_usage() -> None:
    told = json.loads(DIALECT.completion(b'{"content":[1,{},{"type":"new"}]}', request()).body)
    assert "usage" not in told
    assert told["choices"][0]["message"]["content"] is None
    assert told["choices"][0]["finish_reason"] == "stop"
