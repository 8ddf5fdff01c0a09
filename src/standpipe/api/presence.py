"""This worker among the others: what it says of itself again and again, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from standpipe.api import worker_state
from standpipe.api.worker_state import PoolState, WorkerState
from standpipe.calls.cache.cache import Cache
from standpipe.calls.keeping import Keeper
from standpipe.server.listener import Traffic
from standpipe.server.refusals import Refusals
from standpipe.upstream.pool import Pool


class Presence:
    """One worker's; `directory` is that of all workers of a server."""

    def __init__(
        self,
        directory: Path,
        name: str,
        keeper: Keeper,
        pools: Mapping[str, Pool],
        cache: Cache | None = None,
    ) -> None:
        #: Set once connections are accepted.
        self.traffic: Traffic | None = None
        #: What it has refused without a record, at the door and behind it.
        self.refusals = Refusals()
        #: Set when another takes its place.
        self.is_leaving = False
        #: Set when it finishes what it has begun and takes nothing new.
        self.is_stopping = False
        #: Where all say how they are.
        self.directory = directory
        self._name = name
        self._spool = keeper.spool
        self._contents = keeper.contents
        self._pools = pools
        self._cache = cache
        self._late_s = 0.0

    def now(self) -> WorkerState:
        """Return what there is to say now."""
        traffic = self.traffic
        return WorkerState(
            name=self._name,
            pid=os.getpid(),
            at=worker_state.now_us(),
            is_leaving=self.is_leaving,
            connections=traffic.connections if traffic else 0,
            requests=traffic.requests if traffic else 0,
            spool=self._spool_state(),
            records=self._records(),
            pools={name: _pool_state(pool) for name, pool in self._pools.items()},
            cache=self._cache.counts if self._cache else {},
            late_s=self._late_s,
            refused=[(*told, n) for told, n in self.refusals.counts.items()],
        )

    async def all(self) -> list[WorkerState]:
        """Return every worker: this one as it is now, the others as they were a moment ago."""
        told = await asyncio.to_thread(worker_state.told, self.directory)
        own = self.now()
        return [own, *(state for state in told if state.pid != own.pid)]

    async def keep_telling(self) -> None:
        """Say it again and again, until cancelled."""
        while True:
            with contextlib.suppress(OSError):  # a full disk; who reads it sees that we are silent
                await asyncio.to_thread(worker_state.tell, self.directory, self.now())
            due = time.monotonic() + worker_state.TELL_S
            await asyncio.sleep(worker_state.TELL_S)
            self._late_s = max(0.0, time.monotonic() - due)

    def forget(self) -> None:
        """Remove what was said: this process ends."""
        worker_state.forget(self.directory, self._name, os.getpid())

    def _spool_state(self) -> str:
        if self._spool.is_failing():
            return "failing"
        return "ok" if self._spool.has_room() else "full"

    def _records(self) -> dict[str, int]:
        return {
            "written": self._spool.appended,
            "refused": self._spool.records_refused,
            "without_text": self._spool.records_without_text,
            "lost": self._spool.records_lost,
            "unsynced": self._spool.records_unsynced,
            "unredacted": self._contents.failures,
        }


def _pool_state(pool: Pool) -> PoolState:
    return PoolState(pool.open_connections, pool.idle_connections, pool.waiting_calls)
