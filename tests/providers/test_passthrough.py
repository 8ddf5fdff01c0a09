"""The routes that pass through, purely: what is sent, and streams cut at every byte."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import passed_answers
import pytest

from standpipe.errors import BadRequest, Cut, NotACompletion
from standpipe.providers import known, passthrough
from standpipe.providers.dialect import Quirks
from standpipe.providers.openai import OpenAI
from standpipe.providers.places import Place
from standpipe.providers.table import DIALECTS, Provider
from standpipe.wire.passthrough import ROUTES, PassedRequest, parse
from standpipe.wire.record import Kind

USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
PIECES = ["Hellö", " there"]
STREAMED: tuple[Kind, ...] = ("completions", "responses")
OPENAI = Provider("openai", OpenAI())


def asked(kind: Kind, **fields: Any) -> PassedRequest:
    return parse(json.dumps({"model": "mine", **fields}).encode(), ROUTES[kind])


def said(kind: Kind) -> list[bytes]:
    """Return the events of a provider's stream."""
    _, events = passed_answers.ANSWERS[ROUTES[kind].path]
    assert events is not None
    body = {"model": "theirs", "stream_options": {"include_usage": True}}
    return events("id-1", PIECES, USAGE, body)


def relayed(kind: Kind, pieces: list[bytes]) -> bytes:
    decoder = passthrough.decoder(asked(kind, stream=True), Quirks())
    events = b"".join(map(decoder.feed, pieces))
    decoder.close()
    assert (decoder.done, decoder.completion_id) == (True, "id-1")
    assert decoder.provider_model == "theirs-2025-06-01"
    assert decoder.usage is not None
    assert msgspec.json.decode(decoder.usage)["total_tokens"] == 13
    return events


@pytest.mark.parametrize("kind", STREAMED)
def test_stream_is_relayed_alike_wherever_it_is_split(kind: Kind) -> None:
    stream = b"".join(said(kind))
    whole = relayed(kind, [stream])
    assert whole.count(b'"mine"') > 0
    assert b"theirs" not in whole
    for at in range(len(stream)):
        assert relayed(kind, [stream[:at], stream[at:]]) == whole
    assert relayed(kind, [bytes([byte]) for byte in stream]) == whole


@pytest.mark.parametrize(("kind", "behind"), [("completions", 2), ("responses", 0)])
def test_stream_cut_at_any_byte_is_never_a_shorter_success(kind: Kind, behind: int) -> None:
    # Behind the event that says that the last choice is finished come usage and [DONE].
    events = said(kind)
    stream = b"".join(events[: len(events) - behind])
    for at in range(len(stream)):
        decoder = passthrough.decoder(asked(kind, stream=True), Quirks())
        decoder.feed(stream[:at])
        with pytest.raises(Cut):
            decoder.close()


def test_event_without_the_model_is_relayed_byte_for_byte() -> None:
    events = said("responses")
    untouched = [event for event in events if b'"response":' not in event]
    assert untouched
    whole = relayed("responses", [b"".join(events)])
    assert all(event in whole for event in untouched)


@pytest.mark.parametrize(
    "event",
    [
        b'event: error\ndata: {"type":"error","code":"x","message":"overloaded"}\n\n',
        b'data: {"error":{"message":"overloaded"}}\n\n',
    ],
)
def test_error_in_the_stream_of_a_response_is_raised(event: bytes) -> None:
    decoder = passthrough.decoder(asked("responses", stream=True), Quirks())
    with pytest.raises(Cut, match="overloaded"):
        decoder.feed(event)


@pytest.mark.parametrize("end", ["incomplete", "failed", "cancelled"])
def test_every_last_event_of_a_response_is_an_end(end: str) -> None:
    event = {"type": f"response.{end}", "response": {"id": "r", "model": "theirs", "output": []}}
    decoder = passthrough.decoder(asked("responses", stream=True), Quirks())
    assert b'"model":"mine"' in decoder.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    decoder.close()
    assert decoder.done


@pytest.mark.parametrize(
    ("prompt", "choices"),
    [("x", 2), ([1, 2, 3], 2), (["a", "b", "c"], 6), ([[1], [2, 3]], 4), ([], 2), (None, 2)],
)
def test_choices_are_counted_over_prompts(prompt: Any, choices: int) -> None:
    assert asked("completions", prompt=prompt, n=2).choices == choices


@pytest.mark.parametrize("kind", ROUTES)
def test_unknown_fields_go_on_byte_for_byte(kind: Kind) -> None:
    body = b'{"model":"mine","x":{"a":[1.0,1e999,"\\u00e9"]},"input":"y"}'
    sent = passthrough.prepare(parse(body, ROUTES[kind]), "theirs", OPENAI)
    assert sent.path == ROUTES[kind].path
    assert sent.body == body.replace(b'"mine"', b'"theirs"')


def test_path_lies_where_the_place_has_its_chat_completions() -> None:
    azure = Provider("azure", Place(known.KNOWN["azure"], "https://a.test"))
    sent = passthrough.prepare(asked("embeddings", input="x"), "ada", azure)
    assert sent.path.startswith("/openai/deployments/ada/embeddings?api-version=")


@pytest.mark.parametrize("name", sorted(set(DIALECTS) - {"openai"}))
@pytest.mark.parametrize("kind", ROUTES)
def test_place_of_another_form_is_refused_by_name(name: str, kind: Kind) -> None:
    provider = Provider("mine", DIALECTS[name])
    with pytest.raises(BadRequest, match=r"local chat model makes no embeddings|'mine' has no `/"):
        passthrough.prepare(asked(kind), "m", provider)


@pytest.mark.parametrize("kind", ROUTES)
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"data":1}', b'{"error":{"message":"no"}}', b"<html>"]
)
def test_answer_that_is_none_is_told_as_such(kind: Kind, body: bytes) -> None:
    with pytest.raises(NotACompletion):
        passthrough.completion(body, asked(kind))
