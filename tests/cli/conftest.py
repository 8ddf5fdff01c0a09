"""A data directory, a store in it, and calls to put there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, RowAdder

from standpipe.store import Batch, Project, Row, Store, now_us
from standpipe.wire.ids import new_id
from standpipe.wire.record import Usage


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "home")


@pytest.fixture
def store(cli: CommandLine) -> Iterator[Store]:
    cli.home.mkdir()
    with closing(Store.open(f"sqlite:///{cli.home / 'standpipe.db'}")) as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def project(store: Store) -> Project:
    return store.add_project("default")


@pytest.fixture
def add(store: Store, project: Project) -> RowAdder:
    """Return what puts a call into the store; fields may be given."""

    def call(**fields: Any) -> Row:
        at = fields.pop("requested_at", now_us())
        made: dict[str, Any] = {
            "id": new_id(),
            "kind": "chat",
            "project": project.id,
            "key": None,
            "requested_at": at,
            "received_at": at + 812_400,
            "outcome": "complete",
            "status": 200,
            "logged": True,
            "updated_at": at,
            "model": "gpt-4o",
            "usage": Usage(prompt_tokens=11, completion_tokens=5),
            "request": '{"model": "gpt-4o",\n "messages": []}',
            "response": '{"object": "chat.completion"}',
        }
        row = Row(**(made | fields))
        assert store.add(Batch(rows=[row])) == 1
        return row

    return call
