"""The verbs that change metadata: the map on each record, and its rows for filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, bindparam, delete, select, update

from standpipe.store.columns import metadata_of, metadata_text
from standpipe.store.conditions import find, matching, owned_by
from standpipe.store.database import Database
from standpipe.store.rows import Filter, Row, now_us
from standpipe.store.schema import record_metadata, records

# How many records go in one transaction: the lock is held for some tens of milliseconds.
_AT_ONCE = 500

Labels = dict[str, str]


class MetadataChanges:
    """The verbs that change metadata."""

    _database: Database

    def set_metadata(
        self, project_id: str, record_id: str, metadata: Mapping[str, str]
    ) -> Row | None:
        """Replace the metadata of a record and return it as it is then; None if there is none."""
        with self._database.writing() as connection:
            row = find(connection, project_id, record_id, texts=False)
            if row is None or not _maps(connection, project_id, [row.id]):
                return None
            _write(connection, project_id, {row.id: dict(metadata)})
            return find(connection, project_id, row.id)

    def update_metadata(
        self, project_id: str, filters: Sequence[Filter], changes: Mapping[str, str | None]
    ) -> int:
        """Change names in the metadata of every logged call that passes; return how many do.

        None deletes a name; names that are not given stay. What matches is settled before the
        first change. The changes are committed in parts, so that the drain is not kept waiting:
        after a failure some are made and some are not, and asking again finishes them.
        Raises BadRequest for a filter on a field that there is not.
        """
        with self._database.reading() as connection:
            conditions = matching(connection, project_id, filters)
            query = select(records.c.id).where(records.c.logged.is_(True), *conditions)
            ids = connection.scalars(query).all()
        for at in range(0, len(ids), _AT_ONCE):
            self._change(project_id, ids[at : at + _AT_ONCE], changes)
        return len(ids)

    def _change(
        self, project_id: str, ids: Sequence[str], changes: Mapping[str, str | None]
    ) -> None:
        with self._database.writing() as connection:
            maps = {
                record_id: _changed(labels, changes)
                for record_id, labels in _maps(connection, project_id, ids).items()
            }
            _write(connection, project_id, maps)


def _maps(connection: Connection, project_id: str, ids: Sequence[str]) -> dict[str, Labels]:
    """Return the maps of records, which nobody else changes until the transaction ends."""
    columns = records.c
    query = select(columns.id, columns["metadata"]).where(
        owned_by(columns.project_id, project_id), columns.id.in_(ids)
    )
    # In order, so that two that change the same records do not wait for each other.
    found = connection.execute(query.order_by(columns.id).with_for_update())
    return {record_id: metadata_of(text) for record_id, text in found}


def _changed(labels: Labels, changes: Mapping[str, str | None]) -> Labels:
    merged = {**labels, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _write(connection: Connection, project_id: str, maps: Mapping[str, Labels]) -> None:
    """Replace the maps of records that are in the store, named by their own ids."""
    if not maps:
        return
    columns = records.c
    change = (
        update(records)
        .where(columns.project_id == project_id, columns.id == bindparam("its_id"))
        .values(metadata=bindparam("its_map"), updated_at=now_us())
    )
    texts = [{"its_id": key, "its_map": metadata_text(labels)} for key, labels in maps.items()]
    connection.execute(change, texts)
    theirs = record_metadata.c.record_id.in_(list(maps))
    owned = owned_by(record_metadata.c.project_id, project_id)
    connection.execute(delete(record_metadata).where(owned, theirs))
    pairs = list(_pairs(project_id, maps))
    if pairs:
        connection.execute(record_metadata.insert(), pairs)


def _pairs(project_id: str, maps: Mapping[str, Labels]) -> Iterable[dict[str, str]]:
    for record_id, labels in maps.items():
        for name, value in labels.items():
            yield {
                "record_id": record_id,
                "name": name,
                "value": value,
                "project_id": project_id,
            }
