"""Calls of tools, found in what the model writes as it writes it. Pure.

The form is the one that Hermes' and Qwen's models learned, and the grammar holds every model to it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

import msgspec

from standpipe.providers.local.grammar import CLOSE, OPEN

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.){1,512}")\s*,\s*"arguments"\s*:\s*(?=\{)')
_MOST_HEAD = 2048


class Text(NamedTuple):
    """Text that is no call."""

    text: str


class Begin(NamedTuple):
    """A call begins."""

    call: int
    name: str


class Arguments(NamedTuple):
    """A piece of a call's arguments, which are JSON."""

    call: int
    text: str


Piece = Text | Begin | Arguments


class Calls:
    """Reads one answer; `names` are the functions that may be called."""

    def __init__(self, names: Collection[str]) -> None:
        #: Calls that have begun.
        self.count = 0
        self._names = names
        self._rest = ""
        self._read = self._text
        self._depth = 0
        self._is_string = False
        self._is_escaped = False

    def feed(self, text: str) -> list[Piece]:
        """Return what is clear now; what may yet be the beginning of a call waits."""
        self._rest += text
        found: list[Piece] = []
        while (piece := self._read()) is not None:
            found.append(piece)
        return [piece for piece in found if not isinstance(piece, Text) or piece.text]

    def close(self) -> list[Piece]:
        """Return the text that waited; a call that was cut short ends where it was cut."""
        is_text = self._read in (self._text, self._head)
        opened = OPEN if self._read == self._head else ""
        rest, self._rest = self._rest, ""
        return [Text(opened + rest)] if is_text and opened + rest else []

    def _text(self) -> Piece | None:
        if self.count:
            self._rest = self._rest.lstrip()
        before, opened, after = self._rest.partition(OPEN)
        if opened:
            self._rest, self._read = after, self._head
            return Text(before)
        kept = _begun(self._rest)
        said, self._rest = (
            self._rest[: len(self._rest) - kept],
            self._rest[len(self._rest) - kept :],
        )
        return Text(said) if said else None

    def _head(self) -> Piece | None:
        if (head := _HEAD.match(self._rest)) is not None:
            return self._begin(head)
        if CLOSE not in self._rest and len(self._rest) < _MOST_HEAD:
            return None
        return self._no_call()

    def _begin(self, head: re.Match[str]) -> Piece:
        name = msgspec.json.decode(head[1])
        if name not in self._names:
            return self._no_call()
        self._rest, self._read = self._rest[head.end() :], self._arguments
        self.count += 1
        return Begin(self.count - 1, name)

    def _no_call(self) -> Piece:
        said, self._rest, self._read = OPEN + self._rest, "", self._text
        return Text(said)

    def _arguments(self) -> Piece | None:
        end = self._end()
        said, self._rest = self._rest[:end], self._rest[end:]
        if self._depth == 0 and said:
            self._read = self._tail
        return Arguments(self.count - 1, said) if said else None

    def _end(self) -> int:
        """Return how much of what waits belongs to the arguments."""
        for at, char in enumerate(self._rest):
            if self._is_string:
                self._in_string(char)
            elif char == '"':
                self._is_string = True
            else:
                self._depth += (char in "{[") - (char in "}]")
                if self._depth == 0:
                    return at + 1
        return len(self._rest)

    def _in_string(self, char: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif char == "\\":
            self._is_escaped = True
        elif char == '"':
            self._is_string = False

    def _tail(self) -> Piece | None:
        _, closed, after = self._rest.partition(CLOSE)
        if not closed:
            return None
        self._rest, self._read = after, self._text
        return Text("")


def _begun(text: str) -> int:
    """Return how many characters at the end may be the beginning of a call."""
    longest = min(len(text), len(OPEN) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(OPEN[:n])), 0)
