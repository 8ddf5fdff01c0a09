"""What holds of a store in PostgreSQL alone: reaching it, time-outs, partitions, locks."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime

import postgres
import psycopg
import pytest
from sqlalchemy import text

from standpipe.errors import ConfigError, StoreUnavailable
from standpipe.store import Batch, Project, Row, Store
from standpipe.store.database import Database, Overtaken
from standpipe.wire.ids import new_id

RowMaker = Callable[..., Row]


@pytest.fixture
def kind() -> str:
    return "postgresql"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with closing(Database.open(url, 0.2)) as opened:
        yield opened


@pytest.fixture
def ask(url: str) -> Callable[[str], list[tuple[str, ...]]]:
    """Return what asks the database behind the store's back."""

    def run(statement: str) -> list[tuple[str, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    return run


@pytest.fixture
def partitions(ask: Callable[[str], list[tuple[str, ...]]]) -> Callable[[], list[str]]:
    query = "SELECT relname FROM pg_class WHERE relname LIKE 'records\\_%' AND relkind = 'r'"
    return lambda: sorted(name for (name,) in ask(query))


# --- reaching it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_url_is_taken_as_operators_write_it(url: str, scheme: str) -> None:
    with closing(Store.open(url.replace("postgresql", scheme))) as store:
        assert store.is_current()


def test_url_may_say_how_to_connect(url: str) -> None:
    with closing(Store.open(url + "?sslmode=disable&application_name=ours")) as store:
        store.ping()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:pw-canary@host:no-port/db",
        "postgresql://u:pw-c@nary@host/db",
        "postgresql://u:pw-canary@host/db?no_such_option=1",
        "postgresql+psycopg2://u:pw-canary@host/db",
        "mysql://u:pw-canary@host/db",
    ],
)
def test_url_that_cannot_be_meant_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.url") as caught:
        Store.open(url)
    assert "canary" not in str(caught.value)
    assert "nary" not in str(caught.value)


def test_missing_driver_is_named() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from standpipe.store import Store; Store.open('postgresql://u@h/d')"
    )
    words = [sys.executable, "-c", program]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "pip install 'standpipe[postgres]'" in told.stderr.splitlines()[-1]


def test_nothing_of_it_is_imported_for_sqlite() -> None:
    program = (
        "import sys; from standpipe.store import Store; Store.open('sqlite:////tmp/x.db')\n"
        "print('psycopg' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (postgres.PASSWORD, "pw-wrong-canary", "password authentication failed"),
        ("/test_", "/none_", "does not exist"),
        ("@127.0.0.1", "@nowhere.invalid", "nowhere.invalid"),
    ],
)
def test_server_that_does_not_let_us_in_is_away_and_no_password_is_told(
    url: str, old: str, new: str, said: str
) -> None:
    with closing(Store.open(url.replace(old, new))) as store:
        with pytest.raises(StoreUnavailable, match=said) as caught:
            store.ping()
        told = f"{caught.value} {caught.value.__cause__} {caught.value.why} {store!r}"
        assert "canary" not in told
        assert postgres.PASSWORD not in told


def test_version_is_told(store: Store) -> None:
    name, version = store.version()
    assert name == "postgresql"
    assert version >= 13


# --- a server that stops, hangs, comes back ------------------------------------------------------


@pytest.fixture(scope="module")
def own_server() -> Iterator[postgres.Server]:
    with postgres.running() as server:
        yield server


@pytest.fixture
def shaky(own_server: postgres.Server) -> Iterator[Store]:
    """Return a store on a server of our own, with a connection in its pool."""
    name = f"shaky{new_id()[-6:]}"
    with closing(Store.open(own_server.create(name), busy_timeout_s=0.2)) as store:
        store.migrate()
        yield store


def test_connections_of_a_server_that_was_restarted_are_replaced(
    shaky: Store, own_server: postgres.Server
) -> None:
    project = shaky.add_project("ours")
    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(lambda _: shaky.projects(), range(4))] == [[project]] * 4
    own_server.restart()
    for _ in range(4):
        assert shaky.projects() == [project]
    own_server.kill()
    with pytest.raises(StoreUnavailable):
        shaky.projects()
    own_server.start()
    assert shaky.projects() == [project]


