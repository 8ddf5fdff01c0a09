"""Runs of chunks that differ in one text alone: most of a stream, which so need not be parsed."""

from __future__ import annotations

import re
from typing import Any, Self

import msgspec

Json = dict[str, Any]

#: Fields that keep their first value, as some providers repeat them.
LABELS = frozenset({"role", "id", "type", "format", "object"})
#: OpenAI's padding, another in every chunk.
PADDING = "obfuscation"

_PROBE = "\x00?"
_LITERAL = re.compile(rb'\s*("(?:[^"\\]|\\.)*+")')

_text = msgspec.json.Decoder(str).decode


class Run:
    """The bytes around the one text of a chunk, and around its padding if it has any."""

    __slots__ = ("_after", "_before", "_end")

    def __init__(self, before: bytes, after: bytes, end: bytes | None) -> None:
        self._before = before
        #: What follows the text: up to the padding, else all.
        self._after = after
        self._end = end

    @classmethod
    def of(cls, data: bytes, chunk: Json) -> Self | None:
        """Return the run that a chunk may begin; None for one that adds more than a text."""
        found = text_of(chunk)
        if found is None:
            return None
        place = _value_of(data, found[1])
        if place is None:
            return None
        before, after = data[: place[0]], data[place[1] :]
        padding = _value_of(after, PADDING) if PADDING in chunk else (len(after), len(after))
        if padding is None:
            return None
        run = cls(before, after[: padding[0]], after[padding[1] :] if PADDING in chunk else None)
        return run if run._is_of(chunk, found[0][found[1]]) else None

    def text(self, data: bytes) -> str | None:
        """Return the text of a chunk that is the same but for it; None for another chunk."""
        if not data.startswith(self._before):
            return None
        start, end = len(self._before), len(data) - len(self._after)
        try:
            if self._end is None:
                return _text(data[start:end]) if data.endswith(self._after) else None
            end = data.find(self._after, start)
            if end < 0 or not data.endswith(self._end):
                return None
            _text(data[end + len(self._after) : len(data) - len(self._end)])
            return _text(data[start:end])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _is_of(self, chunk: Json, text: str) -> bool:
        """Tell whether what we took for the text is the text, and the padding the padding."""
        probe = msgspec.json.encode(_PROBE)
        data = self._before + probe + self._after
        data += b"" if self._end is None else probe + self._end
        try:
            other = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return False
        found = text_of(other)
        if found is None or found[0][found[1]] != _PROBE:
            return False
        found[0][found[1]] = text
        if self._end is not None:
            other[PADDING] = chunk[PADDING]
        return bool(other == chunk)


def text_of(chunk: Json) -> tuple[Json, str] | None:
    """Return the object and the name in it of a text, if that is all that grows by a chunk.

    The text is one of its delta or the arguments of a tool call that has begun.
    """
    choice = _only(chunk.get("choices"))
    delta = None if choice is None or choice.get("logprobs") is not None else choice.get("delta")
    grown = _grown(delta)
    if grown is None or not isinstance(delta, dict):
        return None
    if grown != "tool_calls":
        return delta, grown
    call = _only(delta[grown])
    if call is None or _grown({**call, "index": None}) != "function":
        return None
    function = call["function"]
    return (function, "arguments") if _grown(function) == "arguments" else None


def _only(items: object) -> Json | None:
    """Return the one object of a list of one."""
    if isinstance(items, list) and len(items) == 1 and isinstance(items[0], dict):
        return items[0]
    return None


def _grown(piece: object) -> str | None:
    """Return the name of the one field that adds something, None if several do or none."""
    if not isinstance(piece, dict):
        return None
    names = [name for name, value in piece.items() if value is not None and name not in LABELS]
    return names[0] if len(names) == 1 and names[0] != "name" else None


def _value_of(data: bytes, name: str) -> tuple[int, int] | None:
    """Return where the string that follows a name begins and ends."""
    key = msgspec.json.encode(name) + b":"
    at = data.find(key)
    found = None if at < 0 else _LITERAL.match(data, at + len(key))
    return None if found is None else found.span(1)
