"""The verbs that end what was kept long enough, the oldest first and a little at a time.

Each ends at most `AT_ONCE` calls and returns how many, so 0 means that there is no more to do.
Several processes may be at it at once.
"""

from __future__ import annotations

from itertools import accumulate, takewhile
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, text

from standpipe.store.database import Database
from standpipe.store.months import id_at
from standpipe.store.removal import AT_ONCE, SIZE, remove_records, remove_texts
from standpipe.store.schema import HAS_TEXT, contents, prefixes, project_sizes, records


class Retention:
    """The verbs that end what was kept long enough."""

    _database: Database

    def expire_texts(self, project_id: str, before: int) -> int:
        """Remove the texts of calls that came here before a time; their numbers stay."""
        query = _with_text(project_id).where(*_came_before(before))
        with self._database.reading() as connection:
            ids = [row.id for row in connection.execute(query)]
        return self._remove_texts(project_id, ids)

    def shrink_texts(self, project_id: str, most: int) -> int:
        """Remove the oldest texts of a project whose texts take more than so many bytes."""
        size = select(project_sizes.c.content_bytes).where(project_sizes.c.project_id == project_id)
        with self._database.reading() as connection:
            excess = (connection.scalar(size) or 0) - most
            if excess <= 0:
                return 0
            found = connection.execute(_with_text(project_id)).all()
        before = accumulate((row.size for row in found), initial=0)
        enough = len(list(takewhile(lambda freed: freed < excess, before)))
        return self._remove_texts(project_id, [row.id for row in found[:enough]])

    def expire_records(self, project_id: str, before: int) -> int:
        """Delete calls that came here before a time, with all that is kept of them.

        The sums of their usage stay.
        """
        query = select(records.c.id).where(
            records.c.project_id == project_id, *_came_before(before)
        )
        oldest = query.order_by(records.c.requested_at).limit(AT_ONCE)
        with self._database.reading() as connection:
            ids = connection.scalars(oldest).all()
        if ids:
            with self._database.writing() as connection:
                remove_records(self._database, connection, project_id, ids, bury=True)
        return len(ids)

    def _remove_texts(self, project_id: str, ids: list[str]) -> int:
        if ids:
            with self._database.writing() as connection:
                remove_texts(self._database, connection, project_id, ids)
        return len(ids)


def _came_before(time: int) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a call was requested and its record made before a time.

    A report may tell of a call of long ago: its record is as old as the report.
    """
    return records.c.requested_at < time, records.c.id < id_at(max(0, time))


# About what goes with a call: its own, and the last of its messages. Those before that are, most
# often, other calls' too.
_GOES = SIZE + func.coalesce(
    select(func.length(contents.c.body))
    .join(prefixes, prefixes.c.content == contents.c["hash"])
    .where(prefixes.c["hash"] == records.c.request_head)
    .scalar_subquery(),
    0,
)


def _with_text(project_id: str) -> Select[Any]:
    """Return the query for a project's oldest calls that have a text."""
    query = select(records.c.id, _GOES.label("size")).where(
        records.c.project_id == project_id, text(f"({HAS_TEXT})")
    )
    return query.order_by(records.c.requested_at).limit(AT_ONCE)
