"""Looks into a database from an event loop, for as little as that can take.

A look takes a database a few microseconds, where an executor and a deadline of asyncio's for each
take fifty: here they are a queue, a future and one timer for all that are under way.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue

from standpipe.errors import StoreUnavailable

#: Looks under way or waiting, at most, and the threads that they have: with each, SQLite keeps
#: pages of its own.
MOST, THREADS = 512, 2

#: Finds an answer by project and hash; StoreUnavailable if the database cannot say.
Find = Callable[[str, bytes], bytes | None]


_Answer = asyncio.Future[bytes | None]


class Looks:
    """The looks of one event loop; each has `patience` seconds, or up to twice as many."""

    def __init__(self, find: Find, patience: float) -> None:
        self._find = find
        self._patience = patience
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: list[threading.Thread] = []
        self._asked: SimpleQueue[tuple[_Answer, str, bytes] | None] = SimpleQueue()
        #: When each is given up.
        self._under_way: dict[_Answer, float] = {}
        self._is_watched = False

    async def find(self, project: str, key: bytes) -> bytes | None:
        """Return an answer, None if there is none; StoreUnavailable if nobody says in time."""
        if len(self._under_way) >= MOST:
            raise StoreUnavailable("too many wait for the store", "too many wait for it")
        loop = self._loop = self._loop or asyncio.get_running_loop()
        answer: _Answer = loop.create_future()
        self._under_way[answer] = loop.time() + self._patience
        self._begin(loop)
        self._asked.put((answer, project, key))
        try:
            return await answer
        finally:
            del self._under_way[answer]

    def close(self) -> None:
        """Let the threads end, each once it has its answer."""
        for _ in self._threads:
            self._asked.put(None)
        self._threads = []

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """See that somebody works, and that somebody looks at the clock."""
        if len(self._threads) < min(len(self._under_way), THREADS):
            # A database that hangs must not keep the process from its end.
            thread = threading.Thread(
                target=self._work, args=(loop,), name="store-cache", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        if not self._is_watched:
            self._is_watched = True
            loop.call_later(self._patience, self._watch, loop)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up those whose time is over, and come again while there are others."""
        now = loop.time()
        for answer, until in self._under_way.items():
            if until <= now and not answer.done():
                message = f"the store did not answer in {self._patience:g} seconds"
                answer.set_exception(StoreUnavailable(message, "it does not answer in time"))
        self._is_watched = bool(self._under_way)
        if self._is_watched:
            loop.call_later(self._patience, self._watch, loop)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while (asked := self._asked.get()) is not None:
            answer, project, key = asked
            found: bytes | Exception | None
            try:
                found = None if answer.done() else self._find(project, key)
            except Exception as error:  # noqa: BLE001 (raised again where it was asked)
                found = error
            try:
                loop.call_soon_threadsafe(_tell, answer, found)
            except RuntimeError:  # the loop has ended meanwhile
                return


def _tell(answer: _Answer, found: bytes | Exception | None) -> None:
    if answer.done():  # nobody waits any more
        return
    if isinstance(found, Exception):
        answer.set_exception(found)
    else:
        answer.set_result(found)
