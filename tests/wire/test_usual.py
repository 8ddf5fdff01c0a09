from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import BadRequest
from standpipe.wire import chat, usual
from standpipe.wire.checks import Issues

PLAIN: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}

#: Values at, within and beyond the limits of every field, and of every kind.
_whole = (-(2**64), -(2**63), -3, -2, -1, 0, 1, 2, 20, 128, 129, 2**31 - 1, 2**31, 2**63, 2**64)
_numbers = st.sampled_from((*_whole, -2.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 1e300))
_texts = st.sampled_from(["", "a", "é", "user", "system", "tool", "\0", "x" * 300])
_scalars = st.none() | st.booleans() | _numbers | _texts
_messages = st.fixed_dictionaries(
    {}, optional={"role": _scalars, "content": _scalars, "name": _scalars}
)
_values = (
    _scalars
    | st.lists(_scalars | _messages, max_size=3)
    | st.dictionaries(st.sampled_from(["include_usage", "a", "\0", "k" * 65]), _scalars, max_size=2)
)
_fields = st.dictionaries(st.sampled_from([*sorted(usual.NAMES), "x_new"]), _values, max_size=5)


@given(_fields)
def test_what_is_read_as_usual_passes_every_check(fields: dict[str, Any]) -> None:
    body = json.dumps(PLAIN | fields).encode()
    told = usual.read(body)
    if told is None:
        return
    issues = Issues()
    for name in set(PLAIN | fields) & set(chat.FIELDS):
        value = (PLAIN | fields)[name]
        if value is not None:
            chat.FIELDS[name](value, (name,), issues)
    assert issues.found == []


@given(_fields)
def test_usual_and_thorough_reading_say_the_same(fields: dict[str, Any]) -> None:
    body = json.dumps(PLAIN | fields).encode()
    # A known field that is null changes nothing, but is none of the usual ones.
    thorough = json.dumps({**PLAIN, **fields, "verbosity": None}).encode()
    assert _outcome(body) == _outcome(thorough)


def _outcome(body: bytes) -> object:
    try:
        request = chat.parse(body)
    except BadRequest as error:
        return error.message, error.param
    named = ("model", "messages", "values", "stream", "include_usage", "store", "metadata", "n")
    return [getattr(request, name) for name in named]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stream": True, "stream_options": {"include_usage": True}, "x_new": [1]},
        {"temperature": 0, "max_tokens": 16, "user": "u", "metadata": {"a": "b"}, "store": None},
    ],
)
def test_what_is_usual_is_read_so(fields: dict[str, Any]) -> None:
    body = json.dumps(PLAIN | fields).encode()
    assert usual.read(body) is not None
    request = chat.parse(body)
    assert request.decoded is None
    known = {**PLAIN, **fields}
    known.pop("x_new", None)
    assert request.values == {name: value for name, value in known.items() if value is not None}
    assert request.fields.keys() == (PLAIN | fields).keys()


def test_names_are_known_fields() -> None:
    assert set(chat.FIELDS) > usual.NAMES
