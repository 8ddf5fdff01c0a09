"""A look at the store without its libraries sees what the store itself would say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from standpipe.store import Project, Store, hash_token, new_token
from standpipe.store.glance import Glance, glance

_, TOKEN = new_token()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a store#1?.db"


@pytest.fixture
def made(tmp_path: Path, file: Path) -> Iterator[tuple[Store, Project]]:
    plain = tmp_path / "plain.db"
    with closing(Store.open(f"sqlite:///{plain}")) as store:
        store.migrate()
        # A URL cannot name every file, and a glance can.
        file.symlink_to(plain)
        yield store, store.add_project("ours")


def add(store: Store, project: Project, *, admin: bool = False, token: str = TOKEN) -> str:
    return store.add_key(project.id, name="", read_only=False, admin=admin, token=token).id


def test_glance_sees_which_keys_there_are(made: tuple[Store, Project], file: Path) -> None:
    store, project = made
    asked = hash_token(TOKEN)
    assert glance(file, asked) == Glance(has_key=False, has_admin_key=False, knows_key=False)
    key = add(store, project)
    assert glance(file, asked) == Glance(has_key=True, has_admin_key=False, knows_key=True)
    assert glance(file, None) == Glance(has_key=True, has_admin_key=False, knows_key=False)
    store.revoke_key(key)
    add(store, project, admin=True, token=new_token()[1])
    assert glance(file, asked) == Glance(has_key=True, has_admin_key=True, knows_key=False)


def test_keys_of_a_removed_project_do_not_count(made: tuple[Store, Project], file: Path) -> None:
    store, project = made
    add(store, project)
    store.remove_project(project.id)
    assert glance(file, None) == Glance(has_key=False, has_admin_key=False, knows_key=False)


def test_a_store_that_nobody_has_open_is_seen(made: tuple[Store, Project], file: Path) -> None:
    store, project = made
    add(store, project)
    store.close()
    assert [each.name for each in file.parent.iterdir() if "-wal" in each.name] == []
    assert glance(file, hash_token(TOKEN)) == Glance(True, False, True)


def test_what_is_no_store_of_this_version_is_left_to_who_makes_one(
    made: tuple[Store, Project], file: Path
) -> None:
    absent = file.with_name("absent.db")
    assert glance(absent, None) is None
    assert not absent.exists()
    absent.write_bytes(b"no database" * 1000)
    assert glance(absent, None) is None
    assert glance(file, None) is not None
    with closing(sqlite3.connect(file.resolve())) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    assert glance(file, None) is None
