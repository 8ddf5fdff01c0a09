"""GET /health and what is below it: open to all, and silent about content."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from standpipe import __version__
from standpipe.api.http import Json
from standpipe.api.presence import Presence
from standpipe.api.store_state import StoreState
from standpipe.api.worker_state import WorkerState
from standpipe.calls.callers import Callers
from standpipe.spool import progress
from standpipe.spool.progress import Progress

#: Seconds that the drain may be silent, and that a record may wait for it, before we say so.
SILENT_S = 30.0
LATE_S = 60.0


class Health:
    """The handlers."""

    def __init__(
        self, store: StoreState, callers: Callers, spool_dir: Path, presence: Presence
    ) -> None:
        self._store = store
        self._callers = callers
        self._spool_dir = spool_dir
        self._presence = presence
        self._since = time.monotonic()

    async def health(self, _: Request) -> Response:
        """GET /health: calls are served as long as this answers, with or without the store."""
        store = await self._store.now()
        workers = await self._presence.all()
        spool = _worst(worker.spool for worker in workers)
        told = await asyncio.to_thread(progress.told, self._spool_dir)
        drain = self._drain_state(told)
        is_well = (store["store"], spool, drain) == ("ok", "ok", "ok")
        is_well = is_well and not any(worker.is_silent() for worker in workers)
        state = {
            "status": "ok" if is_well else "degraded",
            "version": __version__,
            **store,
            "spool": spool,
            "records": _sum(worker.records for worker in workers),
            "drain": drain,
            "drained": None if told is None else _drained(told),
            "workers": sorted(map(_worker, workers), key=itemgetter("name")),
        }
        return Json(state)

    async def live(self, _: Request) -> Response:
        """GET /health/live: this worker answers."""
        return Json({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """GET /health/ready: 503, with every reason, if this worker should be sent no calls.

        A store that is away is none while known keys work: else all nodes would go at once.
        """
        told = await asyncio.to_thread(progress.told, self._spool_dir)
        own = self._presence.now()
        hindrances = (
            (self._presence.is_stopping, "stopping"),
            (own.spool != "ok", f"spool is {own.spool}"),
            (self._drain_state(told) == "silent", "drain is silent"),
            (not self._callers.can_check_keys(), "store is unavailable"),
        )
        reasons = [reason for is_so, reason in hindrances if is_so]
        status = "not ready" if reasons else "ok"
        code = 503 if reasons else 200
        return Json({"status": status, "reasons": reasons}, status_code=code)

    def _drain_state(self, told: Progress | None) -> str:
        up_s = time.monotonic() - self._since  # what was said before we began is no news
        if min(up_s, up_s if told is None else told.age_s()) > SILENT_S:
            return "silent"
        if told is None:
            return "ok"
        if told.lag_s() > LATE_S:
            return "behind"
        return "damage" if told.aside else "ok"


def _worst(spools: Iterable[str]) -> str:
    return max(spools, key=("ok", "full", "failing").index)


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def _worker(worker: WorkerState) -> dict[str, Any]:
    state = "leaving" if worker.is_leaving else "serving"
    return {
        "name": worker.name,
        "state": "silent" if worker.is_silent() else state,
        "connections": worker.connections,
        "requests": worker.requests,
    }


def _drained(told: Progress) -> dict[str, Any]:
    return {
        "inserted": told.inserted,
        "lost_streams": told.lost,
        "torn_segments": told.torn,
        "damaged_segments": told.aside,
        "waiting_bytes": told.waiting,
        "waiting_seconds": round(told.lag_s(), 3),
        "told_seconds_ago": round(told.age_s(), 3),
    }
