"""Gemini's dialect, held to the laws over its recorded exchanges."""

from __future__ import annotations

import contextlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import ApiError, BadRequest, Cut, KeyRefused, NotACompletion, Refused
from standpipe.providers.dialect import Quirks
from standpipe.providers.gemini.dialect import FIDELITY, Gemini
from standpipe.providers.gemini.request import NO_SIGNATURE
from standpipe.wire import chat, fold
from standpipe.wire.features import FEATURES

DIALECT = Gemini()
QUIRKS = Quirks()
EXCHANGES = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "exchanges" / "gemini").glob("*.json"))
}
every_exchange = pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)


def request(**fields: Any) -> chat.ChatRequest:
    body = {"model": "asked", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return chat.parse(json.dumps(body).encode())


def asked(exchange: dict[str, Any], *, stream: bool = False) -> chat.ChatRequest:
    body = dict(exchange["request"])
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return chat.parse(json.dumps(body).encode())


def sent(call: chat.ChatRequest, model: str = "gemini-3.5-flash") -> dict[str, Any]:
    body: dict[str, Any] = json.loads(DIALECT.prepare(call, model, QUIRKS).body)
    return body


def events(exchange: dict[str, Any]) -> bytes:
    """Return a stream as Gemini writes it: line ends of two characters, no last event."""
    return b"".join(
        b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\r\n\r\n"
        for event in exchange["events"]
    )


def relay(call: chat.ChatRequest, data: bytes, *cuts: int) -> tuple[bytes, Any]:
    """Return what a stream becomes when it comes cut at these offsets, and its decoder."""
    decoder = DIALECT.decoder(call, QUIRKS)
    out = b""
    for start, end in itertools.pairwise([0, *sorted(cuts), len(data)]):
        if start < end:
            out += decoder.feed(data[start:end])
    decoder.close()
    return out, decoder


def whole(call: chat.ChatRequest, answer: object) -> dict[str, Any]:
    body = DIALECT.completion(json.dumps(answer).encode(), call).body
    completion: dict[str, Any] = json.loads(body)
    return completion


@every_exchange
def test_request_is_put_as_recorded(exchange: dict[str, Any]) -> None:
    outgoing = DIALECT.prepare(asked(exchange), exchange["model"], QUIRKS)
    assert outgoing.path == exchange["path"]
    assert json.loads(outgoing.body) == exchange["sent"]


@every_exchange
def test_whole_answer_is_read_as_recorded(exchange: dict[str, Any]) -> None:
    answer = DIALECT.completion(json.dumps(exchange["answer"]).encode(), asked(exchange))
    assert json.loads(answer.body) == exchange["completion"]
    assert answer.provider_model == exchange["provider_model"]


@every_exchange
def test_stream_folds_to_the_whole_answer(exchange: dict[str, Any]) -> None:
    out, decoder = relay(asked(exchange, stream=True), events(exchange))
    folded = fold.fold_stream(out)
    assert folded.completion == exchange["completion"]
    assert folded.finished
    assert folded.error is None
    assert decoder.completion_id == exchange["completion"]["id"]
    assert decoder.provider_model == exchange["provider_model"]
    assert json.loads(bytes(decoder.usage)) == exchange["completion"]["usage"]


@every_exchange
def test_stream_cut_into_single_bytes_or_two_pieces_is_the_same(exchange: dict[str, Any]) -> None:
    data, call = events(exchange), asked(exchange, stream=True)
    expected, _ = relay(call, data)
    assert relay(call, data, *range(len(data)))[0] == expected
    for cut in range(len(data)):
        assert relay(call, data, cut)[0] == expected


@every_exchange
def test_stream_that_ends_early_is_cut(exchange: dict[str, Any]) -> None:
    data, call = events(exchange), asked(exchange, stream=True)
    # Behind the last line only the blank one is missing; it is no end either.
    for end in range(len(data)):
        decoder = DIALECT.decoder(call, QUIRKS)
        decoder.feed(data[:end])
        with pytest.raises(Cut):
            decoder.close()


@every_exchange
def test_nothing_given_is_changed_and_the_same_comes_out_twice(exchange: dict[str, Any]) -> None:
    call, again = asked(exchange, stream=True), asked(exchange, stream=True)
    first = DIALECT.prepare(call, exchange["model"], QUIRKS)
    assert DIALECT.prepare(call, exchange["model"], QUIRKS) == first
    assert call == again
    assert relay(call, events(exchange))[0] == relay(call, events(exchange))[0]


@every_exchange
def test_first_chunk_of_each_choice_opens_it(exchange: dict[str, Any]) -> None:
    out, _ = relay(asked(exchange, stream=True), events(exchange))
    chunks = [json.loads(event[6:]) for event in out.decode().split("\n\n") if event]
    assert {chunk["model"] for chunk in chunks} == {"asked"}
    seen: set[int] = set()
    for chunk in chunks:
        for choice in chunk["choices"]:
            is_first = choice["index"] not in seen
            assert (choice["delta"].get("role") == "assistant") is is_first
            seen.add(choice["index"])
    assert [chunk["choices"] for chunk in chunks if "usage" in chunk] == [[]]
    assert "usage" in chunks[-1]


@every_exchange
def test_usage_is_not_sent_to_a_caller_who_did_not_ask(exchange: dict[str, Any]) -> None:
    call = chat.parse(json.dumps({**exchange["request"], "stream": True}).encode())
    out, decoder = relay(call, events(exchange))
    assert b'"usage"' not in out
    assert decoder.usage is not None


def test_every_feature_has_its_word() -> None:
    assert set(FIDELITY) == set(FEATURES)


@pytest.mark.parametrize("name", [name for name, word in FIDELITY.items() if word == "native"])
def test_native_feature_can_be_sent(name: str) -> None:
    call = request(**FEATURES[name])
    assert sent(call)["contents"]


def test_stream_is_asked_for_by_the_path() -> None:
    outgoing = DIALECT.prepare(request(stream=True), "gemini-3.5-flash", QUIRKS)
    assert outgoing.path == "/models/gemini-3.5-flash:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("tunedModels/mine-1", "/tunedModels/mine-1:generateContent"),
        ("../x?key=1#", "/models/..%2Fx%3Fkey%3D1%23:generateContent"),
    ],
)
def test_model_cannot_leave_its_place_in_the_path(model: str, path: str) -> None:
    assert DIALECT.prepare(request(), model, QUIRKS).path == path


