"""What the drain does with the store: rows and positions in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError

from standpipe.store import Batch, OpenStream, Project, Row, Store
from standpipe.store.columns import row_of as row_from
from standpipe.store.columns import values_of
from standpipe.store.content import Packed
from standpipe.wire.record import Attempt, Usage

RowMaker = Callable[..., Row]

EIGHT_DAYS_US = 8 * 24 * 3600 * 1_000_000


def test_row_comes_back_as_it_went_in(store: Store, project: Project, row_of: RowMaker) -> None:
    row = row_of(
        1,
        kind="report",
        first_byte_at=1_100_000,
        parent="0199-000000",
        provider="openai",
        provider_model="gpt-4o-2024-08-06",
        error="none to speak of",
        finish_reason="stop",
        streamed=True,
        cache_hit=True,
        usage=Usage(prompt_tokens=1, completion_tokens=2, rejected_prediction_tokens=9),
        usage_source="provider",
        cost=Decimal("0.0000123"),
        price_version="2026-10-01",
        user_agent="curl",
        traceparent="00-1-2-01",
        retry_count=2,
        metadata={"prompt_id": "ä"},
        attempts=(Attempt("a", "b", 5, 429, "busy", 7), Attempt("c", "d", 6)),
        fidelity=("seed: emulated",),
    )
    store.add(Batch(rows=[row]))
    assert store.record(project.id, row.id) == row


def test_row_without_text_or_answer_comes_back_too(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    row = row_of(1, key=None, status=None, outcome="lost", logged=False, model=None)
    row = Row(**{**_fields(row), "completion_id": None, "request": None, "response": None})
    store.add(Batch(rows=[row]))
    assert store.record(project.id, row.id) == row


def _fields(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


_count = st.none() | st.integers(0, 2**63 - 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    metadata=st.dictionaries(st.text(), st.text(), max_size=4),
    fidelity=st.lists(st.text(), max_size=3).map(tuple),
    usage=st.none() | st.builds(Usage, prompt_tokens=st.just(0), reasoning_tokens=_count),
    status=_count,
)
def test_any_row_survives_the_columns(row_of: RowMaker, **fields: Any) -> None:
    row = row_of(1, **fields)
    assert row_from(values_of(row, Packed()), row.request, row.response) == row


def test_same_rows_are_inserted_once(store: Store, project: Project, ten: list[Row]) -> None:
    assert store.add(Batch(rows=ten)) == 0
    assert store.counts(project.id) == {"complete": 10}


def test_row_given_twice_in_a_batch_is_inserted_once(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    first, second = row_of(1, metadata={"a": "1"}), row_of(1, metadata={"a": "2"})
    assert store.add(Batch(rows=[first, second, row_of(2)])) == 2
    assert store.record(project.id, first.id) == first


def test_reading_again_does_not_undo_what_was_changed_since(
    store: Store, project: Project, ten: list[Row]
) -> None:
    store.set_metadata(project.id, ten[3].id, {"kept": "yes"})
    store.add(Batch(rows=ten))
    row = store.record(project.id, ten[3].id)
    assert row is not None
    assert row.metadata == {"kept": "yes"}
    assert store.completions(project.id, metadata={"n": "3"}) == ([], False)


def test_big_batch_is_inserted_whole(store: Store, row_of: RowMaker) -> None:
    rows = [row_of(n) for n in range(1_201)]
    assert store.add(Batch(rows=rows[:700])) == 700
    assert store.add(Batch(rows=rows)) == 501


def test_deleted_record_does_not_come_back(store: Store, project: Project, ten: list[Row]) -> None:
    assert store.delete_record(project.id, ten[0].id)
    assert store.add(Batch(rows=ten)) == 0
    assert store.record(project.id, ten[0].id) is None


def test_tombstone_goes_with_the_last_segment_that_may_hold_its_record(
    store: Store, project: Project, ten: list[Row], change: Callable[[str], None]
) -> None:
    store.add(Batch(positions={"one": 1, "two": 1}))
    store.delete_record(project.id, ten[0].id)
    store.add(Batch(positions={"three": 1}))
    change(f"UPDATE tombstones SET deleted_at = deleted_at - {EIGHT_DAYS_US}")
    change(f"UPDATE spool_positions SET first_read_at = first_read_at - {EIGHT_DAYS_US}")
    store.forget_segment("one")
    assert store.add(Batch(rows=ten)) == 0
    store.forget_segment("two")
    assert store.add(Batch(rows=ten)) == 1


def test_lost_node_holds_no_tombstone_and_its_positions_are_forgotten_in_the_end(
    store: Store, project: Project, ten: list[Row], change: Callable[[str], None]
) -> None:
    store.add(Batch(positions={"lost": 1, "ours": 1}))
    store.delete_record(project.id, ten[0].id)
    day_us = EIGHT_DAYS_US // 8
    for column in ("spool_positions SET first_read_at", "tombstones SET deleted_at"):
        change(f"UPDATE {column} = {column.split()[-1]} - {40 * day_us}")
    # One that is there keeps it, however long ago its segment was begun.
    store.seen(["ours", "unheard of"])
    store.forget_segment("other")
    assert store.add(Batch(rows=ten)) == 0
    store.forget_segment("ours")
    assert store.add(Batch(rows=ten)) == 1
    assert (store.forget_lost(), store.positions()) == (0, {"lost": 1})
    change(f"UPDATE spool_positions SET first_read_at = first_read_at - {340 * day_us}")
    assert (store.forget_lost(), store.positions()) == (1, {})


def test_fresh_tombstone_stays_though_no_segment_is_left(
    store: Store, project: Project, ten: list[Row]
) -> None:
    # Nodes whose clocks differ cannot say which of the two came first.
    store.add(Batch(positions={"one": 1}))
    store.delete_record(project.id, ten[0].id)
    store.forget_segment("one")
    assert store.add(Batch(rows=ten)) == 0


def test_tombstone_stays_while_a_segment_is_kept(
    store: Store, project: Project, ten: list[Row], change: Callable[[str], None]
) -> None:
    store.delete_record(project.id, ten[0].id)
    change(f"UPDATE tombstones SET deleted_at = deleted_at - {EIGHT_DAYS_US}")
    store.forget_segment("one", kept_s=8 * 24 * 3600)
    assert store.add(Batch(rows=ten)) == 0
    store.forget_segment("two", kept_s=6 * 24 * 3600)
    assert store.add(Batch(rows=ten)) == 1


def test_positions_are_as_last_committed(store: Store) -> None:
    assert store.positions() == {}
    store.add(Batch(positions={"a": 10, "b": 20}))
    store.add(Batch(positions={"a": 30}))
    assert store.positions() == {"a": 30, "b": 20}
    store.forget_segment("b")
    assert store.positions() == {"a": 30}


def test_failed_batch_moves_no_position(store: Store, project: Project, row_of: RowMaker) -> None:
    broken = row_of(1, model=object())
    with pytest.raises((SQLAlchemyError, TypeError)):
        store.add(Batch(rows=[row_of(0), broken], positions={"a": 10}))
    assert store.positions() == {}
    assert store.counts(project.id) == {}


def test_open_streams_are_kept_until_closed(store: Store) -> None:
    streams = [OpenStream(f"id{n}", f"writer{n % 2}", bytes([n, 255])) for n in range(4)]
    store.add(Batch(opened=streams))
    store.add(Batch(opened=streams[:1]))
    assert store.open_streams(None) == streams
    assert store.open_streams("writer1") == [streams[1], streams[3]]
    store.add(Batch(opened=[OpenStream("id9", "writer1", b"")], closed=["id1", "id9"]))
    assert store.open_streams("writer1") == [streams[3]]


def test_absurd_values_do_not_hold_up_the_spool(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    odd = row_of(
        1,
        status=2**70,
        requested_at=-(2**70),
        usage=Usage(prompt_tokens=2**63, completion_tokens=5),
        model="gpt\ud800",
        metadata={"\udfff": "\ud800x"},
        fidelity=("\ud800",),
    )
    assert store.add(Batch(rows=[row_of(0), odd], positions={"a": 1})) == 2
    row = store.record(project.id, odd.id)
    assert row is not None
    assert (row.status, row.requested_at, row.model) == (None, 0, "gpt?")
    assert row.usage == Usage(completion_tokens=5)
    assert row.metadata == {"?": "?x"}
    assert store.record(project.id, row_of(0).id) == row_of(0)


def test_nul_does_not_hold_up_the_spool(
    store: Store, project: Project, row_of: RowMaker, kind: str
) -> None:
    odd = row_of(1, model="a\0b", error="\0", metadata={"x\0": "\0y"}, request='"\\u0000"')
    streams = [OpenStream("id", "writer", b"\0")]
    assert store.add(Batch(rows=[row_of(0), odd], opened=streams)) == 2
    row = store.record(project.id, odd.id)
    assert row is not None
    kept = "\0" if kind == "sqlite" else "\ufffd"
    assert (row.model, row.error, row.metadata) == (f"a{kept}b", kept, {f"x{kept}": f"{kept}y"})
    assert row.request == '"\\u0000"'
    assert store.open_streams(None) == streams
