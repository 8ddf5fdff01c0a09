"""Whether the store answers, and since when it does not."""

from __future__ import annotations

from datetime import UTC, datetime

from standpipe.calls.callers import Away, Callers
from standpipe.errors import StoreUnavailable
from standpipe.store.lane import Lane
from standpipe.store.rows import now_us
from standpipe.store.store import Store

#: Seconds after which a store that does not answer counts as away.
PATIENCE_S = 1.0


class StoreState:
    """Asks the store whether it is there; whoever asks is answered soon, whatever it does."""

    def __init__(self, store: Store, callers: Callers) -> None:
        self._store = store
        self._callers = callers
        self._lane = Lane("state", threads=1, patience=PATIENCE_S)

    async def now(self) -> dict[str, str]:
        """Return `store`, `ok` or `unavailable`, and for the latter since when and why."""
        away = await self._away()
        if away is None:
            return {"store": "ok"}
        since = datetime.fromtimestamp(away.since / 1e6, UTC).isoformat(timespec="seconds")
        return {
            "store": "unavailable",
            "store_away_since": since.replace("+00:00", "Z"),
            "store_away_because": away.why,
        }

    async def _away(self) -> Away | None:
        try:
            await self._lane.ask(self._store.ping)
        except StoreUnavailable as error:
            return self._callers.away or Away(now_us(), error.why)
        # It may be there without the tables.
        return self._callers.away
