"""New calls as they come into the store, which is asked again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator

from standpipe.store.rows import LogFilters, Row, now_us
from standpipe.store.store import Store

#: Seconds between two looks.
PAUSE_S = 0.5
#: Calls taken at one look; of more, the oldest are passed over.
AT_ONCE = 500
#: How long before it is stored a call may have begun, in microseconds: the longest a call takes.
REACH_US = 15 * 60 * 1_000_000


def follow(
    store: Store, project_id: str | None, filters: LogFilters, *, earlier: int
) -> Iterator[Row]:
    """Yield the newest `earlier` calls, the oldest first, then each new one, for ever."""
    known: dict[str, int] = {}
    rows = store.logs(project_id, limit=max(earlier, AT_ONCE), texts=False, **filters)
    known.update((row.id, row.requested_at) for row in rows)
    yield from reversed(rows[:earlier])
    while True:
        time.sleep(PAUSE_S)
        since = now_us() - REACH_US
        for name in [name for name, at in known.items() if at < since]:
            del known[name]
        window: LogFilters = {**filters, "since": since}
        rows = store.logs(project_id, limit=AT_ONCE, texts=False, **window)
        for row in reversed(rows):
            if row.id not in known:
                known[row.id] = row.requested_at
                yield row
