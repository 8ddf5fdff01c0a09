"""An agent that sends its history with every turn does not make the store explode."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from agent import Agent

from standpipe.store import Batch, Row, Store
from standpipe.wire.ids import new_id

TURNS = 200
#: How many times less than each text in a row of its own.
LEAST = 20


def stored(path: Path, rows: list[Row]) -> None:
    with closing(Store.open(f"sqlite:///{path}")) as store:
        store.migrate()
        for at in range(0, len(rows), 7):
            store.add(Batch(rows=rows[at : at + 7]))


def size(path: Path) -> int:
    """Return the size of a database file that has nothing to spare."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def write_plainly(path: Path, rows: list[Row]) -> None:
    """Put the texts in rows that have none."""
    texts = [(row.request, row.response, row.id) for row in rows]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("UPDATE records SET request = ?, response = ? WHERE id = ?", texts)


def bare(row: Row) -> Row:
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    return Row(**{**fields, "request": None, "response": None})


def test_conversation_of_an_agent_takes_the_room_of_what_is_new(tmp_path: Path) -> None:
    rows = [
        Row(
            id=new_id(),
            kind="chat",
            project="ours",
            key="abcdefghij",
            requested_at=turn,
            received_at=turn + 1,
            outcome="complete",
            status=200,
            logged=True,
            updated_at=turn,
            model="gpt-4o",
            request=request,
            response=response,
        )
        for turn, (request, response) in enumerate(Agent(seed=4).calls(TURNS))
    ]
    ours, plain = tmp_path / "ours.db", tmp_path / "plain.db"
    stored(ours, rows)
    stored(plain, [bare(row) for row in rows])
    write_plainly(plain, rows)
    assert size(ours) * LEAST <= size(plain), (size(ours), size(plain))
    with closing(Store.open(f"sqlite:///{ours}")) as store:
        assert list(store.each_log("ours", page=50)) == rows[::-1]
