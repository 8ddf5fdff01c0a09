"""OpenAI's dialect: what changes on the way, and that nothing else does."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import ApiError, Cut, KeyRefused, NotACompletion, Refused
from standpipe.providers.dialect import Quirks
from standpipe.providers.openai import OpenAI, seconds
from standpipe.wire import chat, fold

DIALECT = OpenAI()
QUIRKS = Quirks()


def request(**fields: Any) -> chat.ChatRequest:
    body = {"model": "asked", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return chat.parse(json.dumps(body).encode())


def sent(call: chat.ChatRequest, quirks: Quirks = QUIRKS) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(DIALECT.prepare(call, "theirs", quirks).body)
    return body


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **top: Any) -> bytes:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "theirs-2025",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}],
        **top,
    }
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
STREAM = (
    chunk({"role": "assistant", "content": ""})
    + chunk({"content": 'Gr\u00fc\u00dfe \U0001f600 "model":"theirs-2025"'}, x_vendor={"a": [1]})
    + chunk({"content": " there"}, usage=None)
    + chunk(finish="stop")
    + chunk(choices=[], usage=USAGE)
    + b"data: [DONE]\n\n"
)


def relay(data: bytes, *pieces: int, **fields: Any) -> tuple[bytes, Any]:
    """Return what a stream becomes when it comes cut at these offsets, and its decoder."""
    decoder = DIALECT.decoder(request(stream=True, **fields), QUIRKS)
    out = b""
    cuts = [0, *sorted(pieces), len(data)]
    for start, end in itertools.pairwise(cuts):
        if start < end:
            out += decoder.feed(data[start:end])
    decoder.close()
    return out, decoder


def test_only_the_model_changes_on_the_way_out() -> None:
    body = b'{"model": "asked", "x_new": {"deep": [1.50, 1e3]}, "messages":[{"role":"user","content":"Hi","x":1}]}'  # noqa: E501
    out = DIALECT.prepare(chat.parse(body), "theirs", QUIRKS).body
    assert b'"x_new":{"deep": [1.50, 1e3]}' in out
    assert json.loads(out) == {**json.loads(body), "model": "theirs"}


def test_store_and_metadata_stay_here_unless_forwarded() -> None:
    call = request(store=True, metadata={"a": "b"})
    assert not {"store", "metadata"} & set(sent(call))
    assert sent(call, Quirks(forward_store=True))["metadata"] == {"a": "b"}
    without = sent(request(metadata={"a": "b"}), Quirks(forward_store=True))
    assert "metadata" not in without


def test_usage_is_asked_for_on_streams_only() -> None:
    assert sent(request(stream=True))["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent(request())
    assert "stream_options" not in sent(request(stream=True), Quirks(stream_usage=False))


def test_other_stream_options_are_kept() -> None:
    call = request(stream=True, stream_options={"include_obfuscation": False})
    assert sent(call)["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_whole_answer_comes_back_with_the_asked_model_and_all_else() -> None:
    body = b'{"id":"c","x_vendor": {"a" : 1},"model":"theirs-2025","choices":[{"x":1}]}'
    whole = DIALECT.completion(body, request())
    assert whole.provider_model == "theirs-2025"
    assert whole.body == body.replace(b"theirs-2025", b"asked")
    assert json.loads(whole.body) == {**json.loads(body), "model": "asked"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"model" : "theirs","choices":[]}',
        b'{"model": "theirs", "choices": []}',
        b'{"choices":[],"model":"theirs"}',
        b'{"choices":[{"model":"theirs"}],"model": "theirs"}',
        b'{"choices":[{"message":{"content":"\\"model\\":\\"theirs\\""}}],"model":"theirs"}',
        b'{"model":"other","choices":[],"model":"theirs"}',
        b'{"model":"theirs","choices":["theirs"]}',
        b'{"model":"th\\u0065irs","choices":["theirs"]}',
        b'{"choices":[],"model":"theirs","usage":null}',
    ],
)
def test_only_the_name_of_the_model_changes_however_it_is_written(body: bytes) -> None:
    whole = DIALECT.completion(body, request())
    assert whole.provider_model == "theirs"
    assert json.loads(whole.body) == {**json.loads(body), "model": "asked"}


@pytest.mark.parametrize("body", [b'{"choices":[]}', b'{"choices":[],"model":null}'])
def test_answer_without_a_model_gets_the_asked_one(body: bytes) -> None:
    whole = DIALECT.completion(body, request())
    assert (whole.provider_model, json.loads(whole.body)["model"]) == (None, "asked")


@pytest.mark.parametrize("more", [{}, {"model": "m"}, {"model": "m", "x": "m"}])
def test_cached_tokens_come_in_both_forms(more: dict[str, Any]) -> None:
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 1}}
    told = {"choices": [], "usage": usage, **more}
    answered = json.loads(DIALECT.completion(json.dumps(told).encode(), request()).body)
    cached = {"prompt_cache_hit_tokens": 1, "prompt_cache_miss_tokens": 2}
    assert answered == {**told, "model": "asked", "usage": {**usage, **cached}}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"choices":null}', b'{"error":{"message":"no"}}', b"\xff"],
)
def test_answer_that_is_no_completion_is_refused(body: bytes) -> None:
    with pytest.raises(NotACompletion):
        DIALECT.completion(body, request())


def test_stream_is_relayed_with_the_asked_model_and_without_the_unasked_usage() -> None:
    out, decoder = relay(STREAM)
    assert b"theirs-2025" in out  # said in the content, and left there
    assert out.count(b'"model":"asked"') == 4
    assert b'"x_vendor":{"a":[1]}' in out
    assert b"total_tokens" not in out
    assert json.loads(bytes(decoder.usage)) == USAGE
    assert (decoder.completion_id, decoder.provider_model) == ("chatcmpl-1", "theirs-2025")


def test_usage_is_relayed_if_asked_for() -> None:
    out, _ = relay(STREAM, stream_options={"include_usage": True})
    assert json.loads(out.rsplit(b"data: ", 1)[1])["usage"] == USAGE


def test_stream_cut_at_every_byte_is_relayed_the_same() -> None:
    whole = relay(STREAM)[0]
    for offset in range(len(STREAM)):
        assert relay(STREAM, offset)[0] == whole


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_stream_in_any_pieces_folds_the_same(cuts: list[int]) -> None:
    folded = fold.fold_stream(relay(STREAM, *cuts)[0]).completion
    assert folded is not None
    message = folded["choices"][0]["message"]
    assert message["content"] == 'Gr\u00fc\u00dfe \U0001f600 "model":"theirs-2025" there'


@pytest.mark.parametrize("spacing", [(",", ":"), (", ", ": "), (" , ", " : ")])
def test_model_is_replaced_however_the_provider_writes_it(spacing: tuple[str, str]) -> None:
    body = {
        "id": "c",
        "model": "th\u00e9irs/1",
        "choices": [{"index": 0, "delta": {"content": "a"}}],
    }
    event = b"data: " + json.dumps(body, separators=spacing).encode() + b"\n\n"
    decoder = DIALECT.decoder(request(stream=True), QUIRKS)
    out = decoder.feed(event) + decoder.feed(event)
    assert [json.loads(e[6:])["model"] for e in out.split(b"\n\n")[:-1]] == ["asked", "asked"]


def test_model_that_changes_or_is_missing_is_replaced_too() -> None:
    decoder = DIALECT.decoder(request(stream=True), QUIRKS)
    out = decoder.feed(
        chunk(model="") + chunk(model="a") + chunk(model="b") + b'data: {"id":"1"}\n\n'
    )
    assert [json.loads(e[6:])["model"] for e in out.split(b"\n\n")[:-1]] == ["asked"] * 4


@pytest.mark.parametrize("length", [0, 200, STREAM.index(b" there"), STREAM.index(b'"stop"')])
def test_stream_that_ends_early_is_cut(length: int) -> None:
    with pytest.raises(Cut):
        relay(STREAM[:length])


def test_stream_without_done_is_whole_if_every_choice_finished() -> None:
    assert relay(chunk({"content": "a"}) + chunk(finish="stop"))[1].done
    with pytest.raises(Cut):
        relay(chunk({"content": "a"}) + chunk(finish="stop"), n=2)


def test_error_inside_a_stream_is_raised_after_what_came_before_it() -> None:
    decoder = DIALECT.decoder(request(stream=True), QUIRKS)
    assert decoder.feed(chunk({"content": "a"}) + b'data: {"error":{"message":"overloaded"}}\n\n')
    with pytest.raises(Cut, match="overloaded"):
        decoder.close()


def test_nothing_after_done_is_relayed() -> None:
    assert relay(STREAM + chunk({"content": "more"}))[0] == relay(STREAM)[0]


def test_provider_that_refuses_our_key_is_not_the_callers_fault() -> None:
    for status in (401, 403):
        error = DIALECT.error(status, {}, b'{"error":{"message":"Incorrect key sk-1"}}', "acme")
        assert isinstance(error, KeyRefused)
        assert "acme" in error.message
        assert "sk-1" not in error.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"m","type":"t","code":"c","param":"p"}}', "m"),
        (b'{"error":"m"}', "m"),
        (b'{"message":"m"}', "m"),
        (b'{"detail":"m"}', "m"),
        (b"<html>", "provider 'acme' answered with status 429"),
        (b'{"error":[1]}', "provider 'acme' answered with status 429"),
    ],
)
def test_refusal_keeps_status_message_and_retry_after(body: bytes, message: str) -> None:
    error = DIALECT.error(429, {b"retry-after": b"7"}, body, "acme")
    assert isinstance(error, Refused)
    assert (error.status, error.code, error.message) == (429, "TOO_MANY_REQUESTS", message)
    assert error.retry_after == 7


@pytest.mark.parametrize("status", [201, 204, 301, 404, 418, 422, 500, 503, 529, 599])
def test_every_status_makes_an_error(status: int) -> None:
    error: ApiError = DIALECT.error(status, {}, b"", "acme")
    assert error.status == (status if status >= 400 else 502)


def test_retry_after_is_seconds_or_nothing() -> None:
    told = [None, b"", b"x", b"-1", b"nan", b"1e9", b"2", b"0.5"]
    assert [seconds(value) for value in told] == [None] * 6 + [2, 0.5]
