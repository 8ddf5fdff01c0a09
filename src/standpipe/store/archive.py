"""The verbs of backup and restore: one state of all that is kept, and putting it back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Connection, Table, exc, func, or_, select, text, tuple_

from standpipe.errors import BadRequest
from standpipe.store import audit
from standpipe.store.alignment import AlignmentRow, found_rows
from standpipe.store.audit import Entry as AuditEntry
from standpipe.store.conditions import rows_of
from standpipe.store.criteria import Criterion, found_criteria, of_criteria
from standpipe.store.database import Database
from standpipe.store.many import present
from standpipe.store.rows import Key, OpenStream, Project, Row
from standpipe.store.schema import (
    api_keys,
    open_streams,
    projects,
    records,
    spool_positions,
    tombstones,
    usage_hours,
)
from standpipe.store.schema import audit as audit_table
from standpipe.store.usage import Sums, sum_days

#: What became of something that was to be put back: it is there now, it was there before, or it
#: was removed here and stays so.
Restored = Literal["new", "there", "removed"]

# Records read at once: as many as this, fewer where their texts are more than so many bytes.
_MOST = 200
_BYTES = 4 << 20


class Hour(msgspec.Struct, frozen=True):
    """What was used in an hour, as `usage_hours` keeps it."""

    project: str
    name: str
    hour: int
    value: str
    key: str
    model: str
    sums: Sums


_FIGURES = Sums.__struct_fields__
_PLACE = tuple(column.name for column in usage_hours.primary_key)
_KEYS = len(_PLACE)
_HOUR = [usage_hours.c[name] for name in (*_PLACE, *_FIGURES)]

# Of two counts of the same hour, that of more calls has the other in it.
_RAISE = text(
    f"{usage_hours.insert()} ON CONFLICT ({', '.join(_PLACE)}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _FIGURES)
    + " WHERE usage_hours.calls < excluded.calls"
)


class Snapshot:
    """One state of the database, of all projects, read piece by piece; for one thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def projects(self) -> list[Project]:
        """Return the projects."""
        query = select(projects).order_by(projects.c.created_at, projects.c.id)
        return [Project(*found) for found in self._connection.execute(query)]

    def keys(self) -> list[Key]:
        """Return the keys, revoked ones too."""
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        return [Key(*found) for found in self._connection.execute(query)]

    def criteria(self) -> list[Criterion]:
        """Return the criteria with their versions."""
        return found_criteria(self._connection, of_criteria(None))

    def alignment_rows(self) -> Iterator[AlignmentRow]:
        """Yield the rows of all alignment sets, with what was said of them."""
        yield from found_rows(self._connection, None)

    def rows(self) -> Iterator[Row]:
        """Yield the records of all projects with their texts, ordered by id."""
        # An expression keeps SQLite from the index on the project, by which it would read all.
        owned = records.c.project_id.concat("").in_(select(projects.c.id))
        last, at_once = "", _MOST
        while True:
            query = select(records).where(records.c.id > last, owned).order_by(records.c.id)
            page = rows_of(self._connection, query.limit(at_once))
            if not page:
                return
            yield from page
            last = page[-1].id
            size = sum(len(row.request or "") + len(row.response or "") for row in page)
            at_once = max(1, min(_MOST, len(page) * _BYTES // max(1, size)))

    def hours(self) -> Iterator[Hour]:
        """Yield what was used, hour by hour; records that are no more are in it too."""
        place = tuple_(*usage_hours.primary_key)
        query = (
            select(*_HOUR)
            .where(usage_hours.c.project_id.in_(select(projects.c.id)))
            .order_by(*usage_hours.primary_key)
            .limit(_MOST)
        )
        page = self._connection.execute(query).all()
        while page:
            yield from map(_hour_of, page)
            after = query.where(place > tuple(page[-1][:_KEYS]))
            page = self._connection.execute(after).all()

    def audit(self) -> Iterator[AuditEntry]:
        """Yield what was changed of projects and keys, also of those that are no more."""
        query = select(audit_table).order_by(audit_table.c.id).limit(_MOST)
        page = [AuditEntry(*found) for found in self._connection.execute(query)]
        while page:
            yield from page
            after = query.where(audit_table.c.id > page[-1].id)
            page = [AuditEntry(*found) for found in self._connection.execute(after)]

    def streams(self) -> list[OpenStream]:
        """Return the streams that began and have no record yet."""
        query = select(open_streams).order_by(open_streams.c.id)
        return [OpenStream(*found) for found in self._connection.execute(query)]

    def count(self) -> int:
        """Return how many records there are."""
        return self._connection.scalar(select(func.count()).select_from(records)) or 0

    def positions(self) -> dict[str, int]:
        """Return how far each segment of the spool has been read, in bytes."""
        query = select(spool_positions.c.segment, spool_positions.c.offset)
        return {found.segment: found.offset for found in self._connection.execute(query)}

    def buried(self, ids: Iterable[str]) -> set[str]:
        """Return those of the ids, of records or projects, that were deleted."""
        return present(self._connection, tombstones.c.record_id, ids)


class Archive:
    """The verbs of backup and restore; records come back by `add`."""

    _database: Database
    _actor: str

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Read one state of the database, however long that takes."""
        with self._database.reading(unhurried=True) as connection:
            yield Snapshot(connection)

    def restore_project(self, project: Project) -> Restored:
        """Put a project back under its own id; BadRequest if another has its name."""
        try:
            with self._database.writing() as connection:
                if present(connection, tombstones.c.record_id, [project.id]):
                    return "removed"
                if present(connection, projects.c.id, [project.id]):
                    return "there"
                connection.execute(projects.insert(), _values(projects, project))
                noted = ("project.restored", project.id, project.id, {"name": project.name})
                audit.note(connection, self._actor, *noted)
        except exc.IntegrityError as error:
            message = f"there is another project named {project.name!r}"
            raise BadRequest(message, param="name") from error
        return "new"

    def restore_key(self, key: Key) -> Restored:
        """Put a key back; one that is there stays as it is, under whatever id."""
        same = or_(api_keys.c.id == key.id, api_keys.c.token_hash == key.token_hash)
        with self._database.writing() as connection:
            if connection.scalar(select(api_keys.c.id).where(same)) is not None:
                return "there"
            if not present(connection, projects.c.id, [key.project]):
                return "removed"
            connection.execute(api_keys.insert(), _values(api_keys, key))
            detail = audit.made({"name": key.name, "admin": key.admin or None})
            noted = ("key.restored", key.project, key.id, detail)
            audit.note(connection, self._actor, *noted)
        return "new"

    def restore_audit(self, entries: Iterable[AuditEntry]) -> int:
        """Put back what was changed and by whom; return how much of it was not there."""
        with self._database.writing() as connection:
            tuples = [astuple(entry) for entry in entries]
            return self._database.insert_ignoring(connection, audit_table, tuples)

    def restore_hours(self, hours: Iterable[Hour]) -> None:
        """Put back what was used in hours that have fewer calls here, or none."""
        some = list(hours)
        found = [_of_hour(each) for each in some]
        if found:
            with self._database.writing() as connection:
                # Nobody adds to an hour while its day is summed up.
                self._database.own_contents(connection)
                connection.execute(_RAISE, found)
                for project_id in sorted({each.project for each in some}):
                    theirs = [each.hour for each in some if each.project == project_id]
                    sum_days(connection, project_id, min(theirs), max(theirs))


def _hour_of(found: Sequence[Any]) -> Hour:
    place: dict[str, Any] = dict(zip(Hour.__struct_fields__, found[:_KEYS], strict=False))
    return Hour(**place, sums=Sums(*found[_KEYS:]))


def _of_hour(hour: Hour) -> dict[str, Any]:
    *place, sums = astuple(hour)
    return dict(zip((*_PLACE, *_FIGURES), (*place, *astuple(sums)), strict=True))


def _values(table: Table, of: Project | Key) -> dict[str, Any]:
    # The limits of a key's project are not its own to keep.
    return dict(zip(table.columns.keys(), astuple(of), strict=False))
