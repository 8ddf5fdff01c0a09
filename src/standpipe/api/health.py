"""GET /health: open to all, and silent about content."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from standpipe import __version__
from standpipe.api.http import Json
from standpipe.errors import StoreUnavailable
from standpipe.spool.writer import Spool
from standpipe.store.store import Store


class Health:
    """The handler."""

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store = store
        self._spool = spool

    async def health(self, _: Request) -> Response:
        """GET /health: calls are served as long as this answers, with or without the store."""
        state = {
            "status": "ok",
            "version": __version__,
            "store": await self._store_state(),
            "records": {
                "written": self._spool.appended,
                "refused_by_disk": self._spool.append_errors,
            },
        }
        return Json(state)

    async def _store_state(self) -> str:
        try:
            await asyncio.to_thread(self._store.ping)
        except StoreUnavailable:
            return "unavailable"
        return "ok"
