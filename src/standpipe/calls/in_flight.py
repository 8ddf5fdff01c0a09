"""How many calls all workers of a node have in flight: counts in files that each has in memory.

A worker has a place of its own for as long as it lives, which a lock says, and writes its counts
there alone. So nobody waits for anybody, and what a worker that died had counted is taken out by
the first who is kept back by it.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
from pathlib import Path

#: Workers at the same time, with those that leave.
MOST = 128
_BYTES = 4


class InFlight:
    """The place of a worker in a directory that all share; it is taken with the first count."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._place = 0
        self._lock: int | None = None

    @property
    def place(self) -> int:
        """Which place it is; OSError if there was none."""
        if self._lock is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._place, self._lock = self._taken()
        return self._place

    def close(self) -> None:
        """Give up the place."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def of(self, name: str) -> Count:
        """Return the count of what has that name; OSError if there is no place."""
        digest = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        return Count(self, self._directory / digest)

    def is_dead(self, place: int) -> bool:
        """Tell a place whose worker is no more."""
        lock = self._locked(place)
        if lock is None:
            return False
        os.close(lock)
        return True

    def _taken(self) -> tuple[int, int]:
        for place in range(MOST):
            lock = self._locked(place)
            if lock is not None:
                return place, lock
        raise OSError(f"{self._directory}: {MOST} workers have taken all places")

    def _locked(self, place: int) -> int | None:
        lock = os.open(self._directory / f"{place}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return lock


class Count:
    """How many calls there are of one thing."""

    def __init__(self, workers: InFlight, path: Path) -> None:
        self._workers = workers
        self._place = workers.place
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(file, MOST * _BYTES)
            self._counts = memoryview(mmap.mmap(file, MOST * _BYTES)).cast("i")
        finally:
            os.close(file)
        self.tell(0)

    def tell(self, count: int) -> None:
        """Say how many we have."""
        self._counts[self._place] = count

    def reaches(self, limit: int) -> bool:
        """Tell whether all workers together have so many."""
        return sum(self._counts) >= limit and self._living() >= limit

    def _living(self) -> int:
        for place, count in enumerate(self._counts):
            if count and place != self._place and self._workers.is_dead(place):
                self._counts[place] = 0
        return sum(self._counts)
