"""Who changed what of projects and keys: noted in the transaction of the change itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Table, select

from standpipe.store.database import Database
from standpipe.store.rows import now_us
from standpipe.store.schema import audit
from standpipe.wire.ids import new_id

#: The actor of what the command line changes; the others are ids of keys.
CLI = "cli"


class Entry(msgspec.Struct, frozen=True):
    """A change."""

    id: str
    #: Microseconds since the Unix epoch.
    at: int
    #: Public id of the key that it was made with, or `cli`.
    actor: str
    action: str
    project: str | None
    #: Id of what was changed.
    target: str | None
    #: JSON of what was changed in it; never a token.
    detail: str


def note(
    connection: Connection,
    actor: str,
    action: str,
    project: str,
    target: str,
    detail: Mapping[str, Any],
) -> None:
    """Write down a change with the transaction that makes it."""
    at = now_us()
    connection.execute(
        audit.insert().values(
            id=_id_at(at),
            at=at,
            actor=actor,
            action=action,
            project_id=project,
            target=target,
            detail=msgspec.json.encode(detail).decode(),
        )
    )


def _id_at(at: int) -> str:
    """Return a UUIDv7 that sorts by the microsecond (RFC 9562, section 6.2, method 3)."""
    milliseconds, rest = divmod(at, 1000)
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7{rest:03x}{new_id()[18:]}"


def locked(table: Table, row_id: str) -> Select[Any]:
    """Return the query for a row that keeps it as it is until the transaction ends."""
    return select(table).where(table.c.id == row_id).with_for_update()


def made(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of something new: what was said of it."""
    return {name: _told(name, value) for name, value in values.items() if value is not None}


def differences(before: msgspec.Struct, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of a change: of each field that differs, what it was and is."""
    return {
        name: {"from": _told(name, getattr(before, name)), "to": _told(name, value)}
        for name, value in changes.items()
        if getattr(before, name) != value
    }


def _told(column: str, value: Any) -> Any:
    return value if value is None or column not in _TOLD else _TOLD[column](value)


def _json(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _iso(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%dT%H:%M:%SZ}"


#: Columns that are told otherwise than they are kept.
_TOLD: Mapping[str, Callable[[Any], Any]] = {"limits": _json, "models": _json, "expires_at": _iso}


class AuditLog:
    """The verb on what was changed."""

    _database: Database

    def audit_log(
        self, project_id: str | None, *, before: str | None = None, limit: int = 100
    ) -> list[Entry]:
        """Return the changes of a project, or of all for None, the newest first.

        `before` is the id of an entry, which those that are returned are older than.
        """
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if project_id is not None:
            query = query.where(audit.c.project_id == project_id)
        if before is not None:
            query = query.where(audit.c.id < before)
        with self._database.reading() as connection:
            return [Entry(*each) for each in connection.execute(query)]
