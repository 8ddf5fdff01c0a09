"""The verbs on single records and on stored completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, select

from standpipe.errors import BadRequest
from standpipe.store.conditions import (
    IS_STORED,
    beyond,
    find,
    has_metadata,
    in_order,
    matching,
    owned_by,
    place_of,
    rows_of,
)
from standpipe.store.database import Database
from standpipe.store.labelled import listed_with
from standpipe.store.removal import AT_ONCE, remove_records
from standpipe.store.rows import Filter, Order, Removed, Row
from standpipe.store.schema import records, usage_days, usage_hours


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
        conditions = [*IS_STORED]
        if model is not None:
            conditions.append(records.c.model == model)
        with self._database.reading() as connection:
            conditions += listed_with(connection, project_id, metadata or {})
            if after is not None:
                place = place_of(connection, project_id, after, "after")
                conditions.append(beyond(place, order))
            query = select(records).where(*conditions).order_by(*in_order(order))
            rows = rows_of(connection, query.limit(limit + 1))
        return rows[:limit], len(rows) > limit

    def latest(self, project_id: str) -> Row | None:
        """Return the project's newest logged call, by the time of its request; no judge's."""
        query = select(records).where(
            records.c.project_id == project_id,
            records.c.logged.is_(True),
            records.c.kind != "judge",
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

    def delete_records(self, project_id: str, filters: Sequence[Filter]) -> Removed:
        """Delete for good every call that passes all filters, logged or not; return what went.

        It is committed in parts, so that the drain is not kept waiting: after a failure some are
        gone and some are not, and asking again finishes it.
        Raises BadRequest for a filter on a field that there is not, and where there is no filter.
        """
        if not filters:
            raise BadRequest("filters: at least one, or every call would go", param="filters")
        removed = Removed()
        while ids := self._some(project_id, filters):
            with self._database.writing() as connection:
                removed += remove_records(self._database, connection, project_id, ids, bury=True)
        with self._database.writing() as connection:
            rows = sum(_forget_usage(connection, project_id, each) for each in filters)
        return removed + Removed(usage_rows=rows)

    def _some(self, project_id: str, filters: Sequence[Filter]) -> list[str]:
        """Return the ids of some records that pass all filters."""
        with self._database.reading() as connection:
            query = select(records.c.id).where(*matching(connection, project_id, filters))
            return list(connection.scalars(query.limit(AT_ONCE)))


def _forget_usage(connection: Connection, project_id: str, wanted: Filter) -> int:
    """Delete the sums of usage by metadata that no call has any more."""
    name = wanted.metadata_name
    if not name:
        return 0
    left = select(records.c.id).where(
        owned_by(records.c.project_id, project_id),
        has_metadata(connection, project_id, name, wanted.equals),
    )
    if connection.scalar(left.limit(1)) is not None:
        return 0
    gone = 0
    for table in (usage_hours, usage_days):
        of_value = table.c.project_id == project_id, table.c.name == name
        these = delete(table).where(*of_value, table.c.value == wanted.equals)
        gone += connection.execute(these).rowcount
    return gone
