"""Opening, migrating and failing: what holds of the store as a whole."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, ForeignKeyConstraint, create_engine, inspect, text
from sqlalchemy.schema import SchemaItem

import standpipe.store
from standpipe.errors import ConfigError, StoreUnavailable
from standpipe.store import Batch, Filter, Project, Row, Store, schema
from standpipe.store.revision import HEAD

#: Indexes that one kind of database has, which Alembic takes for missing in the other.
OF_ONE_KIND = {
    "ix_records_project_id_completion_id_requested_at",
    "ix_records_span_completion_id",
    "ix_record_metadata_project_id_name_value_record_id",
    "ix_record_metadata_span_name_value_project_id",
}

ONLY_SQLITE = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)


def engine_of(url: str) -> Engine:
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


def test_tables_are_current_after_migrating_and_not_before(empty_url: str) -> None:
    with closing(Store.open(empty_url)) as store:
        assert not store.is_current()
        store.migrate()
        assert store.is_current()


def test_migrating_again_changes_nothing(url: str, store: Store, project: Project) -> None:
    with closing(Store.open(url)) as again:
        again.migrate()
        assert again.is_current()
        assert again.project("ours") == project


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based")
def test_migrated_tables_equal_the_schema(url: str) -> None:
    engine = engine_of(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": _is_of_today}
        )
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def _is_of_today(thing: SchemaItem, name: str | None, kind: str, *_: object) -> bool:
    if isinstance(thing, ForeignKeyConstraint):
        name = thing.elements[0].target_fullname
    table = getattr(getattr(thing, "table", None), "name", None)
    is_of_a_partition = str(name).startswith("records_")
    if kind == "index" and name in OF_ONE_KIND:
        return False
    return not is_of_a_partition and (kind != "column" or (table, name) not in schema.LEFT_BEHIND)


def test_migrated_indexes_of_sqlite_equal_the_schema(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / name}" for name in ("migrated.db", "made.db")]
    with closing(Store.open(urls[0])) as store:
        store.migrate()
    migrated, made = map(create_engine, urls)
    schema.metadata.create_all(made)
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    with migrated.connect() as one, made.connect() as other:
        found = {tuple(row) for row in one.execute(query)}
        assert found == {tuple(row) for row in other.execute(query)}
    assert {name for name, _ in found} & OF_ONE_KIND == {
        "ix_records_span_completion_id",
        "ix_record_metadata_span_name_value_project_id",
    }
    migrated.dispose()
    made.dispose()


def test_migrated_columns_are_in_the_order_of_the_schema(url: str) -> None:
    # The drain inserts tuples, so that the order matters and not only the names.
    engine = engine_of(url)
    for table in schema.metadata.tables.values():
        found = [column["name"] for column in inspect(engine).get_columns(table.name)]
        today = [name for name in found if (table.name, name) not in schema.LEFT_BEHIND]
        assert today == table.columns.keys()
    engine.dispose()


def test_head_is_the_newest_migration() -> None:
    config = Config()
    room = Path(standpipe.store.__file__).parent / "migrations"
    config.set_main_option("script_location", str(room))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_store_of_a_newer_version_is_refused(store: Store, change: Callable[[str], None]) -> None:
    change("UPDATE alembic_version SET version_num = '9999'")
    change("UPDATE compatibility SET oldest = '9998'")
    assert not store.is_current()
    with pytest.raises(ConfigError, match="9999"):
        store.migrate()


def test_store_of_a_newer_version_that_knows_ours_is_used_as_it_is(
    store: Store, project: Project, change: Callable[[str], None]
) -> None:
    change("UPDATE alembic_version SET version_num = '9999'")
    change(f"UPDATE compatibility SET oldest = '{HEAD}'")
    assert store.is_current()
    store.migrate()
    assert store.projects() == [project]


def test_tables_of_another_program_are_refused(store: Store, change: Callable[[str], None]) -> None:
    change("UPDATE alembic_version SET version_num = 'ae1027a6acf'")
    change("DROP TABLE compatibility")
    assert not store.is_current()
    with pytest.raises(ConfigError, match="ae1027a6acf"):
        store.migrate()


def test_several_processes_can_migrate_at_once(empty_url: str) -> None:
    program = "import sys; from standpipe.store import Store; Store.open(sys.argv[1]).migrate()"
    words = [sys.executable, "-c", program, empty_url]
    started = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate(timeout=60)[1] for process in started] == [b""] * 3
    with closing(Store.open(empty_url)) as store:
        assert store.is_current()


@ONLY_SQLITE
def test_file_is_set_up_for_one_writer_and_many_readers(tmp_path: Path, store: Store) -> None:
    with closing(sqlite3.connect(tmp_path / "standpipe.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA page_size").fetchone() == (16384,)


def test_alembic_is_not_imported_by_the_store() -> None:
    program = "import sys, standpipe.store; print('alembic' in sys.modules)"
    told = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert told == "False\n"


@pytest.mark.parametrize("url", ["", "nonsense", "nosuch://host/db", "sqlite://host/db"])
def test_url_of_no_database_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.url"):
        Store.open(url)


@pytest.mark.parametrize("content", [b"this is no database, and long enough to tell" * 50])
def test_file_that_is_no_database_is_unavailable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "letter.db").write_bytes(content)
    store = Store.open(f"sqlite:///{tmp_path / 'letter.db'}")
    for verb in (store.ping, store.is_current, store.migrate, store.projects):
        with pytest.raises(StoreUnavailable):
            verb()
    store.close()


def test_missing_folder_is_unavailable(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'nowhere' / 'standpipe.db'}")
    with pytest.raises(StoreUnavailable):
        store.ping()
    store.close()


def test_store_without_tables_is_unavailable(empty_url: str) -> None:
    with closing(Store.open(empty_url)) as store:
        store.ping()
        with pytest.raises(StoreUnavailable, match=r"no such table|does not exist") as caught:
            store.projects()
        assert caught.value.why == "its tables are not those of this version yet"


Writing = Callable[[Store, Project, Row], object]
WRITING: dict[str, Writing] = {
    "add": lambda store, _, row: store.add(Batch(rows=[row], positions={"a": 1})),
    "forget_segment": lambda store, _, __: store.forget_segment("a"),
    "add_project": lambda store, _, __: store.add_project("late"),
    "rename_project": lambda store, project, _: store.rename_project(project.id, "late"),
    "remove_project": lambda store, project, _: store.remove_project(project.id),
    "add_key": lambda store, project, _: store.add_key(
        project.id, name="late", read_only=False, token="x" * 16
    ),
    "revoke_key": lambda store, _, __: store.revoke_key("abcdefghij"),
    "set_metadata": lambda store, project, row: store.set_metadata(project.id, row.id, {}),
    "update_metadata": lambda store, project, row: store.update_metadata(
        project.id, [Filter("completionId", str(row.completion_id))], {"a": "b"}
    ),
    "delete_record": lambda store, project, row: store.delete_record(project.id, row.id),
}


Locked = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def locked(kind: str, url: str) -> Locked:
    """Return what keeps others from writing, as a backup or a shell might."""

    @contextmanager
    def lock() -> Iterator[None]:
        engine = engine_of(url)
        tables = ", ".join(schema.metadata.tables)
        with engine.connect() as connection:
            if kind == "sqlite":
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.execute(text("BEGIN IMMEDIATE"))
            else:
                connection.execute(text(f"LOCK TABLE {tables} IN SHARE MODE"))
            yield
        engine.dispose()

    return lock


@pytest.mark.parametrize("write", WRITING.values(), ids=WRITING.keys())
def test_locked_store_is_unavailable_to_a_writer(
    url: str, project: Project, ten: list[Row], locked: Locked, write: Writing
) -> None:
    with closing(Store.open(url, busy_timeout_s=0.05)) as store:
        with locked(), pytest.raises(StoreUnavailable, match="lock"):
            write(store, project, ten[0])
        write(store, project, ten[0])


def test_locked_store_can_be_read(
    store: Store, project: Project, ten: list[Row], locked: Locked
) -> None:
    with locked():
        assert store.latest(project.id) == ten[-1]
        assert store.key_by_hash(bytes(32)) is None


def test_unavailable_store_says_nothing_of_what_was_to_be_written(empty_url: str) -> None:
    with closing(Store.open(empty_url)) as store, pytest.raises(StoreUnavailable) as caught:
        store.add_project("confidential")
    assert "confidential" not in f"{caught.value} {caught.value.__cause__}"
