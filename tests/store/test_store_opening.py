"""Opening, migrating and failing: what holds of the store as a whole."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.schema import SchemaItem

import standpipe.store
from standpipe.errors import ConfigError, StoreUnavailable
from standpipe.store import Batch, Filter, Project, Row, Store, schema


def test_tables_are_current_after_migrating_and_not_before(url: str) -> None:
    store = Store.open(url)
    assert not store.is_current()
    store.migrate()
    assert store.is_current()
    store.close()


def test_migrating_again_changes_nothing(url: str, store: Store, project: Project) -> None:
    again = Store.open(url)
    again.migrate()
    assert again.is_current()
    assert again.project("ours") == project
    again.close()


def test_migrated_tables_equal_the_schema(url: str, store: Store) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": _is_of_today}
        )
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def _is_of_today(thing: SchemaItem, name: str | None, kind: str, *_: object) -> bool:
    table = getattr(getattr(thing, "table", None), "name", None)
    return kind != "column" or (table, name) not in schema.LEFT_BEHIND


def test_migrated_columns_are_in_the_order_of_the_schema(tmp_path: Path, store: Store) -> None:
    # The drain inserts tuples, so that the order matters and not only the names.
    with closing(sqlite3.connect(tmp_path / "standpipe.db")) as connection:
        for table in schema.metadata.tables.values():
            found = [line[1] for line in connection.execute(f"PRAGMA table_info({table.name})")]
            today = [name for name in found if (table.name, name) not in schema.LEFT_BEHIND]
            assert today == table.columns.keys()


def test_head_is_the_newest_migration() -> None:
    config = Config()
    room = Path(standpipe.store.__file__).parent / "migrations"
    config.set_main_option("script_location", str(room))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_store_of_a_newer_version_is_refused(tmp_path: Path, store: Store) -> None:
    with closing(sqlite3.connect(tmp_path / "standpipe.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert not store.is_current()
    with pytest.raises(ConfigError, match="9999"):
        store.migrate()


def test_several_processes_can_migrate_at_once(url: str) -> None:
    program = "import sys; from standpipe.store import Store; Store.open(sys.argv[1]).migrate()"
    words = [sys.executable, "-c", program, url]
    started = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate(timeout=60)[1] for process in started] == [b""] * 3
    store = Store.open(url)
    assert store.is_current()
    store.close()


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


def test_store_without_tables_is_unavailable(url: str) -> None:
    store = Store.open(url)
    store.ping()
    with pytest.raises(StoreUnavailable, match="no such table"):
        store.projects()
    store.close()


Writing = Callable[[Store, Project, Row], object]
WRITING: dict[str, Writing] = {
    "add": lambda store, _, row: store.add(Batch(rows=[row])),
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


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock of a database, as a backup or a shell might."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize("write", WRITING.values(), ids=WRITING.keys())
def test_locked_store_is_unavailable_to_a_writer(
    tmp_path: Path, url: str, project: Project, ten: list[Row], write: Writing
) -> None:
    store = Store.open(url, busy_timeout_s=0.05)
    with locked(tmp_path / "standpipe.db"), pytest.raises(StoreUnavailable, match="locked"):
        write(store, project, ten[0])
    write(store, project, ten[0])
    store.close()


def test_locked_store_can_be_read(
    tmp_path: Path, store: Store, project: Project, ten: list[Row]
) -> None:
    with locked(tmp_path / "standpipe.db"):
        assert store.latest(project.id) == ten[-1]
        assert store.key_by_hash(bytes(32)) is None


def test_unavailable_store_says_nothing_of_what_was_to_be_written(url: str) -> None:
    store = Store.open(url)
    with pytest.raises(StoreUnavailable) as caught:
        store.add_project("confidential")
    assert "confidential" not in f"{caught.value} {caught.value.__cause__}"
    store.close()
