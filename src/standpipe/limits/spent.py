"""What was spent as the store has it, which is the truth once the drain has come so far.

Only what has a budget needs it, and so the database's libraries are imported with the first that
has one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from standpipe.errors import StoreUnavailable
from standpipe.limits.ledger import Place, Span

if TYPE_CHECKING:
    from standpipe.store.settled import Settled
    from standpipe.store.store import Store

#: The longest that the store and the drain may take, and the pause between two looks, in seconds.
PATIENCE_S = 4.0
PAUSE_S = 0.02

#: What takes from the store what it has of spans of one project and period.
Settle = Callable[[Sequence[Span]], Awaitable[None]]


class Spent:
    """Knows what was spent; each span is asked for once, however many wait for it."""

    def __init__(self, store_url: str, spool: Path) -> None:
        self._url = store_url
        self._spool = spool
        self._store: Store | None = None
        self._asking: dict[Place, asyncio.Task[bool]] = {}

    async def ask(self, span: Span, settle: Settle) -> bool:
        """Let a span be settled once this node's drain has come so far; False if it does not."""
        place = span.place
        task = self._asking.get(place)
        if task is None:
            task = self._asking[place] = asyncio.create_task(self._ask(span, settle))
            task.add_done_callback(lambda _: self._asking.pop(place))
        # Whoever leaves must not cancel what others wait for.
        await asyncio.wait([task])
        return task.result()

    async def read(self, spans: Sequence[Span], calls: Collection[str]) -> Settled:
        """Return what the store has of spans of one project and period, and which of these calls.

        Raises StoreUnavailable.
        """
        since, until = _days(spans[0])
        store = await asyncio.to_thread(self._opened)
        return await asyncio.to_thread(store.settled, spans[0].project, since, until, calls)

    async def name(self, span: Span) -> str:
        """Return the name of a key or a project; its id if it has none."""
        return await asyncio.to_thread(self._name, span)

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    async def _ask(self, span: Span, settle: Settle) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._until_drained()
                await settle([span])
        except (StoreUnavailable, TimeoutError):
            return False
        return True

    async def _until_drained(self) -> None:
        """Wait until what is in the spool now is in the store."""
        from standpipe.spool import reader

        positions = await asyncio.to_thread(self._positions)
        ends = await asyncio.to_thread(reader.ends, self._spool, positions)
        while not reader.is_drained(self._spool, ends, positions):
            await asyncio.sleep(PAUSE_S)
            positions = await asyncio.to_thread(self._positions)

    def _positions(self) -> dict[str, int]:
        return dict(self._opened().positions())

    def _name(self, span: Span) -> str:
        store = self._opened()
        if span.subject.kind == "project":
            project = store.project(span.subject.id)
            return project.name if project else ""
        return next((key.name for key in store.keys(span.project) if key.id == span.subject.id), "")

    def _opened(self) -> Store:
        if self._store is None:
            from standpipe.store.store import Store

            self._store = Store.open(self._url)
        return self._store


def _days(span: Span) -> tuple[int, int]:
    """Return when a span begins and ends, in microseconds since the epoch."""
    form = "%Y-%m-%d" if span.period == "day" else "%Y-%m"
    start = datetime.strptime(span.name, form).replace(tzinfo=UTC)
    month = (start + timedelta(days=31)).replace(day=1)
    end = start + timedelta(days=1) if span.period == "day" else month
    return int(start.timestamp()) * 1_000_000, int(end.timestamp()) * 1_000_000
