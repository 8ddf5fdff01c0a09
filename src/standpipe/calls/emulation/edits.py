"""Changes to an answer on its way: whole, or a piece of a stream after the other.

An edit looks after one choice. What it is given is a choice of a completion, with its `message`,
or of a chunk, with its `delta`; it returns new objects and changes none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

Json = dict[str, Any]


class Edit(Protocol):
    """What becomes of one choice."""

    #: No more of this choice is wanted.
    ended: bool

    def whole(self, choice: Json) -> Json:
        """Return the choice of a whole answer."""

    def piece(self, piece: Json) -> Iterable[Json]:
        """Return what goes on to the caller now: this piece, earlier ones, or none."""

    def close(self) -> Iterable[Json]:
        """Return what was still held back when the stream ended."""


class Editor:
    """The edits of one answer, those of each choice for themselves."""

    def __init__(self, makers: Sequence[Callable[[], Edit]], *, choices: int) -> None:
        self._makers = makers
        self._expected = choices
        self._edits: dict[int, list[Edit]] = {}
        self._frame: Json = {}

    @property
    def ended(self) -> bool:
        """Tell whether no more of any choice is wanted."""
        ended = sum(any(edit.ended for edit in edits) for edits in self._edits.values())
        return ended >= self._expected

    def whole(self, completion: Json) -> Json:
        """Return the completion as the caller is to have it."""
        choices = completion["choices"]
        for make in self._makers:
            choices = [make().whole(choice) for choice in choices]
        return {**completion, "choices": choices}

    def chunk(self, chunk: Json) -> list[Json]:
        """Return the chunks that go to the caller now."""
        if not self._makers or not chunk.get("choices"):
            return [chunk]
        self._frame = {name: chunk[name] for name in chunk if name != "choices"}
        return [
            self._framed(piece)
            for choice in chunk["choices"]
            for piece in self._through([choice], self._of(choice))
        ]

    def close(self) -> list[Json]:
        """Return the chunks that were held back."""
        return [self._framed(piece) for edits in self._edits.values() for piece in _closed(edits)]

    def _of(self, choice: Json) -> list[Edit]:
        index = choice.get("index", 0)
        if index not in self._edits:
            self._edits[index] = [make() for make in self._makers]
        return self._edits[index]

    def _framed(self, piece: Json) -> Json:
        return {**self._frame, "choices": [piece]}

    @staticmethod
    def _through(pieces: Iterable[Json], edits: Sequence[Edit]) -> Iterable[Json]:
        for edit in edits:
            pieces = [out for piece in pieces for out in edit.piece(piece)]
        return pieces


def _closed(edits: Sequence[Edit]) -> Iterator[Json]:
    """Yield what each edit held back, gone through those after it."""
    held: list[Json] = []
    for edit in edits:
        held = [out for piece in held for out in edit.piece(piece)]
        held.extend(edit.close())
    yield from held
