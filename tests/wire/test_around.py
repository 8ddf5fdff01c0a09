from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import BadRequest
from standpipe.providers.dialect import Quirks
from standpipe.providers.openai import OpenAI
from standpipe.wire import chat
from standpipe.wire.around import Around, Arounds

HI = [{"role": "user", "content": "Hi"}]
BYE = [{"role": "system", "content": 'a "b"]'}, {"role": "user", "content": "é\n"}]
DIALECT = OpenAI()


def body(messages: object, **around: Any) -> bytes:
    return json.dumps({"model": "m", "messages": messages, **around}).encode()


def around(first: bytes) -> Around:
    found = Around.of(chat.parse(first), first)
    assert found is not None
    return found


def told(request: chat.ChatRequest) -> object:
    named = ("model", "values", "stream", "include_usage", "store", "metadata", "n")
    fields = {name: bytes(raw).strip() for name, raw in request.fields.items()}
    return [getattr(request, name) for name in named], list(fields.items())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0, "user": "u", "metadata": {"a": "b"}, "x_new": [{"messages": []}]},
        {"stream": True, "store": True, "n": 2, "stop": ["]"]},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
    ],
)
def test_request_that_differs_in_its_messages_is_known(settings: dict[str, Any]) -> None:
    same = body(BYE, **settings)
    request = around(body(HI, **settings)).read(same)
    assert request is not None
    assert told(request) == told(chat.parse(same))


@pytest.mark.parametrize(
    "other",
    [
        body(HI, n=2),
        body(HI).replace(b'"m"', b'"o"'),
        body([]),
        body(HI)[:-1],
        body([{"role": "user", "content": "Hi", "name": "n"}]),
        body([{"role": "tool", "content": "Hi", "tool_call_id": "c"}]),
        body([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]),
        body("Hi"),
        # Other fields behind the messages, of which the last ends as the one that is known does.
        body(HI, stop=[]),
        b'{"model": "m", "messages": ' + json.dumps(HI).encode() + b', "model": "o", "x": []}',
        b'{"model": "m", "messages": }',
        b'{"model": "m", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "m", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_any_other_request_is_not(other: bytes) -> None:
    assert around(body(HI)).read(other) is None


def test_messages_are_found_among_what_looks_like_them() -> None:
    alike = json.dumps(HI)
    nested = f'{{"x": {alike}, "model": "m", "messages": {alike}}}'.encode()
    assert Around.of(chat.parse(nested), nested) is None
    twice = f'{{"model": "m", "messages": {alike}, "messages": {alike}}}'.encode()
    assert Around.of(chat.parse(twice), twice) is None
    behind = f'{{"model": "m", "messages": {json.dumps(BYE)}, "messages": {alike}}}'.encode()
    bare = around(behind).bare
    assert {name: bytes(raw) for name, raw in bare.fields.items()} == {
        "model": b'"m"',
        "messages": b"[]",
    }


_contents = st.text('ab"\\{}[]:, \n\0é\U0001f600', max_size=6)
_messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "tool"]), "content": _contents}
    ),
    max_size=3,
)
_settings: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["n", "user", "metadata", "stop", "store", "stream", "x_new", "messages"]),
    st.sampled_from([1, 2, True, None, "a", ["]"], [{"messages": []}], {"messages": "[]"}, HI]),
    max_size=3,
)
_bodies = st.builds(
    lambda messages, settings, indent: json.dumps(
        {"model": "m", "messages": messages, **settings}, indent=indent
    ).encode(),
    _messages,
    _settings,
    st.sampled_from([None, 1]),
)


@given(st.lists(_bodies, max_size=8))
def test_what_is_read_and_sent_is_the_same_whatever_was_read_before(bodies: list[bytes]) -> None:
    arounds = Arounds()
    for each in [*bodies, *bodies]:
        assert _outcome(lambda data: arounds.parse(data, "k"), each) == _outcome(chat.parse, each)


def _outcome(parse: Any, data: bytes) -> object:
    try:
        request = parse(data)
    except BadRequest as error:
        return error.message
    sent = [
        DIALECT.prepare(request, model, Quirks(forward_store=store))
        for model in ("theirs", "another")
        for store in (False, True)
    ]
    return told(request), [(each.path, json.loads(each.body)) for each in sent]


def known() -> Arounds:
    """Return what knows the project `k`, and none of the requests here."""
    arounds = Arounds()
    arounds.parse(body(HI, seed=1), "k")
    return arounds


def test_what_is_sent_is_the_same_to_the_byte() -> None:
    arounds = known()
    arounds.parse(body(HI, user="u", metadata={"a": "b"}, stream=True), "k")
    data = body(BYE, user="u", metadata={"a": "b"}, stream=True)
    request = arounds.parse(data, "k")
    assert request.around is not None
    written = DIALECT.prepare(chat.parse(data), "theirs", Quirks())
    assert DIALECT.prepare(request, "theirs", Quirks()) == written


def test_projects_whose_requests_all_differ_are_looked_at_rarely() -> None:
    arounds = known()
    for number in range(40):
        assert arounds.parse(body(HI, user=f"{number}"), "k").around is None
    assert arounds.parse(body(BYE, user="39"), "k").around is None
    assert arounds.parse(body(BYE, user="15"), "k").around is not None


def test_messages_that_are_not_usual_take_no_place_of_other_settings() -> None:
    arounds = known()
    arounds.parse(body(HI), "k")
    arounds.parse(body(HI, n=2), "k")
    for text in "abcde":
        assert arounds.parse(body([{**HI[0], "name": text}]), "k").around is None
    assert arounds.parse(body(BYE, n=2), "k").around is not None


def test_what_one_project_asks_is_not_looked_for_in_anothers_requests() -> None:
    arounds = known()
    arounds.parse(body(HI), "other")
    arounds.parse(body(HI), "k")
    assert arounds.parse(body(BYE), "other").around is None
    assert arounds.parse(body(BYE), "k").around is not None


@pytest.mark.parametrize("shapes", [1, 2, 6])
@pytest.mark.parametrize("once", [0, 1, 20, 61, 63])
def test_what_is_asked_again_and_again_is_known_beside_what_is_asked_once(
    shapes: int, once: int
) -> None:
    arounds = known()
    numbers = count()
    for _ in range(once):
        arounds.parse(body(HI, seed=next(numbers)), "k")
    found = []
    for turn in range(2000):
        arounds.parse(body(HI, seed=next(numbers)), "k")
        request = arounds.parse(body(BYE, n=1 + turn % shapes), "k")
        found.append(request.around is not None)
    assert all(found[-200:])
