"""What tests of every room share: the run's one PostgreSQL and one Redis, and a module's provider.

Each starts with the first test to ask.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count

import misbehaving
import postgres
import pytest
import redis_server
from misbehaving import Misbehaving

from standpipe.store.store import Store

NewDatabase = Callable[..., str]


def pytest_configure() -> None:
    """Hear the terminal's signals: run in the background, these are ignored, by children too."""
    for number, heard in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, heard)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Misbehaving]:
    """Return a provider that does as the model's name says; each module has its own."""
    with misbehaving.running() as provider:
        yield provider


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """Return the run's own server; who stops it or holds it up wants another of its own."""
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: postgres.Server) -> str:
    """Return the name of a database that is migrated and empty, to make others from."""
    name = "migrated"
    with closing(Store.open(postgres_server.create(name))) as store:
        store.migrate()
    return name


@pytest.fixture(scope="session")
def database_numbers() -> Iterator[int]:
    return count()


@pytest.fixture
def new_postgres(
    postgres_server: postgres.Server, migrated_postgres: str, database_numbers: Iterator[int]
) -> Iterator[NewDatabase]:
    """Return what makes a database and returns its URL; all are removed in the end."""
    made: list[str] = []

    def make(*, migrated: bool = True) -> str:
        name = f"test_{next(database_numbers)}"
        made.append(name)
        template = migrated_postgres if migrated else "template1"
        return postgres_server.create(name, template)

    yield make
    for name in made:
        postgres_server.drop(name)


@pytest.fixture(scope="session")
def redis_run() -> Iterator[redis_server.Server]:
    """Return the run's own Redis; who stops it wants another."""
    with redis_server.running() as server:
        yield server
