from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe import errors
from standpipe.wire import sse
from standpipe.wire.record import BodyForm, Usage
from standpipe.wire.summary import Summary, summarise

Json = dict[str, Any]

REQUEST = msgspec.json.encode(
    {
        "model": "m",
        "messages": [
            {"role": "user", "content": "x" * 8},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "y" * 4},
                    {"type": "image_url", "image_url": {"url": "data:" + "z" * 999}},
                ],
            },
        ],
    }
)
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def whole(**more: Any) -> Json:
    message = {"role": "assistant", "content": "hello"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c-1", "model": "m-2", "choices": [choice], **more}


def stream(*chunks: Json) -> bytes:
    return b"".join(sse.event(msgspec.json.encode(part)) for part in chunks)


def delta(content: str, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return {"id": "c-1", "model": "m-2", "choices": [choice]}


def read(body: Json | bytes, form: BodyForm = "json", status: int | None = 200) -> Summary:
    response = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return summarise(response, form, request=REQUEST, status=status)


def test_whole_answer_is_read() -> None:
    body = whole(usage=USAGE)
    assert read(body) == Summary("c-1", "stop", "m-2", Usage(1, 2, 3), "provider")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"service_tier": "flex", "id": "", "model": None},
        {"choices": []},
        {"usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0}}},
        {"usage": {**USAGE, "completion_tokens_details": {"reasoning_tokens": 2}, "cost": 0.1}},
        {
            "usage": {
                **USAGE,
                "total_tokens": 6,
                "completion_tokens_details": {"reasoning_tokens": 3},
            }
        },
        {"usage": {**USAGE, "prompt_cache_hit_tokens": 1, "cache_creation_input_tokens": 1}},
        {"usage": {"prompt_tokens": 10, "prompt_cache_miss_tokens": 4}},
    ],
)
def test_plain_answer_says_what_one_of_any_form_says(more: Json) -> None:
    body = {**whole(usage=USAGE), **more}
    # A number in another form is read from what a parser makes of the whole.
    odd = {
        **body,
        "usage": {**body["usage"], "prompt_tokens": float(body["usage"]["prompt_tokens"])},
    }
    assert msgspec.structs.replace(read(odd), completion=None) == read(body)


def test_stream_is_folded_and_its_usage_is_the_providers() -> None:
    events = stream(delta("a"), delta("b", "stop"), {"choices": [], "usage": USAGE})
    found = read(events, "sse")
    assert (found.completion_id, found.finish_reason, found.model) == ("c-1", "stop", "m-2")
    assert (found.usage, found.usage_source) == (Usage(1, 2, 3), "provider")
    assert found.completion is not None
    assert found.completion["choices"][0]["message"]["content"] == "ab"


def test_abandoned_stream_is_estimated_and_never_zero() -> None:
    found = read(stream(delta("abcde")), "sse")
    assert found.usage_source == "estimated"
    assert found.usage == Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)
    assert found.finish_reason is None


def test_reported_answer_without_usage_is_estimated() -> None:
    assert read(whole()).usage_source == "estimated"


def test_tool_calls_count_as_text() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "func", "arguments": "{  }"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    found = read({"choices": [{"message": message}]})
    assert found.usage is not None
    assert found.usage.completion_tokens == 2


def test_prompt_is_not_estimated_without_a_request() -> None:
    found = summarise(msgspec.json.encode(whole()), "json", request=None, status=None)
    assert found.usage == Usage(completion_tokens=2)


def test_answer_without_text_has_no_usage() -> None:
    found = read(stream(delta("")), "sse")
    assert (found.usage, found.usage_source) == (None, None)


@pytest.mark.parametrize("form", ["json", "sse"])
def test_our_own_error_body_is_read(form: BodyForm) -> None:
    body = errors.body(errors.NotFound("no such model"))
    found = read(body, form, status=404)
    assert found == Summary(error_message="no such model")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "over quota", "type": "x"}}, "over quota"),
        ({"error": {"code": 1}}, "unnamed error"),
        ({"message": "no", "code": "BAD_REQUEST"}, "no"),
        ({"error": "no"}, "no"),
        ({"error": None}, None),
    ],
)
def test_error_message_is_read_in_every_form(body: Json, message: str | None) -> None:
    assert read(body, status=400).error_message == message


def test_failed_stream_keeps_its_text_and_its_error() -> None:
    found = read(stream(delta("half"), {"error": {"message": "cut"}}), "sse")
    assert found.error_message == "cut"
    assert found.completion is not None
    assert found.usage_source == "estimated"


@pytest.mark.parametrize(
    "response",
    [None, b"", b"null", b"[]", b"{", b"\xff", b'"text"', b"{}", b'{"x":1}', b"[" * 99_999],
)
@pytest.mark.parametrize("form", ["json", "sse"])
def test_what_is_no_answer_says_nothing(response: bytes | None, form: BodyForm) -> None:
    assert summarise(response, form, request=b"{", status=200) == Summary()


@pytest.mark.parametrize(
    "body",
    [
        {"choices": []},
        {"choices": [1, None]},
        {"choices": [{"message": 1}]},
        {"choices": [{"message": {"content": 3, "tool_calls": [{"function": 1}]}}]},
        {"choices": [{"message": {"content": [{"text": 1}]}, "finish_reason": 5}], "id": 7},
    ],
)
def test_odd_completions_say_what_they_can(body: Json) -> None:
    found = read(body)
    assert (found.completion_id, found.finish_reason, found.usage) == (None, None, None)


@given(st.binary(max_size=100), st.sampled_from(["json", "sse"]), st.binary(max_size=40))
def test_junk_is_read_without_an_error(response: bytes, form: BodyForm, request: bytes) -> None:
    summarise(response, form, request=request, status=None)
