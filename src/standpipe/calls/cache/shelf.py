"""Where answers are kept for all workers: the database, asked from threads of its own.

A cache that does not answer is a cache without the answer: nothing fails for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from standpipe.calls.cache.looks import Looks
from standpipe.errors import BadRequest, StoreUnavailable
from standpipe.store.cache import WEEK_US, CachedAnswer
from standpipe.store.lane import Lane
from standpipe.store.rows import now_us
from standpipe.store.store import Store

log = logging.getLogger(__name__)

#: Seconds that a look may take, or twice that, and a batch of answers that are written.
LOOK_S = 1.0
WRITE_S = 30.0
#: Seconds for which one that does not answer is left alone.
PAUSE_S = 1.0
#: Answers are deleted, the oldest first, after this share of all that may be kept was written.
_SHARE = 16


class Away(Exception):
    """What keeps the answers does not answer."""


class Shelf(Protocol):
    """Keeps answers by project and hash; raises Away where it cannot."""

    async def get(self, project: str, key: bytes) -> bytes | None:
        """Return an answer that is not too old, None if there is none."""

    async def put(self, answers: list[CachedAnswer]) -> None:
        """Keep answers."""

    async def close(self) -> None:
        """End what was begun for it."""


class StoreShelf:
    """The database; at most so many bytes of answers, of all projects."""

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self._looks = Looks(self._find, LOOK_S)
        self._writes = Lane("cache-writes", threads=1, patience=WRITE_S)
        #: Bytes written since the oldest were last deleted.
        self._written = 0

    async def get(self, project: str, key: bytes) -> bytes | None:
        """Return an answer that is not too old, None if there is none; raises Away."""
        try:
            return await self._looks.find(project, key)
        except StoreUnavailable as error:
            raise Away(error.why) from error

    async def put(self, answers: list[CachedAnswer]) -> None:
        """Keep answers; raises Away."""
        self._written += sum(len(each.answer) for each in answers)
        must_trim = self._written > self._most // _SHARE
        try:
            await self._writes.ask(self._put, answers, must_trim)
        except (StoreUnavailable, BadRequest) as error:
            raise Away(str(error)) from error
        if must_trim:
            self._written = 0

    async def close(self) -> None:
        """End the threads; the store is its owner's."""
        self._looks.close()

    def _find(self, project: str, key: bytes) -> bytes | None:
        return self._store.cached_answer(project, key, now_us() - WEEK_US)

    def _put(self, answers: list[CachedAnswer], must_trim: bool) -> None:
        self._store.cache_answers(answers)
        while must_trim and self._store.trim_cache(now_us() - WEEK_US, self._most):
            pass


class Patient:
    """A shelf that is left alone for a moment where it does not answer, and written to in turn."""

    #: Answers and bytes that wait to be written, at most; more are not kept.
    MOST, MOST_BYTES = 1000, 64 << 20

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        #: It did not answer the last time, and until when it is left alone.
        self._away = False
        self._away_until = 0.0
        #: By hash what waits, and what is being written.
        self._waiting: dict[bytes, CachedAnswer] = {}
        self._going: dict[bytes, CachedAnswer] = {}
        self._waiting_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        #: Answers and their bytes that were written, and answers that were not.
        self.written = self.written_bytes = self.dropped = 0

    async def get(self, project: str, key: bytes) -> bytes | None:
        """Return an answer, None where there is none or nobody can say."""
        waiting = self._waiting.get(key) or self._going.get(key)
        if waiting is not None:
            return waiting.answer
        if time.monotonic() < self._away_until:
            return None
        try:
            found = await self._shelf.get(project, key)
        except Away as error:
            self._is_away(error)
            return None
        self._answers()
        return found

    def put(self, answer: CachedAnswer) -> None:
        """Keep an answer, soon."""
        size = len(answer.answer)
        if len(self._waiting) >= self.MOST or self._waiting_bytes + size > self.MOST_BYTES:
            self.dropped += 1
            return
        self._waiting[answer.hash] = answer
        self._waiting_bytes += size
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Write what waits."""
        if self._writing is not None:
            await self._writing
        await self._shelf.close()

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._write_some()
        finally:
            self._writing = None

    async def _write_some(self) -> None:
        self._going, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        some = [*self._going.values()]
        try:
            await self._shelf.put(some)
        except Away as error:
            self._is_away(error)
            self.dropped += len(some)
        else:
            self._answers()
            self.written += len(some)
            self.written_bytes += sum(len(each.answer) for each in some)
        finally:
            self._going = {}

    def _is_away(self, error: Away) -> None:
        if not self._away:
            log.warning("cache: what keeps the answers is away: %s", error)
        self._away = True
        self._away_until = time.monotonic() + PAUSE_S

    def _answers(self) -> None:
        if self._away:
            self._away = False
            log.warning("cache: what keeps the answers is back")
