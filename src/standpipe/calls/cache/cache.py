"""Whether a call is answered from the cache, and what becomes of an answer that was made.

Of calls that ask for the same at the same time, in one worker, the first has the answer made, and
the others wait for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec

from standpipe.calls.cache import entry as entries
from standpipe.calls.cache.entry import Entry
from standpipe.calls.cache.front import Front
from standpipe.calls.cache.keys import Asked
from standpipe.calls.cache.redis_shelf import RedisShelf
from standpipe.calls.cache.shelf import Patient, Shelf, StoreShelf
from standpipe.calls.incoming import CacheMode
from standpipe.config.settings import CacheSettings
from standpipe.errors import ConfigError
from standpipe.store.cache import CachedAnswer
from standpipe.store.store import Store

#: Seconds that a call waits for another one's answer; then it has its own made.
WAIT_S = 60.0
#: Calls, one after the other, that one waits for: where two come to nothing, so would the next.
_TURNS = 2
#: Where an answer was found, or that it was not.
RESULTS = ("memory", "store", "waited", "miss")
#: Largest answer that is kept, in bytes.
LARGEST = 8 << 20

Tell = Callable[[Entry], Awaitable[None]]
Make = Callable[[], Awaitable[Entry | None]]


class Place(msgspec.Struct, frozen=True):
    """Where an answer is, or would be."""

    project: str
    #: The hash of what was asked.
    key: bytes
    #: In which words, None where they are not to be remembered.
    asked: Asked | None = None


def opened(settings: CacheSettings, store: Store) -> Cache | None:
    """Return a worker's cache, None where there is to be none.

    Raises ConfigError where Redis's client is missing or the URL is none of a Redis.
    """
    if not settings.max_bytes:
        return None
    return Cache(_shelf(settings, store), memory=settings.memory_bytes)


def _shelf(settings: CacheSettings, store: Store) -> Shelf:
    if settings.redis is None:
        return StoreShelf(store, settings.max_bytes)
    try:
        return RedisShelf(settings.redis.reveal(), settings.max_bytes)
    except ImportError as error:
        raise ConfigError("cache.redis: needs the extra `redis`: standpipe[redis]") from error
    except ValueError as error:
        raise ConfigError("cache.redis: is no URL of a Redis") from error


class Cache:
    """One worker's: what it holds itself, and what all share."""

    def __init__(self, shelf: Shelf, *, memory: int, wait: float = WAIT_S) -> None:
        self._shelf = Patient(shelf)
        self._front = Front(memory)
        self._wait = wait
        self._making: dict[bytes, asyncio.Future[Entry | None]] = {}
        self._results: Counter[str] = Counter()

    async def close(self) -> None:
        """Write what waits to be written."""
        await self._shelf.close()

    @property
    def counts(self) -> dict[str, int]:
        """What it has done so far, by name."""
        shelf = self._shelf
        done = {result: self._results[result] for result in RESULTS}
        kept = {"written": shelf.written, "dropped": shelf.dropped}
        return {**done, **kept, "bytes": shelf.written_bytes, "held_bytes": self._front.size}

    def recall(self, asked: Asked) -> Entry | None:
        """Return the answer that is held to exactly these words, None if there is none."""
        entry = self._front.recall(asked)
        if entry is not None:
            self._results["memory"] += 1
        return entry

    async def serve(self, place: Place, mode: CacheMode, tell: Tell, make: Make) -> None:
        """Answer a call: tell it what is here, or have its answer made.

        `make` returns what was made, None where that is not to be kept.
        """
        if mode.reads and (entry := self._front.find(place.key)) is not None:
            self._results["memory"] += 1
        elif mode.reads and place.key in self._making:
            entry = await self._others(place.key)
        else:
            entry = None
        if entry is not None:
            await tell(entry)
        elif mode.reads and mode.writes:
            await self._lead(place, tell, make)
        elif mode.reads:
            await self._read(place, tell, make)
        else:
            self._keep(place, await self._made(make))

    async def _others(self, key: bytes) -> Entry | None:
        """Return the answer that another call has made, for this one to take; None for none."""
        for _ in range(_TURNS):
            making = self._making.get(key)
            if making is None:
                return None
            done, _ = await asyncio.wait([making], timeout=self._wait)
            if not done:
                return None
            entry = making.result()
            if entry is not None:
                self._results["waited"] += 1
                return entry
        return None

    async def _far(self, place: Place) -> Entry | None:
        """Return an answer that all share; else this call is a miss."""
        kept = await self._shelf.get(place.project, place.key)
        entry = None if kept is None else entries.decode(kept)
        if entry is None:
            self._results["miss"] += 1
        else:
            self._results["store"] += 1
            self._front.put(place.key, entry, place.asked)
        return entry

    async def _read(self, place: Place, tell: Tell, make: Make) -> None:
        entry = await self._far(place)
        if entry is None:
            await make()
        else:
            await tell(entry)

    async def _lead(self, place: Place, tell: Tell, make: Make) -> None:
        """Look where all look, else have the answer made; those who wait get either."""
        answer = asyncio.get_running_loop().create_future()
        self._making[place.key] = answer
        try:
            entry = await self._far(place)
            if entry is None:
                made = await make()
                answer.set_result(made)
                self._keep(place, made)
                return
            answer.set_result(entry)
        finally:
            self._ended(place.key, answer)
        await tell(entry)

    def _ended(self, key: bytes, answer: asyncio.Future[Entry | None]) -> None:
        """Let nobody wait any more; those who do are told, if that it came to nothing."""
        if self._making.get(key) is answer:
            del self._making[key]
        if not answer.done():
            answer.set_result(None)

    async def _made(self, make: Make) -> Entry | None:
        self._results["miss"] += 1
        return await make()

    def _keep(self, place: Place, entry: Entry | None) -> None:
        if entry is None or len(entry.body) > LARGEST:
            return
        self._front.put(place.key, entry, place.asked)
        self._shelf.put(CachedAnswer(place.project, place.key, entries.encode(entry)))
