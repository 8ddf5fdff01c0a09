from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import Cut
from standpipe.providers.dialect import Quirks
from standpipe.providers.openai import OpenAI
from standpipe.providers.shape import Shape
from standpipe.providers.stream import EventDecoder
from standpipe.wire.chat import parse

THEIRS, OURS = b'"model":"theirs"', b'"model":"ours"'
ASKED = b'{"model":"ours","stream":true,"messages":[{"role":"user","content":"Hi"}]}'


def event(text: str, *, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    chunk = {"id": "c", "model": "theirs", "choices": [choice], **more}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def decoder() -> Any:
    return OpenAI().decoder(parse(ASKED), Quirks())


def learnt(first: bytes) -> Shape:
    shape = Shape()
    shape.learn(first, THEIRS, OURS)
    return shape


@pytest.mark.parametrize("text", ["", " b", "é", "a, b: {c}", "data: x", "'"])
def test_event_that_differs_in_its_text_is_known(text: str) -> None:
    same = event(text)
    assert learnt(event(" a")).renamed(same) == same.replace(THEIRS, OURS)


@pytest.mark.parametrize("text", ["", " b", "a, b: {c}"])
@pytest.mark.parametrize("padding", ["", "x", "Ab3xYz09"])
def test_event_that_differs_in_its_padding_too_is_known(text: str, padding: str) -> None:
    same = event(text, obfuscation=padding)
    first = event(" a", obfuscation="aB")
    assert learnt(first).renamed(same) == same.replace(THEIRS, OURS)
    behind = b'data: {"obfuscation":"%b","content":"a","model":"theirs"}\n\n'
    assert learnt(behind % b"x").renamed(behind % b"y") is None


@pytest.mark.parametrize(
    "other",
    [
        event("a"),
        event("a", obfuscation='"'),
        event('a "quote"', obfuscation="x"),
        event("a", finish="stop", obfuscation="x"),
        event("a", usage={"prompt_tokens": 1}, obfuscation="x"),
        event("a", obfuscation="x", usage={"prompt_tokens": 1}),
        event("a", obfuscation="x") + event("b", obfuscation="y"),
        event("a", obfuscation=["x"]),
        event("a", obfuscation="x")[:-1],
    ],
)
def test_any_other_event_than_a_padded_one_is_not(other: bytes) -> None:
    assert learnt(event(" a", obfuscation="aB")).renamed(other) is None


@pytest.mark.parametrize(
    "other",
    [
        event('a "quote"'),
        event("a", finish="stop"),
        event("a", usage={"prompt_tokens": 1}),
        event("a", error={"message": "no"}),
        event("a").replace(b"theirs", b"other"),
        event("a") + event("b"),
        event("a")[:-1],
        event("a")[1:],
        b"data: [DONE]\n\n",
        b"",
    ],
)
def test_any_other_event_is_not(other: bytes) -> None:
    assert learnt(event(" a")).renamed(other) is None


def test_what_begins_and_ends_alike_but_is_shorter_is_not() -> None:
    shape = Shape()
    shape.learn(b'data: {"model":"theirs","content":"","content":""}\n\n', THEIRS, OURS)
    assert shape.renamed(b'data: {"model":"theirs","content":""}\n\n') is None


def test_model_behind_the_text_is_renamed_too() -> None:
    first, second = (b'data: {"content":"%b","model":"theirs"}\n\n' % text for text in (b"a", b"b"))
    assert learnt(first).renamed(second) == second.replace(THEIRS, OURS)


def test_shape_that_is_never_found_again_is_given_up() -> None:
    shape = Shape()
    for number in range(100):
        shape.learn(event("a", id=f"{number}"), THEIRS, OURS)
    assert shape.renamed(event("b", id="99")) is None
    assert shape.renamed(event("b", id="15")) is not None


_texts = st.text('ab"\\{}:,\n\u00e9 ', max_size=6)
_finishes = st.sampled_from([None, None, None, "stop"])


_paddings = st.sampled_from([{}, {}, {"obfuscation": "x"}, {"obfuscation": 'a"b'}])


@given(st.lists(st.tuples(_texts, _finishes, _paddings), max_size=12), st.integers(1, 60))
def test_stream_is_what_its_events_are_one_by_one(
    said: list[tuple[str, str | None, dict[str, str]]], size: int
) -> None:
    events = [event(text, finish=finish, **padding) for text, finish, padding in said]
    stream = b"".join(events)
    told = decoder()
    pieces = [told.feed(stream[at : at + size]) for at in range(0, len(stream), size)]
    assert b"".join(pieces) == stream.replace(THEIRS, OURS)
    alone = decoder()
    assert b"".join(map(alone.feed, events)) == stream.replace(THEIRS, OURS)
    easily = decoder()
    found = [easily.easy(each) or easily.feed(each) for each in events]
    assert b"".join(found) == stream.replace(THEIRS, OURS)
    for each in (told, alone, easily):
        assert _is_whole(each) == any(finish for _, finish, _ in said)


def _is_whole(told: EventDecoder[bytes]) -> bool:
    try:
        told.close()
    except Cut:
        return False
    return True


def test_error_behind_known_events_ends_the_stream() -> None:
    told = decoder()
    for text in ("a", "b", "c"):
        told.feed(event(text))
    with pytest.raises(Cut):
        told.feed(event("d", error={"message": "no"}))


def test_nothing_is_easy_before_one_was_seen_nor_behind_half_of_one() -> None:
    told = decoder()
    assert told.easy(event("a")) is None
    for text in ("a", "b"):
        told.feed(event(text))
    assert told.easy(event("c")) == event("c").replace(THEIRS, OURS)
    told.feed(event("d")[:9])
    assert told.easy(event("e")) is None


def test_nothing_is_told_after_the_end() -> None:
    told = decoder()
    for text in ("a", "b", "c"):
        told.feed(event(text))
    assert told.feed(b"data: [DONE]\n\n") == b""
    assert told.done
    assert told.easy(event("d")) is None
    assert told.feed(event("d")) == b""
