"""The callers that a worker remembers: bounded, and a look at one costs what a dictionary costs."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """What was asked for of late, by digest: at least `most` of it and at most twice as much.

    Two dictionaries: when the newer one is full it becomes the older, and what the older one had is
    forgotten unless it was asked for again. So nothing is put in order at each call.
    """

    def __init__(self, most: int) -> None:
        #: To be looked into first; `find` is for what is not there.
        self.newer: dict[bytes, T] = {}
        self._older: dict[bytes, T] = {}
        self._most = most

    def __bool__(self) -> bool:
        return bool(self.newer or self._older)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self.newer or digest in self._older

    def find(self, digest: bytes) -> T | None:
        """Return what is remembered, and remember it for longer; None if nothing is."""
        found = self._older.pop(digest, None)
        if found is None:
            return self.newer.get(digest)
        self.put(digest, found)
        return found

    def put(self, digest: bytes, what: T) -> None:
        """Remember this and no other of its digest."""
        if len(self.newer) >= self._most and digest not in self.newer:
            self.newer, self._older = {}, self.newer
        self._older.pop(digest, None)
        self.newer[digest] = what

    def forget(self, digest: bytes) -> None:
        """Remember nothing of this digest."""
        self.newer.pop(digest, None)
        self._older.pop(digest, None)