def test_key_goes_in_its_own_header_and_nowhere_else() -> None:
    headers = DIALECT.headers("AIza-secret")
    assert (b"x-goog-api-key", b"AIza-secret") in headers
    assert sum(b"AIza-secret" in value for _, value in headers) == 1
    assert not any(name == b"x-goog-api-key" for name, _ in DIALECT.headers(None))
    assert "AIza-secret" not in repr(DIALECT)


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "f"}},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_tool_choice_is_a_mode(choice: object, config: object) -> None:
    body = sent(request(tools=[TOOL], tool_choice=choice))
    assert body["toolConfig"] == {"functionCallingConfig": config}


def test_call_without_a_signature_gets_the_one_that_stands_for_none() -> None:
    history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "d"}]},
    ]
    first, second = sent(request(messages=history))["contents"][1]["parts"]
    assert first["thoughtSignature"] == NO_SIGNATURE
    assert "thoughtSignature" not in second
    old = sent(request(messages=history), "gemini-2.5-pro")["contents"][1]["parts"]
    assert not any("thoughtSignature" in part for part in old)


def test_answer_can_be_given_back_as_it_came() -> None:
    exchange = EXCHANGES["media"]
    message = exchange["completion"]["choices"][0]["message"]
    call = request(messages=[{"role": "user", "content": "Draw."}, message])
    assert (
        sent(call)["contents"][1]["parts"]
        == exchange["answer"]["candidates"][0]["content"]["parts"]
    )
    odd = {**message, "images": [1, {"image_url": {"url": "https://x.test/a.png"}}]}
    parts = sent(request(messages=[odd]))["contents"][0]["parts"]
    assert parts == [{"text": "A cat."}]


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-2.5-flash", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "high", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-flash-latest", "xhigh", {"thinkingLevel": "XHIGH", "includeThoughts": True}),
    ],
)
def test_effort_is_a_budget_or_a_level(model: str, effort: str, config: object) -> None:
    body = sent(request(reasoning_effort=effort), model)
    assert body["generationConfig"]["thinkingConfig"] == config


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("stop", {"stop": ["a", "b", "c", "d", "e", "f"]}),
        ("n", {"n": 9}),
        ("seed", {"seed": 2**40}),
        ("reasoning_effort", {"reasoning_effort": "none"}),
        ("service_tier", {"service_tier": "scale"}),
        ("modalities", {"modalities": ["text", "audio"]}),
        ("tools[0].type", {"tools": [{"type": "custom", "custom": {"name": "c"}}]}),
        ("response_format.type", {"response_format": {"type": "regex", "regex": "a"}}),
        (
            "messages[1].tool_calls[0].function.arguments",
            {
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {
                        "role": "assistant",
                        "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{bad"}}],
                    },
                ]
            },
        ),
        (
            "messages[0].content[0].image_url.url",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "ftp://x/a.png"}}],
                    }
                ]
            },
        ),
        (
            "messages[0].content[0].file",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}
                ]
            },
        ),
        (
            "messages[0].content[0].type",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "x"}}]}
                ]
            },
        ),
    ],
)
def test_value_that_cannot_be_said_is_refused_by_name(param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        sent(request(**fields))
    assert caught.value.param == param


def test_images_of_little_detail_are_seen_so_only_if_all_are() -> None:
    low = {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}}
    auto = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    body = sent(request(messages=[{"role": "user", "content": [low, low]}]))
    assert body["generationConfig"] == {"mediaResolution": "MEDIA_RESOLUTION_LOW"}
    assert "generationConfig" not in sent(
        request(messages=[{"role": "user", "content": [low, auto]}])
    )


