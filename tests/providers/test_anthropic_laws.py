"""Anthropic's dialect, held to the laws of every dialect over exchanges in its published forms."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import Cut
from standpipe.providers.anthropic.dialect import Anthropic
from standpipe.providers.dialect import Dialect, Quirks
from standpipe.wire import chat, fold
from standpipe.wire.features import FEATURES
from standpipe.wire.messages_answer import from_openai_completion
from standpipe.wire.messages_api import to_openai_request

Json = dict[str, Any]

FOLDER = Path(__file__).parent / "exchanges" / "anthropic"
EXCHANGES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
FAILURES: list[Json] = EXCHANGES.pop("errors")
DIALECT: Dialect = Anthropic()
QUIRKS = Quirks()
KEY = "sk-ant-secret"
USER = [{"role": "user", "content": "Hi"}]

each = pytest.mark.parametrize("name", EXCHANGES)


def request_of(exchange: Json, **more: Any) -> chat.ChatRequest:
    return chat.parse(json.dumps({"model": "asked", **exchange["request"], **more}).encode())


def stream_of(exchange: Json) -> bytes:
    events = exchange["events"]
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
        for event in events
    )


def relay(exchange: Json, data: bytes, *cuts: int, usage: bool = True) -> tuple[bytes, Any]:
    """Return what a stream becomes when it comes cut at these offsets, and its decoder."""
    options = {"stream_options": {"include_usage": True}} if usage else {}
    decoder = DIALECT.decoder(request_of(exchange, stream=True, **options), QUIRKS)
    out = b""
    for start, end in itertools.pairwise([0, *sorted(cuts), len(data)]):
        if start < end:
            out += decoder.feed(data[start:end])
    decoder.close()
    return out, decoder


def told(completion: Json) -> Json:
    """Return a completion without the differences that two writers of JSON may have."""
    plain = copy.deepcopy(completion)
    for choice in plain["choices"]:
        message = choice["message"]
        message["content"] = message.get("content") or None
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return plain


def test_every_feature_has_a_word() -> None:
    assert DIALECT.fidelity.keys() == FEATURES.keys()


@each
def test_request_is_said_in_the_published_form(name: str) -> None:
    exchange = EXCHANGES[name]
    outgoing = DIALECT.prepare(request_of(exchange), exchange["model"], QUIRKS)
    assert outgoing.path == "/messages"
    assert json.loads(outgoing.body) == exchange["sent"]


def there_and_back(fields: Json, model: str) -> None:
    """Want what was sent to be read back as a request that is sent the same."""
    parsed = chat.parse(json.dumps({"model": "asked", "messages": USER, **fields}).encode())
    sent = json.loads(DIALECT.prepare(parsed, model, QUIRKS).body)
    back = chat.parse(json.dumps(to_openai_request(sent, native=True)).encode())
    assert json.loads(DIALECT.prepare(back, model, QUIRKS).body) == sent


@each
def test_request_that_is_read_back_is_sent_the_same(name: str) -> None:
    there_and_back(EXCHANGES[name]["request"], EXCHANGES[name]["model"])


@pytest.mark.parametrize("feature", [n for n, w in DIALECT.fidelity.items() if w == "native"])
def test_feature_that_is_read_back_is_sent_the_same(feature: str) -> None:
    for model in ("claude-opus-5", "claude-sonnet-4-5", "claude-3-haiku-20240307"):
        there_and_back({"max_tokens": 3000, **FEATURES[feature]}, model)


#: Citations, and a tool that only stood for the answer's form, have no way back.
@pytest.mark.parametrize("name", sorted(EXCHANGES.keys() - {"citations", "schema_by_tool"}))
def test_answer_that_is_told_to_anthropics_callers_is_the_providers(name: str) -> None:
    exchange = EXCHANGES[name]
    message = from_openai_completion(exchange["expected"], exchange["answer"]["model"])
    same = ("id", "role", "content", "stop_reason", "stop_sequence")
    assert {part: message[part] for part in same} == {p: exchange["answer"][p] for p in same}
    counts = exchange["answer"]["usage"]
    assert (
        message["usage"] | {n: counts[n] for n in counts if n != "service_tier"}
        == (message["usage"])
    )


@each
def test_whole_answer_is_read(name: str) -> None:
    exchange = EXCHANGES[name]
    body = json.dumps(exchange["answer"]).encode()
    whole = DIALECT.completion(body, request_of(exchange))
    assert told(json.loads(whole.body)) == told(exchange["expected"])
    assert whole.provider_model == exchange["answer"]["model"]


@each
def test_folded_stream_is_the_whole_answer(name: str) -> None:
    exchange = EXCHANGES[name]
    out, decoder = relay(exchange, stream_of(exchange))
    folded = fold.fold_stream(out)
    assert folded.completion is not None
    assert told(folded.completion) == told(exchange["expected"])
    assert json.loads(bytes(decoder.usage)) == exchange["expected"]["usage"]
    assert decoder.completion_id == exchange["answer"]["id"]
    assert decoder.provider_model == exchange["answer"]["model"]


@each
def test_stream_cut_at_every_byte_gives_the_same_chunks(name: str) -> None:
    exchange = EXCHANGES[name]
    data = stream_of(exchange)
    whole = relay(exchange, data)[0]
    for offset in range(1, len(data)):
        assert relay(exchange, data, offset)[0] == whole


@given(st.sampled_from(sorted(EXCHANGES)), st.lists(st.integers(0, 3000), max_size=20))
def test_stream_in_any_pieces_gives_the_same_chunks(name: str, cuts: list[int]) -> None:
    exchange = EXCHANGES[name]
    data = stream_of(exchange)
    inside = [cut for cut in cuts if cut <= len(data)]
    assert relay(exchange, data, *inside)[0] == relay(exchange, data)[0]


@each
def test_stream_that_ends_early_is_cut(name: str) -> None:
    exchange = EXCHANGES[name]
    data = stream_of(exchange)
    for offset in range(0, len(data) - 1, 17):
        with pytest.raises(Cut):
            relay(exchange, data[:offset])


@each
def test_chunks_are_openais(name: str) -> None:
    exchange = EXCHANGES[name]
    out, _ = relay(exchange, stream_of(exchange), usage=False)
    chunks = [json.loads(event[6:]) for event in out.split(b"\n\n")[:-1]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert {chunk["model"] for chunk in chunks} == {"asked"}
    assert {chunk["created"] for chunk in chunks} == {0}
    assert all("usage" not in chunk for chunk in chunks)
    finishes = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert [finish for finish in finishes if finish] == finishes[-1:]
    heads = [
        call
        for chunk in chunks
        for call in chunk["choices"][0]["delta"].get("tool_calls", ())
        if "id" in call
    ]
    assert all(head["function"]["arguments"] == "" for head in heads)


@each
def test_same_input_gives_the_same_output_and_stays_as_it_was(name: str) -> None:
    exchange = EXCHANGES[name]
    request = request_of(exchange)
    before = copy.deepcopy(request.values)
    bodies = [DIALECT.prepare(request, exchange["model"], QUIRKS).body for _ in range(2)]
    assert bodies[0] == bodies[1]
    assert request.values == before
    assert relay(exchange, stream_of(exchange))[0] == relay(exchange, stream_of(exchange))[0]


@pytest.mark.parametrize("failure", FAILURES)
def test_failures_are_named(failure: Json) -> None:
    headers = {name.encode(): text.encode() for name, text in failure.get("headers", {}).items()}
    body = json.dumps(failure["body"]).encode()
    error = DIALECT.error(failure["status"], headers, body, "claude")
    assert type(error).__name__ == failure["raises"]
    assert (error.status, error.code) == (failure["answered"], failure["code"])
    assert error.openai_type == failure["openai_type"]
    assert error.openai_code == failure.get("openai_code")
    assert (error.param, error.retry_after) == (failure.get("param"), failure.get("retry_after"))
    assert KEY not in error.message


@pytest.mark.parametrize("status", [201, 301, 400, 404, 418, 422, 500, 502, 599])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":[1]}', b"\xff"])
def test_unknown_failure_maps_by_its_status(status: int, body: bytes) -> None:
    error = DIALECT.error(status, {}, body, "claude")
    assert error.status == (status if status >= 400 else 502)
    assert "claude" in error.message


def test_key_is_in_its_header_and_nowhere_else() -> None:
    assert dict(DIALECT.headers(KEY))[b"x-api-key"] == KEY.encode()
    assert b"x-api-key" not in dict(DIALECT.headers(None))
    assert KEY not in repr(DIALECT)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "index", "delta", "content_block", "message", "usage", "error", "text"]
                ),
                inner | st.sampled_from(["content_block_start", "text", "tool_use", "thinking"]),
                max_size=5,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from([event["type"] for event in EXCHANGES["text"]["events"]]),
)
def test_no_event_crashes_the_decoder(event: Any, kind: str) -> None:
    if isinstance(event, dict):
        event["type"] = kind
    decoder = DIALECT.decoder(request_of(EXCHANGES["text"], stream=True), QUIRKS)
    try:
        decoder.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
        decoder.feed(b'data: {"type":"content_block_delta","delta":{"text":1}}\n\n')
        decoder.close()
    except Cut:
        pass
