"""Bedrock's dialect, held to the laws of every dialect over exchanges in its published forms."""

from __future__ import annotations

import copy
import itertools
import json
from typing import Any

import pytest
from bedrock_exchanges import EXCHANGES, FAILURES, Json, event, request_of, stream_of
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import Cut
from standpipe.providers.bedrock.dialect import Bedrock
from standpipe.providers.dialect import Dialect, Quirks
from standpipe.wire import fold
from standpipe.wire.features import FEATURES

DIALECT: Dialect = Bedrock()
QUIRKS = Quirks()
KEY = "sk-secret"

each = pytest.mark.parametrize("name", EXCHANGES)


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
    assert outgoing.path == exchange["path"]
    assert json.loads(outgoing.body) == exchange["sent"]


@each
def test_streamed_request_differs_in_its_path_alone(name: str) -> None:
    exchange = EXCHANGES[name]
    outgoing = DIALECT.prepare(request_of(exchange, stream=True), exchange["model"], QUIRKS)
    assert outgoing.path == f"{exchange['path']}-stream"
    assert json.loads(outgoing.body) == exchange["sent"]


@each
def test_whole_answer_is_read(name: str) -> None:
    exchange = EXCHANGES[name]
    body = json.dumps(exchange["answer"]).encode()
    whole = DIALECT.completion(body, request_of(exchange))
    assert json.loads(whole.body) == exchange["expected"]
    assert whole.provider_model == exchange["provider_model"]


@each
def test_folded_stream_is_the_whole_answer(name: str) -> None:
    exchange = EXCHANGES[name]
    out, decoder = relay(exchange, stream_of(exchange))
    folded = fold.fold_stream(out)
    assert folded.completion is not None
    assert told(folded.completion) == told(exchange["expected"])
    assert json.loads(bytes(decoder.usage)) == exchange["expected"]["usage"]
    assert decoder.completion_id is None
    assert decoder.provider_model == exchange["provider_model"]


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
    for offset in range(len(data)):
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
def test_usage_is_in_a_chunk_of_its_own_and_null_before(name: str) -> None:
    exchange = EXCHANGES[name]
    out, _ = relay(exchange, stream_of(exchange))
    *chunks, last = [json.loads(event[6:]) for event in out.split(b"\n\n")[:-1]]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == exchange["expected"]["usage"]


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
    error = DIALECT.error(failure["status"], headers, body, "aws")
    assert type(error).__name__ == failure["raises"]
    assert (error.status, error.code) == (failure["answered"], failure["code"])
    assert error.openai_type == failure["openai_type"]
    assert error.openai_code == failure.get("openai_code")
    assert error.retry_after == failure.get("retry_after")
    assert failure.get("says", failure["body"].get("message")) in error.message
    assert KEY not in error.message


@pytest.mark.parametrize("status", [201, 301, 400, 404, 418, 422, 500, 502, 599])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message":[1]}', b"\xff"])
def test_unknown_failure_maps_by_its_status(status: int, body: bytes) -> None:
    error = DIALECT.error(status, {b"x-amzn-errortype": b"\xff\x00"}, body, "aws")
    assert error.status == (status if status >= 400 else 502)
    assert "aws" in error.message


def test_key_is_in_its_header_and_nowhere_else() -> None:
    assert dict(DIALECT.headers(KEY))[b"authorization"] == b"Bearer " + KEY.encode()
    assert b"authorization" not in dict(DIALECT.headers(None))
    assert KEY not in repr(DIALECT)


_NAMES = [
    "contentBlockIndex", "delta", "start", "toolUse", "text", "input", "reasoningContent", "image",
    "usage", "trace", "stopReason", "citation", "message", "source", "bytes", "inputTokens",
]  # fmt: skip
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(_ANY, st.sampled_from([*(kind for kind, _ in EXCHANGES["citations"]["events"]), "new"]))
def test_no_event_crashes_the_decoder(payload: Any, kind: str) -> None:
    decoder = DIALECT.decoder(request_of(EXCHANGES["text"], stream=True), QUIRKS)
    try:
        decoder.feed(event(kind, payload))
        decoder.feed(event("contentBlockStop", payload))
        decoder.feed(event("messageStop", {"stopReason": "end_turn"}))
        decoder.feed(event("metadata", payload))
        decoder.close()
    except Cut:
        pass