STRICT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"const": "a", "default": "a"},
        "many": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    },
    "required": ["kind", "many"],
    "additionalProperties": False,
}


def schema(body: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    wanted = {"name": "s", "strict": strict, "schema": body}
    call = request(response_format={"type": "json_schema", "json_schema": wanted})
    found: dict[str, Any] = sent(call)["generationConfig"]["responseJsonSchema"]
    return found


def test_schema_that_gemini_holds_an_answer_to_is_sent() -> None:
    put = schema(STRICT, strict=True)
    assert put["properties"]["kind"] == {"enum": ["a"], "default": "a"}
    assert {**put, "properties": 0} == {**STRICT, "properties": 0}
    assert put["properties"]["many"] == STRICT["properties"]["many"]


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"type": "string", "pattern": "a+"}, "pattern"),
        ({"type": "array", "items": {"type": "string", "minLength": 2}}, "items.minLength"),
        ({"anyOf": [{"type": "null"}, {"not": {}}]}, "anyOf[1].not"),
        ({"const": None}, "const"),
    ],
)
def test_strict_schema_that_would_not_hold_is_refused_by_name(
    part: dict[str, Any], place: str
) -> None:
    body = {"type": "object", "properties": {"x": part}}
    with pytest.raises(BadRequest) as caught:
        schema(body, strict=True)
    assert caught.value.param == f"response_format.json_schema.schema.properties.x.{place}"
    assert schema(body, strict=False) == body


def candidate(reason: str | None = "STOP", *parts: object, **more: object) -> dict[str, Any]:
    content = {"content": {"parts": list(parts), "role": "model"}}
    return {"candidates": [{**content, "finishReason": reason, **more}], "responseId": "r"}


@pytest.mark.parametrize(
    "reason",
    ["RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "OTHER", "SOME_NEW_ONE"],
)
def test_answer_that_was_stopped_is_no_success(reason: str) -> None:
    choice = whole(request(), candidate(reason, {"text": "Fir"}))["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert choice["native_finish_reason"] == reason
    assert choice["message"]["content"] == "Fir"


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "MISSING_THOUGHT_SIGNATURE"])
def test_failure_of_the_model_is_an_error(reason: str) -> None:
    answer = candidate(reason, finishMessage="the call was print(f())")
    with pytest.raises(NotACompletion, match="the call was"):
        whole(request(), answer)
    with pytest.raises(Cut, match=reason):
        relay(request(stream=True), b"data: " + json.dumps(answer).encode() + b"\n\n")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no",
        b"[]",
        b"{}",
        b'{"candidates":[]}',
        b'{"candidates":[{"content":{}}]}',
        b'{"candidates":null,"promptFeedback":{}}',
        b'{"error":{"code":500,"message":"no"}}',
        b'\xff{"candidates":[]}',
        b"[" * 5000,
    ],
)
def test_what_is_no_answer_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(NotACompletion):
        DIALECT.completion(body, request())


@pytest.mark.parametrize("time", ["", "soon", "0001-01-01", "9999-12-31T23:59:59", 5, None])
def test_odd_time_is_no_time(time: object) -> None:
    answer = {**candidate("STOP", {"text": "Hi"}), "createTime": time}
    assert isinstance(whole(request(), answer)["created"], int)


def test_answer_without_an_id_gets_the_same_one_each_time() -> None:
    answer = candidate("STOP", {"text": "Hi"})
    del answer["responseId"]
    first = whole(request(), answer)["id"]
    assert first.startswith("chatcmpl-")
    assert whole(request(), answer)["id"] == first


_SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | st.text(max_size=4)
_NAMES = st.sampled_from(
    [
        "candidates", "content", "parts", "text", "functionCall", "args", "name", "id", "index",
        "finishReason", "usageMetadata", "promptTokenCount", "promptFeedback", "blockReason",
        "safetyRatings", "logprobsResult", "chosenCandidates", "topCandidates", "token", "error",
        "inlineData", "mimeType", "thoughtSignature", "responseId", "createTime", "message",
    ]
)  # fmt: skip
_FLAT = st.dictionaries(_NAMES, _SCALARS, max_size=3) | st.lists(_SCALARS, max_size=2) | _SCALARS
_TREES = st.dictionaries(_NAMES, _FLAT, max_size=3) | st.lists(_FLAT, max_size=3) | _FLAT
_ANSWERS = st.dictionaries(_NAMES, _TREES, max_size=4) | st.builds(
    lambda parts, more: {"candidates": [{"content": {"parts": parts}, **more}]},
    st.lists(st.dictionaries(_NAMES, _FLAT, max_size=3), max_size=3),
    st.dictionaries(_NAMES, _TREES, max_size=3),
)


@given(_ANSWERS)
def test_unknown_answer_is_read_or_refused(answer: dict[str, Any]) -> None:
    with contextlib.suppress(NotACompletion):
        assert whole(request(), answer)["choices"]
    with contextlib.suppress(Cut):
        relay(request(stream=True), b"data: " + json.dumps(answer).encode() + b"\n\n")


OVERLOADED = b'{\n  "error": {\n    "code": 503,\n    "message": "Overloaded.",\n    "status": "UNAVAILABLE"\n  }\n}\n'  # noqa: E501
TEXT = EXCHANGES["text"]


@pytest.mark.parametrize(
    "tail",
    [
        OVERLOADED,
        b"data: " + OVERLOADED.replace(b"\n", b"") + b"\r\n\r\n",
        b"[" + OVERLOADED + b"]",
    ],
    ids=["bare", "event", "array"],
)
@pytest.mark.parametrize("ended", [False, True])
def test_error_inside_a_stream_is_seen_in_any_form(tail: bytes, ended: bool) -> None:
    data = events(TEXT if ended else {"events": TEXT["events"][:1]})
    decoder = DIALECT.decoder(asked(TEXT, stream=True), QUIRKS)
    assert decoder.feed(data + tail)
    with pytest.raises(Cut, match="Overloaded"):
        decoder.close()
    with pytest.raises(Cut, match="Overloaded"):
        relay(asked(TEXT, stream=True), data + tail, *range(len(data + tail)))


def google(code: int, status: str, message: str, *details: object) -> bytes:
    error = {"code": code, "message": message, "status": status, "details": details}
    return json.dumps({"error": error}).encode()


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "58.9s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


def test_quota_error_says_how_long_to_wait() -> None:
    help_ = {"@type": "type.googleapis.com/google.rpc.Help", "links": []}
    body = google(429, "RESOURCE_EXHAUSTED", "You exceeded your quota.", help_, RETRY)
    error = DIALECT.error(429, {}, body, "gemini")
    assert isinstance(error, Refused)
    assert (error.status, error.code) == (429, "TOO_MANY_REQUESTS")
    assert error.retry_after == 58.9
    assert error.openai_code == "rate_limit_exceeded"
    assert error.message == "You exceeded your quota."
    assert error.body == body


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, google(400, "INVALID_ARGUMENT", "API key not valid.", BAD_KEY), KeyRefused),
        (403, google(403, "PERMISSION_DENIED", "No."), KeyRefused),
        (401, b"", KeyRefused),
        (404, google(404, "NOT_FOUND", "models/x is not found"), Refused),
        (503, google(503, "UNAVAILABLE", "Overloaded."), Refused),
        (500, b"<html>", Refused),
        (400, b"[]", Refused),
        (302, b"", NotACompletion),
    ],
)
def test_error_is_named(status: int, body: bytes, kind: type[ApiError]) -> None:
    error = DIALECT.error(status, {b"retry-after": b"7"}, body, "gemini")
    assert type(error) is kind
    if kind is Refused:
        assert error.status == status
        assert error.retry_after == 7


def test_prompt_that_is_too_long_has_the_code_that_clients_look_for() -> None:
    message = (
        "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576)."
    )
    error = DIALECT.error(400, {}, google(400, "INVALID_ARGUMENT", message), "gemini")
    assert error.openai_code == "context_length_exceeded"
