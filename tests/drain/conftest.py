"""A spool, a real store beside it, and the frames of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from standpipe.drain.drain import Drain
from standpipe.spool import Spool, new_boot
from standpipe.store.rows import Row
from standpipe.store.store import Store
from standpipe.wire.record import Begin, Record, encode

NewSpool = Callable[[], Spool]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'standpipe.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url, busy_timeout_s=0.2)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def project(store: Store) -> str:
    return store.add_project("ours").id


@pytest.fixture
def drain(directory: Path, store: Store) -> Iterator[Drain]:
    made = Drain(directory, store)
    yield made
    made.close()


@pytest.fixture
def new_spool(directory: Path) -> Iterator[NewSpool]:
    """Return what starts a worker's spool; all are closed in the end."""
    started: list[Spool] = []

    def start() -> Spool:
        spool = Spool(directory, boot=new_boot(), worker=len(started), segment_bytes=1 << 16)
        started.append(spool)
        return spool

    yield start
    for spool in started:
        spool.close()


@pytest.fixture
def spool(new_spool: NewSpool) -> Spool:
    return new_spool()


@pytest.fixture
def begin_of(project: str) -> Callable[..., bytes]:
    def make(call: str, **fields: Any) -> bytes:
        known: dict[str, Any] = {"id": call, "project": project, "key": "k", "requested_at": 1000}
        return encode(Begin(**(known | fields)))

    return make


@pytest.fixture
def record_of(project: str) -> Callable[..., bytes]:
    def make(call: str, **fields: Any) -> bytes:
        known: dict[str, Any] = {
            "id": call,
            "kind": "chat",
            "project": project,
            "key": "k",
            "requested_at": 1000,
            "received_at": 2000,
            "outcome": "complete",
            "status": 200,
            "logged": True,
        }
        return encode(Record(**(known | fields)))

    return make


@pytest.fixture
def rows(store: Store, project: str) -> Callable[[], dict[str, Row]]:
    def read() -> dict[str, Row]:
        return {row.id: row for row in store.each_log(project)}

    return read
