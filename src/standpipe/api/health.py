"""GET /health: open to all, and silent about content."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from standpipe import __version__
from standpipe.api.http import Json
from standpipe.api.store_state import StoreState
from standpipe.calls.content import Contents
from standpipe.spool import progress
from standpipe.spool.progress import Progress
from standpipe.spool.writer import Spool

#: Seconds that the drain may be silent, and that a record may wait for it, before we say so.
SILENT_S = 30.0
LATE_S = 60.0


class Health:
    """The handler."""

    def __init__(self, store: StoreState, spool: Spool, contents: Contents) -> None:
        self._store = store
        self._contents = contents
        self._spool = spool
        self._since = time.monotonic()

    async def health(self, _: Request) -> Response:
        """GET /health: calls are served as long as this answers, with or without the store."""
        store = await self._store.now()
        spool = self._spool_state()
        told = await asyncio.to_thread(progress.told, self._spool.directory)
        drain = self._drain_state(told)
        is_well = (store["store"], spool, drain) == ("ok", "ok", "ok")
        state = {
            "status": "ok" if is_well else "degraded",
            "version": __version__,
            **store,
            "spool": spool,
            "records": self._records(),
            "drain": drain,
            "drained": None if told is None else _drained(told),
        }
        return Json(state)

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

    def _drain_state(self, told: Progress | None) -> str:
        up_s = time.monotonic() - self._since  # what was said before we began is no news
        if min(up_s, up_s if told is None else told.age_s()) > SILENT_S:
            return "silent"
        if told is None:
            return "ok"
        if told.lag_s() > LATE_S:
            return "behind"
        return "damage" if told.aside else "ok"


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
