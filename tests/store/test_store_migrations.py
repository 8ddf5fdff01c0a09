"""From every earlier version, with data in it, to this one; and old processes beside new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import version_0001 as old
from sqlalchemy import Engine, create_engine, text

from standpipe.store import Batch, Row, Store
from standpipe.store.usage import HOUR_US, Sums, UsageQuery
from standpipe.wire.ids import new_id
from standpipe.wire.record import Usage

#: Ids as they are made, of three months, one older than any, and one that is no UUIDv7.
IDS = [
    "0193b2a1-0000-7000-8000-000000000001",
    "0199a0de-3c00-7000-8000-000000000002",
    "0199ffff-3c00-7000-8000-000000000003",
    "019aabcd-3c00-7000-8000-000000000004",
    "req-of-a-foreign-form-0005",
]


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    """Return an engine as an old process has it."""
    made = create_engine(empty_url.replace("postgresql:", "postgresql+psycopg:"))
    yield made
    made.dispose()


@pytest.fixture
def old_database(engine: Engine) -> Engine:
    """Fill a database as 0001 did."""
    with engine.begin() as connection:
        old.make_tables(connection)
        old.add_owners(connection)
        for n, record_id in enumerate(IDS):
            old.add_record(connection, record_id, n * 1_000, logged=n != 3)
        old.add_drains_marks(connection)
    return engine


@pytest.fixture
def store(empty_url: str, old_database: Engine) -> Iterator[Store]:
    with closing(Store.open(empty_url)) as opened:
        assert not opened.is_current()
        opened.migrate()
        assert opened.is_current()
        yield opened


@pytest.fixture
def new_row() -> Callable[[], Row]:
    def make() -> Row:
        return Row(
            id=new_id(),
            kind="chat",
            project=old.PROJECT,
            key="abcdefghij",
            requested_at=1_000_000,
            received_at=1_000_001,
            outcome="complete",
            status=200,
            logged=True,
            updated_at=1_000_002,
            metadata={"prompt": "p1"},
            usage=Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3),
            request='{"model":"m","messages":[{"role":"user","content":"new"}]}',
            response='{"object":"chat.completion","choices":[]}',
        )

    return make


def test_what_0001_kept_is_read(store: Store) -> None:
    rows, more = store.completions(old.PROJECT, limit=20)
    assert [row.id for row in rows] == [each for n, each in enumerate(IDS) if n != 3]
    assert not more
    assert {row.id for row in store.logs(old.PROJECT)} == set(IDS)
    row = store.record(old.PROJECT, IDS[1])
    assert row is not None
    assert row.request == '{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}'
    assert row.response == '{"object":"chat.completion"}'
    assert row.metadata == {"prompt": "p1"}
    assert (row.key, row.status, row.provider_model) == ("abcdefghij", 200, "gpt-4o-2024-08-06")
    assert row.usage == Usage(prompt_tokens=7, completion_tokens=2, total_tokens=9, cached_tokens=1)
    assert (row.cost, row.requested_at, row.received_at) == (None, 1_000, 1_250)
    assert len(store.completions(old.PROJECT, metadata={"prompt": "p1"})[0]) == 4


def test_what_0001_kept_is_summed_up(store: Store) -> None:
    (row,) = store.usage(old.PROJECT, UsageQuery(since=0, until=HOUR_US), limit=9)
    used = {"prompt_tokens": 7, "completion_tokens": 2, "cached_tokens": 1}
    sums = {name: count * len(IDS) for name, count in used.items()}
    assert row.sums == Sums(calls=len(IDS), unpriced=len(IDS), **sums)
    assert not any(store.faults().values())


def test_texts_that_0001_kept_count_in_the_size_that_is_held_to(
    store: Store, new_row: Callable[[], Row]
) -> None:
    kept = len(IDS) - 1  # one was not logged
    (size,) = store.content_sizes().values()
    assert size == kept * (62 + 28)
    assert store.shrink_texts(old.PROJECT, size - 1) == 1
    assert store.content_sizes() == {old.PROJECT: size - 90}
    store.add(Batch(rows=[new_row()]))
    assert not any(store.faults().values())
    assert store.shrink_texts(old.PROJECT, 0) == kept
    assert store.content_sizes() == {old.PROJECT: 0}
    assert not any(store.faults().values())


def test_what_0001_knew_of_the_spool_and_of_keys_is_known(store: Store) -> None:
    assert store.positions() == {"old-0-00000000.seg": 77}
    assert [stream.id for stream in store.open_streams("old-0")] == ["open"]
    assert store.project("old") is not None
    assert store.key_by_hash(bytes(range(32))) is not None


@pytest.mark.parametrize("revision", ["0002", "0003"])
def test_what_each_version_kept_is_there_beside_what_is_new(
    empty_url: str, old_database: Engine, revision: str
) -> None:
    limits = '{"requests_per_minute":5}'
    with old_database.begin() as connection:
        old.make_tables(connection, revision)
        if revision == "0003":
            connection.execute(text("UPDATE projects SET limits = :limits"), {"limits": limits})
    with closing(Store.open(empty_url)) as store:
        assert not store.is_current()
        store.migrate()
        assert store.is_current()
        assert {row.id for row in store.logs(old.PROJECT)} == set(IDS)
        owner = store.project(old.PROJECT)
        assert owner is not None
        assert (owner.limits, owner.alignment_bar) == (limits if revision == "0003" else None, None)
        assert store.criteria(old.PROJECT) == []
        made = store.add_criterion(old.PROJECT, "polite", "{}")
        assert store.criteria(old.PROJECT) == [made]
        assert store.alignment_rows(old.PROJECT, "polite") == []
        assert not any(store.faults().values())


def test_deleted_record_stays_deleted(store: Store, new_row: Callable[[], Row]) -> None:
    row = new_row()
    gone = Row(**{name: getattr(row, name) for name in row.__struct_fields__} | {"id": "gone"})
    assert store.add(Batch(rows=[gone, row])) == 1


def test_what_0001_kept_can_be_changed_and_removed(store: Store) -> None:
    changed = store.set_metadata(old.PROJECT, IDS[0], {"x": "y"})
    assert changed is not None
    assert changed.metadata == {"x": "y"}
    assert store.delete_record(old.PROJECT, IDS[1])
    assert store.remove_project(old.PROJECT)
    assert store.counts(None) == {}


def test_old_processes_go_on_beside_new_ones(
    engine: Engine, store: Store, new_row: Callable[[], Row]
) -> None:
    row = new_row()
    store.add(Batch(rows=[row], positions={"new-0-00000000.seg": 5}))
    late = new_id()
    with engine.begin() as connection:
        old.add_record(connection, late, 2_000_000)
        old.add_record(connection, row.id, 1)  # which is there already
        assert old.move_position(connection) == 1
        old.label(connection, row.id)
        assert old.delete(connection, IDS[0]) == 1
    store.set_metadata(old.PROJECT, late, {"seen": "new"})
    assert {row.id for row in store.logs(old.PROJECT)} == {*IDS[1:], row.id, late}
    found = store.record(old.PROJECT, late)
    assert found is not None
    assert found.metadata == {"seen": "new"}
    assert found.response == '{"object":"chat.completion"}'
    assert store.positions()["old-0-00000000.seg"] == 99


def test_old_processes_see_new_records_without_their_texts(
    engine: Engine, store: Store, new_row: Callable[[], Row]
) -> None:
    row = new_row()
    store.add(Batch(rows=[row]))
    with engine.connect() as connection:
        newest = old.records(connection)[0]
        assert (newest["id"], newest["request"], newest["response"]) == (row.id, None, None)
        assert newest["prompt_tokens"] == 1
        assert row.id in old.labelled(connection)
        assert row.id not in old.stored(connection)
        assert set(old.stored(connection)) == {*IDS} - {IDS[3]}


def test_old_processes_read_and_write_on_while_the_tables_are_migrated(
    empty_url: str, old_database: Engine
) -> None:
    # Ten times, so that the driver has prepared its statements before the tables change.
    with old_database.connect() as connection:
        for _ in range(10):
            assert len(old.records(connection)) == len(IDS)
            connection.rollback()
        with closing(Store.open(empty_url)) as store:
            store.migrate()
        old.add_record(connection, new_id(), 3_000_000)
        connection.commit()
        assert len(old.records(connection)) == len(IDS) + 1


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_every_text_of_postgresql_sorts_by_its_bytes(engine: Engine, store: Store) -> None:
    query = text(
        "SELECT table_name, column_name FROM information_schema.columns WHERE data_type = 'text'"
        " AND table_schema = 'public' AND collation_name IS DISTINCT FROM 'C'"
    )
    with engine.connect() as connection:
        assert connection.execute(query).all() == []


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_records_of_0001_are_in_the_partitions_of_their_months(
    engine: Engine, store: Store
) -> None:
    query = text("SELECT tableoid::regclass::text FROM records ORDER BY id")
    with engine.connect() as connection:
        assert list(connection.scalars(query)) == [
            "records_before",
            "records_2025_10",
            "records_2025_10",
            "records_2025_11",
            "records_after",
        ]
