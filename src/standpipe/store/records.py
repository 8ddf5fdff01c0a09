"""The verbs on single records and on stored completions."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from standpipe.store.conditions import (
    IS_STORED,
    beyond,
    find,
    has_all_metadata,
    in_order,
    place_of,
    rows_of,
)
from standpipe.store.database import Database
from standpipe.store.removal import remove_records
from standpipe.store.rows import Order, Row
from standpipe.store.schema import records


class Records:
    """The verbs on single records and on stored completions.

    A record is named by its own id or by the id of its answer's body; of several records with
    the latter, the newest is meant.
    """

    _database: Database

    def record(self, project_id: str, record_id: str) -> Row | None:
        """Return a record of the project, whether its text was kept or not."""
        with self._database.reading() as connection:
            return find(connection, project_id, record_id)

    def completion(self, project_id: str, record_id: str) -> Row | None:
        """Return a stored completion; None for a record that is none."""
        with self._database.reading() as connection:
            return find(connection, project_id, record_id, *IS_STORED)

    def completions(
        self,
        project_id: str,
        *,
        model: str | None = None,
        metadata: Mapping[str, str] | None = None,
        after: str | None = None,
        limit: int = 20,
        order: Order = "asc",
    ) -> tuple[list[Row], bool]:
        """Return a page of the stored completions, and whether there are more.

        Raises NotFound naming `after` if the project has no such record.
        """
        conditions = [records.c.project_id == project_id, *IS_STORED]
        conditions += has_all_metadata(project_id, metadata or {})
        if model is not None:
            conditions.append(records.c.model == model)
        with self._database.reading() as connection:
            if after is not None:
                place = place_of(connection, project_id, after, "after")
                conditions.append(beyond(place, order))
            query = select(records).where(*conditions).order_by(*in_order(order))
            rows = rows_of(connection, query.limit(limit + 1))
        return rows[:limit], len(rows) > limit

    def latest(self, project_id: str) -> Row | None:
        """Return the project's newest logged call, by the time of its request."""
        query = select(records).where(
            records.c.project_id == project_id, records.c.logged.is_(True)
        )
        with self._database.reading() as connection:
            rows = rows_of(connection, query.order_by(*in_order("desc")).limit(1))
        return next(iter(rows), None)

    def delete_record(self, project_id: str, record_id: str) -> bool:
        """Delete a record for good, its metadata with it; False if there is none.

        A tombstone keeps it from coming back when the spool is read again.
        """
        with self._database.writing() as connection:
            row = find(connection, project_id, record_id, texts=False)
            if row is None:
                return False
            removed = remove_records(self._database, connection, project_id, [row.id], bury=True)
        return removed.calls > 0
