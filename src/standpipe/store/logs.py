"""The verbs on the log of all calls, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Unpack

from sqlalchemy import Connection, func, select

from standpipe.store.conditions import (
    Place,
    beyond,
    has_metadata,
    in_order,
    of_project,
    owned_by,
    passes,
    place_of,
    rows_of,
)
from standpipe.store.database import Database
from standpipe.store.labelled import listed_with
from standpipe.store.rows import LogFilters, Row
from standpipe.store.schema import projects, records


class Logs:
    """The verbs on the log of all calls, newest first.

    Where a project id may be None, that is the operator's view of all projects.
    """

    _database: Database

    def logs(
        self,
        project_id: str | None,
        *,
        limit: int = 50,
        before: str | None = None,
        texts: bool = True,
        **filters: Unpack[LogFilters],
    ) -> list[Row]:
        """Return a page of calls, the one after the record `before` or else the first.

        Without `texts` they are read many times quicker, and have none.
        Raises NotFound naming `before` if there is no such record.
        """
        place = None
        if before is not None:
            with self._database.reading() as connection:
                place = place_of(connection, project_id, before, "before")
        return self._page(project_id, limit, place, filters, texts=texts)

    def each_log(
        self, project_id: str | None, *, page: int = 200, **filters: Unpack[LogFilters]
    ) -> Iterator[Row]:
        """Yield all calls, a page in memory at a time; no transaction is open in between."""
        rows = self._page(project_id, page, None, filters)
        while rows:
            yield from rows
            rows = self._page(project_id, page, _place(rows[-1]), filters)

    def count(self, project_id: str, **filters: Unpack[LogFilters]) -> int:
        """Return how many calls of a project pass the filters."""
        labels = (filters.get("metadata") or {}).items()
        ours = [owned_by(records.c.project_id, project_id)] if labels else of_project(project_id)
        with self._database.reading() as connection:
            has = [has_metadata(connection, project_id, *label) for label in labels]
            query = select(func.count()).select_from(records)
            query = query.where(*ours, *passes(filters), *has)
            return connection.scalar(query) or 0

    def counts(self, project_id: str | None) -> dict[str, int]:
        """Return how many calls there are of each outcome that occurs."""
        query = select(records.c.outcome, func.count()).where(*of_project(project_id))
        with self._database.reading() as connection:
            return dict(connection.execute(query.group_by(records.c.outcome)).all())

    def _page(
        self,
        project_id: str | None,
        limit: int,
        place: Place | None,
        filters: LogFilters,
        *,
        texts: bool = True,
    ) -> list[Row]:
        with self._database.reading() as connection:
            if project_id is not None:
                return _page_of(connection, project_id, limit, place, filters, texts=texts)
            # One list a project, and then merged: no index goes across projects.
            pages = [
                _page_of(connection, each, limit, place, filters, texts=texts)
                for each in connection.scalars(select(projects.c.id)).all()
            ]
        return list(islice(merge(*pages, key=_place, reverse=True), limit))


def _page_of(
    connection: Connection,
    project_id: str,
    limit: int,
    place: Place | None,
    filters: LogFilters,
    *,
    texts: bool,
) -> list[Row]:
    conditions = listed_with(connection, project_id, filters.get("metadata") or {})
    conditions += passes(filters)
    if place is not None:
        conditions.append(beyond(place, "desc"))
    query = select(records).where(*conditions).order_by(*in_order("desc")).limit(limit)
    return rows_of(connection, query, texts=texts)


def _place(row: Row) -> Place:
    return row.requested_at, row.id
