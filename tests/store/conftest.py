"""A migrated store of each kind, two projects in it, and rows to put there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from standpipe.store import Batch, Project, Row, Store

RowMaker = Callable[..., Row]


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Run a test on each kind of database; who wants one of them says so with `indirect`."""
    return str(request.param)


@pytest.fixture
def empty_url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Return the URL of a database without tables."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("new_postgres")(migrated=False))


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Return the URL of a migrated database."""
    if kind == "postgresql":
        return str(request.getfixturevalue("new_postgres")())
    shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "standpipe.db")
    return f"sqlite:///{tmp_path / 'standpipe.db'}"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that is migrated and empty, to copy."""
    path = tmp_path_factory.mktemp("migrated") / "standpipe.db"
    with closing(Store.open(f"sqlite:///{path}")) as store:
        store.migrate()
    return path


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url, busy_timeout_s=5)
    yield opened
    opened.close()


@pytest.fixture
def change(url: str) -> Callable[[str], None]:
    """Return what runs a statement behind the store's back."""

    def run(statement: str) -> None:
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()

    return run


@pytest.fixture
def project(store: Store) -> Project:
    return store.add_project("ours")


@pytest.fixture
def other(store: Store) -> Project:
    return store.add_project("theirs")


@pytest.fixture
def row_of(project: Project) -> RowMaker:
    """Return what makes a stored completion; number `n` was requested at second `n`."""

    def make(n: int, **fields: Any) -> Row:
        made: dict[str, Any] = {
            "id": f"0199-{n:06}",
            "kind": "chat",
            "project": project.id,
            "key": "abcdefghij",
            "requested_at": n * 1_000_000,
            "received_at": n * 1_000_000 + 250_000,
            "outcome": "complete",
            "status": 200,
            "logged": True,
            "updated_at": n * 1_000_000 + 300_000,
            "model": "gpt-4o",
            "completion_id": f"chatcmpl-{n}",
            "request": '{"model":"gpt-4o","messages":[]}',
            "response": '{"object":"chat.completion"}',
        }
        return Row(**(made | fields))

    return make


@pytest.fixture
def ten(store: Store, row_of: RowMaker) -> list[Row]:
    """Put ten stored completions into the store, oldest first."""
    rows = [row_of(n, metadata={"n": str(n)}) for n in range(10)]
    assert store.add(Batch(rows=rows)) == 10
    return rows
