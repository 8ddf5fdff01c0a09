"""The newest answers in a worker's memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from standpipe.calls.cache.entry import Entry
from standpipe.calls.cache.keys import Asked

#: Seconds after which another worker may have written a newer answer, or somebody removed it.
FRESH_S = 60.0
#: Bytes that an answer takes beside its own.
_BESIDE = 700


class _Held(NamedTuple):
    entry: Entry
    until: float
    size: int
    asked: Asked | None


class Front:
    """Answers of the last minute, at most so many bytes of them; 0 for none."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        #: The oldest first.
        self._held: OrderedDict[bytes, _Held] = OrderedDict()
        #: The same by what was asked when they were made: one who asks so again needs no hash.
        self._asked: dict[Asked, _Held] = {}
        #: Bytes that they take.
        self.size = 0

    def find(self, key: bytes) -> Entry | None:
        """Return the answer, None if it is not here, or was for too long."""
        held = self._held.get(key)
        return None if held is None or held.until < self._clock() else held.entry

    def recall(self, asked: Asked) -> Entry | None:
        """Return the answer to exactly these words, None as `find` does."""
        held = self._asked.get(asked) if self._asked else None
        return None if held is None or held.until < self._clock() else held.entry

    def put(self, key: bytes, entry: Entry, asked: Asked | None = None) -> None:
        """Hold an answer; one that would take most of the room is not held."""
        self._drop(key)
        size = len(entry.body) + _BESIDE + (0 if asked is None else len(asked[1]))
        if size > self._most // 4:
            return
        now = self._clock()
        held = self._held[key] = _Held(entry, now + FRESH_S, size, asked)
        if asked is not None:
            self._asked[asked] = held
        self.size += size
        self._make_room(now)

    def _make_room(self, now: float) -> None:
        """Drop those that were here for too long, and the oldest that are too many."""
        while self._held:
            key, oldest = next(iter(self._held.items()))
            if self.size <= self._most and oldest.until >= now:
                return
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self.size -= held.size
            if held.asked is not None:
                del self._asked[held.asked]
