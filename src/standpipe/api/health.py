"""GET /health: open to all, and silent about content."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from standpipe import __version__
from standpipe.api.http import Json
from standpipe.api.store_state import StoreState
from standpipe.spool.writer import Spool


class Health:
    """The handler."""

    def __init__(self, store: StoreState, spool: Spool) -> None:
        self._store = store
        self._spool = spool

    async def health(self, _: Request) -> Response:
        """GET /health: calls are served as long as this answers, with or without the store."""
        state = {
            "status": "ok",
            "version": __version__,
            **await self._store.now(),
            "records": {
                "written": self._spool.appended,
                "refused_by_disk": self._spool.append_errors,
            },
        }
        return Json(state)
