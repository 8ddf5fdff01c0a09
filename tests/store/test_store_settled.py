"""What was spent as the store has it, by key, and which calls are in that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from standpipe.store import Batch, Row, Store
from standpipe.store.settled import Settled
from standpipe.wire.ids import new_id

DAY = 86_400_000_000
NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * 1_000_000
TODAY = NOON - DAY // 2
DOLLAR = 10**12


def test_sums_are_those_of_the_days_and_the_calls_those_that_are_stored(
    store: Store, row_of: Callable[..., Row]
) -> None:
    rows = [
        row_of(number, requested_at=at, key=key, cost=Decimal(cost))
        for number, (at, key, cost) in enumerate(
            [(NOON, "a", 2), (NOON + 1, "a", 3), (NOON, None, 5), (NOON - DAY, "a", 7)]
        )
    ]
    store.add(Batch(rows=rows))
    project, missing = rows[0].project, new_id()
    asked = [rows[0].id, rows[2].id, missing]
    assert store.settled(project, TODAY, TODAY + DAY, asked) == Settled(
        {"a": 5 * DOLLAR, "": 5 * DOLLAR}, {rows[0].id, rows[2].id}
    )
    both = store.settled(project, TODAY - DAY, TODAY + DAY)
    assert both == Settled({"a": 12 * DOLLAR, "": 5 * DOLLAR}, set())


def test_deleted_call_is_in_the_sums_still(store: Store, row_of: Callable[..., Row]) -> None:
    row = row_of(1, requested_at=NOON, key="a", cost=Decimal(2))
    store.add(Batch(rows=[row]))
    store.delete_record(row.project, row.id)
    found = store.settled(row.project, TODAY, TODAY + DAY, [row.id])
    assert found == Settled({"a": 2 * DOLLAR}, {row.id})
