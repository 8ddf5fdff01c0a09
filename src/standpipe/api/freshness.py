"""Reading the store from the API: in bounded time, and never less than the caller has just made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar

from standpipe.spool import reader
from standpipe.store.lane import Lane
from standpipe.store.store import Store

P = ParamSpec("P")
T = TypeVar("T")

#: The longest wait for the drain, and the pause between two looks, in seconds.
PATIENCE = 2.0
PAUSE = 0.01
#: The longest that a read may take, and a change of many records.
READ_S = 10.0
CHANGE_S = 300.0


class Freshness:
    """Asks the store, and knows where the spool ends and how far the drain has come."""

    def __init__(self, spool_dir: Path, store: Store) -> None:
        self._spool_dir = spool_dir
        self._store = store
        self._reads = Lane("reads", threads=4, patience=READ_S)
        self._changes = Lane("changes", threads=2, patience=CHANGE_S)
        self._looks = Lane("looks", threads=1, patience=PATIENCE)
        self._looking: asyncio.Task[Mapping[str, int]] | None = None

    async def ask(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a verb of the store returns; StoreUnavailable after READ_S seconds."""
        return await self._reads.ask(verb, *args, **kwargs)

    async def change(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a verb returns that may change many records."""
        return await self._changes.ask(verb, *args, **kwargs)

    async def wait(self) -> None:
        """Return once all that is in the spool now is in the store, at the latest in PATIENCE.

        Raises StoreUnavailable, within PATIENCE too, if the store cannot say.
        """
        positions = await self._positions()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._until_drained(positions)

    async def _until_drained(self, positions: Mapping[str, int]) -> None:
        ends = await self._looks.ask(reader.ends, self._spool_dir, positions)
        while not reader.is_drained(self._spool_dir, ends, positions):
            await asyncio.sleep(PAUSE)
            positions = await self._positions()

    async def _positions(self) -> Mapping[str, int]:
        """Return how far the drain has come; however many want to know, the store is asked once."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._looks.ask(self._store.positions))
        looking = self._looking
        # Whoever leaves must not cancel the look that others wait for.
        await asyncio.wait([looking])
        return looking.result()
