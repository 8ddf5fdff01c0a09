"""Removing records, or their texts alone, with all that only they used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    delete,
    func,
    literal_column,
    select,
    update,
)

from standpipe.store import contents
from standpipe.store.conditions import owned_by
from standpipe.store.database import Database
from standpipe.store.rows import Removed, now_us
from standpipe.store.schema import TEXTS, records, tombstones

#: How many records go in one transaction, so that the drain is not kept waiting: with
#: conversations of hundreds of messages each, that takes some tenths of a second.
AT_ONCE = 100

#: Bytes of a record's own texts; of those that 0001 has kept, which nothing compresses, characters.
SIZE: ColumnElement[int] = sum(
    (
        func.coalesce(func.length(records.c[name]), 0)
        for name in ("request_body", "response_body", "request", "response")
    ),
    start=literal_column("0", Integer),
)


def remove_records(
    database: Database, connection: Connection, project_id: str, ids: Sequence[str], *, bury: bool
) -> Removed:
    """Delete a project's records; those that are not there are no matter.

    `bury` leaves a tombstone for each, which keeps it from coming back out of the spool.
    """
    database.own_contents(connection)
    found = _found(connection, project_id, ids)
    connection.execute(delete(records).where(*_these(project_id, found)))
    if bury and found:
        now = now_us()
        graves = [
            {"record_id": row.id, "project_id": project_id, "deleted_at": now} for row in found
        ]
        connection.execute(tombstones.insert(), graves)
    return _release(connection, project_id, found)


def remove_texts(
    database: Database, connection: Connection, project_id: str, ids: Sequence[str]
) -> Removed:
    """Delete the texts of a project's records; their numbers stay."""
    database.own_contents(connection)
    found = _found(connection, project_id, ids)
    change = update(records).where(*_these(project_id, found))
    connection.execute(change.values(**dict.fromkeys(TEXTS), updated_at=now_us()))
    return _release(connection, project_id, found)


def _found(connection: Connection, project_id: str, ids: Sequence[str]) -> list[Row[Any]]:
    columns = records.c
    query = select(columns.id, columns.request_head, SIZE.label("size")).where(
        owned_by(columns.project_id, project_id), columns.id.in_(ids)
    )
    # In order, so that nobody who changes the same records waits for us while we wait for them.
    return list(connection.execute(query.order_by(columns.id).with_for_update()))


def _these(project_id: str, found: Sequence[Row[Any]]) -> tuple[ColumnElement[bool], ...]:
    ours = owned_by(records.c.project_id, project_id)
    return ours, records.c.id.in_([row.id for row in found])


def _release(connection: Connection, project_id: str, found: Sequence[Row[Any]]) -> Removed:
    """Remove the messages that these records, which have no more texts, alone had."""
    heads = {row.request_head for row in found} - {None}
    messages, size = contents.release(connection, project_id, heads)
    size += sum(row.size for row in found)
    contents.grow(connection, {project_id: -size})
    return Removed(len(found), messages, size)