def test_server_that_hangs_is_away_after_a_while(
    shaky: Store, own_server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from standpipe.store import postgres as ours

    monkeypatch.setattr(ours, "_WORK_S", -0.1)
    url = own_server.url("postgres")
    with closing(Store.open(url, busy_timeout_s=0.2)) as hasty:
        hasty.ping()
        own_server.pause()
        try:
            with pytest.raises(StoreUnavailable) as caught:
                hasty.ping()
        finally:
            own_server.go_on()
        assert caught.value.why == "it does not answer in time"
        hasty.ping()


def test_statement_that_takes_too_long_is_given_up(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from standpipe.store import postgres as ours

    monkeypatch.setattr(ours, "_WORK_S", 0.0)
    with closing(Database.open(url, 0.2)) as hasty:
        with pytest.raises(StoreUnavailable, match="statement timeout"), hasty.reading() as reading:
            reading.execute(text("SELECT pg_sleep(30)"))
        with hasty.reading(unhurried=True) as connection:
            connection.execute(text("SELECT pg_sleep(0.5)"))
        with pytest.raises(StoreUnavailable), hasty.reading() as connection:
            connection.execute(text("SELECT pg_sleep(30)"))


# --- partitions ----------------------------------------------------------------------------------


def month(*, ahead: int) -> str:
    now = datetime.now(UTC)
    months = now.year * 12 + now.month - 1 + ahead
    return f"records_{months // 12}_{months % 12 + 1:02}"


def test_there_is_room_for_this_month_and_those_to_come(
    partitions: Callable[[], list[str]],
) -> None:
    assert partitions() == sorted(
        [*(month(ahead=n) for n in range(7)), "records_after", "records_before"]
    )


def test_records_are_in_the_partition_of_their_ids_time(
    store: Store, row_of: RowMaker, ask: Callable[[str], list[tuple[str, ...]]]
) -> None:
    ids = {
        new_id(): month(ahead=0),
        "0192ffff-0000-7000-8000-000000000000": "records_before",
        "019c8000-0000-7000-8000-000000000000": "records_2026_02",
        "req_ours": "records_after",
        "0199-000001": "records_2025_08",
    }
    assert store.add(Batch(rows=[row_of(n, id=each) for n, each in enumerate(ids)])) == 5
    assert set(ask("SELECT id, tableoid::regclass::text FROM records")) == set(ids.items())


def test_empty_partitions_of_the_past_are_removed_and_made_again(
    store: Store, project: Project, row_of: RowMaker, partitions: Callable[[], list[str]]
) -> None:
    early = row_of(1, id="019c8000-0000-7000-8000-000000000000")
    late = row_of(2, id="019c8000-0000-7000-8000-000000000001")
    store.add(Batch(rows=[early]))
    assert store.drop_empty_partitions() == 0
    store.delete_record(project.id, early.id)
    assert store.drop_empty_partitions() == 1
    assert "records_2026_02" not in partitions()
    assert month(ahead=0) in partitions()
    assert store.add(Batch(rows=[late, row_of(3)])) == 2
    assert store.record(project.id, late.id) is not None


def test_partition_that_somebody_reads_at_length_is_left_for_another_time(
    store: Store, database: Database, row_of: RowMaker, project: Project
) -> None:
    early = row_of(1, id="019c8000-0000-7000-8000-000000000000")
    store.add(Batch(rows=[early]))
    store.delete_record(project.id, early.id)
    with database.reading() as connection:
        connection.execute(text("SELECT count(*) FROM records"))
        assert store.drop_empty_partitions() == 0
    assert store.drop_empty_partitions() == 1


def test_drains_that_need_the_same_partition_make_it_once(
    url: str, project: Project, row_of: RowMaker
) -> None:
    stores = [Store.open(url) for _ in range(4)]
    ids = [f"019d{n}000-0000-7000-8000-000000000000" for n in range(10)]

    def add(n: int) -> int:
        rows = [row_of(n, id=f"{each[:-1]}{n}") for each in ids]
        return stores[n].add(Batch(rows=rows))

    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(add, range(4))] == [10] * 4
    for store in stores:
        store.close()


def test_list_of_a_project_reads_no_more_than_an_index_of_each_partition(
    store: Store, project: Project, ten: list[Row], ask: Callable[[str], list[tuple[str, ...]]]
) -> None:
    plan = ask(
        "EXPLAIN SELECT * FROM records WHERE project_id = 'p'"
        " ORDER BY requested_at DESC, id DESC LIMIT 20"
    )
    told = "\n".join(line for (line,) in plan)
    assert "Merge Append" in told
    assert "Seq Scan" not in told
    assert "Sort Key" in told
    by_id = "\n".join(
        line for (line,) in ask(f"EXPLAIN SELECT * FROM records WHERE id = '{new_id()}'")
    )
    assert month(ahead=0) in by_id
    assert "records_after" not in by_id


# --- several at once -----------------------------------------------------------------------------


def test_who_adds_contents_waits_for_who_removes_them(database: Database) -> None:
    with database.writing() as adding:
        database.share_contents(adding)
        with database.writing() as adding_too:
            database.share_contents(adding_too)
        with pytest.raises(StoreUnavailable, match="lock timeout"), database.writing() as removing:
            database.own_contents(removing)
    with database.writing() as removing:
        database.own_contents(removing)
        with pytest.raises(StoreUnavailable, match="lock timeout"), database.writing() as adding:
            database.share_contents(adding)


def test_reader_sees_one_state(store: Store, database: Database, project: Project) -> None:
    count = text("SELECT count(*) FROM projects")
    with database.reading() as connection:
        assert connection.scalar(count) == 1
        store.add_project("another")
        assert connection.scalar(count) == 1


def test_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreUnavailable, match="read-only"), database.reading() as connection:
        connection.execute(text("DELETE FROM projects"))


