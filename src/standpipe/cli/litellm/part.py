"""A table of a LiteLLM configuration, of which nothing is left out unnoticed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

_NO_WORD = "there is nothing like it here"


class Note(NamedTuple):
    """Something that could not be carried as it is."""

    #: Where it stands, such as `model_list[0].litellm_params.rpm`.
    place: str
    why: str


class Part:
    """A table: what is taken out of it is carried, and of the rest it says that it is not."""

    def __init__(self, data: Any, place: str, notes: list[Note]) -> None:
        self.place = place
        self.notes = notes
        self._left: dict[str, Any] = {}
        if isinstance(data, dict):
            self._left = {str(key): value for key, value in data.items()}
        elif data is not None:
            notes.append(Note(place, "is no table"))

    def take(self, key: str, *kinds: type) -> Any:
        """Take a value; None if it is not there, or of none of these kinds, which is noted."""
        value = self._left.pop(key, None)
        is_only_a_number = isinstance(value, bool) and not {bool, object} & {*kinds}
        is_endless = isinstance(value, float) and not math.isfinite(value)
        if value is None or (isinstance(value, kinds) and not (is_only_a_number or is_endless)):
            return value
        self.note(key, f"is not understood: {type(value).__name__}")
        return None

    def part(self, key: str) -> Self:
        """Take a table."""
        return type(self)(self._left.pop(key, None), self.at(key), self.notes)

    def add(self, more: Mapping[str, Any]) -> None:
        """Put in what it does not say itself."""
        self._left = {**more, **self._left}

    def at(self, key: str) -> str:
        """Return the place of a key."""
        return f"{self.place}.{key}" if self.place else key

    def note(self, key: str, why: str) -> None:
        """Say what became of a key."""
        self.notes.append(Note(self.at(key), why))

    def close(self, reasons: Mapping[str, str]) -> None:
        """Say of all that is left why it is."""
        for key, value in self._left.items():
            if value is not None and value is not False and value not in ([], {}, ""):
                self.note(key, reasons.get(key, _NO_WORD))
        self._left = {}
