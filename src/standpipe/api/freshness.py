"""Reading your own writes: waiting for the drain to pass what is in the spool."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from standpipe.spool import reader
from standpipe.store.store import Store

#: The longest wait, and the pause between two looks, in seconds.
PATIENCE = 2.0
PAUSE = 0.01


class Freshness:
    """Knows where the spool ends and how far the drain has come."""

    def __init__(self, spool_dir: Path, store: Store) -> None:
        self._spool_dir = spool_dir
        self._store = store

    async def wait(self) -> None:
        """Return once all that is in the spool now is in the store, at the latest in PATIENCE."""
        deadline = time.monotonic() + PATIENCE
        positions = await asyncio.to_thread(self._store.positions)
        ends = await asyncio.to_thread(reader.ends, self._spool_dir, positions)
        while not reader.is_drained(self._spool_dir, ends, positions):
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(PAUSE)
            positions = await asyncio.to_thread(self._store.positions)