def test_two_that_wait_for_each_other_are_told_to_try_again(
    url: str, project: Project, other: Project
) -> None:
    patient = Database.open(url, 20)
    both = threading.Barrier(2)
    fates: list[str] = []

    def rename(first: str, second: str) -> None:
        try:
            with patient.writing() as connection:
                for n, each in enumerate((first, second)):
                    statement = text("UPDATE projects SET created_at = 1 WHERE id = :id")
                    connection.execute(statement, {"id": each})
                    if n == 0:
                        both.wait(timeout=30)
            fates.append("done")
        except Overtaken:
            fates.append("overtaken")

    with ThreadPoolExecutor(2) as threads:
        waited = [
            threads.submit(rename, project.id, other.id),
            threads.submit(rename, other.id, project.id),
        ]
        for each in waited:
            each.result(timeout=60)
    patient.close()
    assert sorted(fates) == ["done", "overtaken"]


def test_record_that_another_drain_is_inserting_is_counted_once(
    url: str, store: Store, project: Project, row_of: RowMaker
) -> None:
    """Hold a row that is not committed yet while a drain wants to insert it too."""
    row = row_of(1, id=new_id())
    store.add(Batch(rows=[row_of(2, id=new_id())]))
    with psycopg.connect(url) as connection, ThreadPoolExecutor(1) as thread:
        connection.execute(
            "INSERT INTO records (id, kind, project_id, requested_at, received_at, outcome, logged,"
            " updated_at, streamed, cache_hit, metadata, attempts, fidelity)"
            " VALUES (%s, 'chat', %s, 1, 2, 'complete', false, 3, false, false, '{}', '[]', '[]')",
            (row.id, project.id),
        )
        added = thread.submit(store.add, Batch(rows=[row, row_of(3, id=new_id())]))
        with suppress(TimeoutError):
            added.result(timeout=0.3)
        assert not added.done()
        connection.commit()
        assert added.result(timeout=60) == 1
    assert store.counts(project.id) == {"complete": 3}


# --- other servers -------------------------------------------------------------------------------


def test_store_works_on_the_newest_server_of_the_wheel(row_of: RowMaker) -> None:
    with (
        postgres.running(programs=postgres.wheel_programs()) as server,
        closing(Store.open(server.create("standpipe"))) as store,
    ):
        store.migrate()
        project = store.add_project("ours")
        rows = [row_of(n, project=project.id, metadata={"n": str(n)}) for n in range(3)]
        assert store.add(Batch(rows=rows)) == 3
        assert store.completions(project.id, metadata={"n": "1"})[0] == rows[1:2]
        assert store.delete_record(project.id, rows[0].id)
        assert store.remove_project(project.id)
