"""What the queries on records share: conditions, order, and finding one record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, null, or_, select, tuple_
from sqlalchemy.sql.elements import UnaryExpression

from standpipe.errors import BadRequest, NotFound
from standpipe.store import contents
from standpipe.store.columns import row_of
from standpipe.store.rows import Filter, LogFilters, Order, Row
from standpipe.store.schema import TEXTS, record_metadata, records
from standpipe.store.spans import by_span

#: A stored completion is a logged call that was answered with 200.
IS_STORED: tuple[ColumnElement[bool], ...] = (
    records.c.logged.is_(True),
    records.c.status == 200,
    or_(records.c.response_body.is_not(None), records.c.response.is_not(None)),
    records.c.kind.in_(("chat", "report")),
)

# The table's columns, but for the long ones.
_NUMBERS = [null() if column.name in TEXTS else column for column in records.columns]

#: Where a record stands in a list: requested_at and id.
Place = tuple[int, str]


def of_project(project_id: str | None) -> list[ColumnElement[bool]]:
    """Return the condition that a record is the project's; None is the operator's view of all."""
    return [] if project_id is None else [records.c.project_id == project_id]


def owned_by(column: Column[str], project_id: str) -> ColumnElement[bool]:
    """Return the condition that a row is the project's, for a query that gives the ids too.

    An index on the project is of no use there, but SQLite, without statistics, would take it and
    read every row of the project; an expression keeps it away.
    """
    return column.concat("") == project_id


def ids_with(
    connection: Connection, project_id: str, name: str, value: str
) -> tuple[Select[tuple[str]], Column[str]]:
    """Return the query for the project's records whose metadata has this value under this name.

    And its column, for more conditions.
    """
    its = record_metadata.alias().c
    query = select(its.record_id).where(
        its.project_id == project_id, its["name"] == name, its.value == value
    )
    return by_span(connection, query, its.record_id), its.record_id


def has_metadata(
    connection: Connection, project_id: str, name: str, value: str
) -> ColumnElement[bool]:
    """Return the condition that a record's metadata has this value under this name."""
    return records.c.id.in_(ids_with(connection, project_id, name, value)[0])


def _answered_with(
    connection: Connection, project_id: str | None, completion_id: str
) -> ColumnElement[bool]:
    """Return the condition that a record is the project's and its answer has this id."""
    its = records.alias().c
    query = select(its.id).where(its.completion_id == completion_id)
    if project_id is not None:
        # PostgreSQL's index begins with the project, and SQLite's has none.
        is_sqlite = connection.dialect.name == "sqlite"
        owned = owned_by(its.project_id, project_id)
        query = query.where(owned if is_sqlite else its.project_id == project_id)
    return records.c.id.in_(by_span(connection, query, its.id))


def matching(
    connection: Connection, project_id: str, filters: Sequence[Filter]
) -> list[ColumnElement[bool]]:
    """Return the conditions that a record is the project's and passes all filters.

    Raises BadRequest for a field that there is not.
    """
    columns = records.c
    # By a model records are found in an index that begins with the project, by others elsewhere.
    by_model = all(each.field == "model" for each in filters)
    ours = (
        columns.project_id == project_id if by_model else owned_by(columns.project_id, project_id)
    )
    return [ours, *(_matches(connection, project_id, each) for each in filters)]


def _matches(connection: Connection, project_id: str, wanted: Filter) -> ColumnElement[bool]:
    if wanted.field == "model":
        return records.c.model == wanted.equals
    if wanted.field == "completionId":
        return _answered_with(connection, project_id, wanted.equals)
    name = wanted.metadata_name
    if name:
        return has_metadata(connection, project_id, name, wanted.equals)
    known = "model, completionId, metadata.<name> or tags.<name>"
    raise BadRequest(f"cannot filter by {wanted.field!r}, only by {known}", param="filters")


def passes(filters: LogFilters) -> list[ColumnElement[bool]]:
    """Return the conditions of filters, but for those on metadata."""
    columns = records.c
    given = {
        "model": columns.model.__eq__,
        "status": columns.status.__eq__,
        "outcome": columns.outcome.__eq__,
        "since": columns.requested_at.__ge__,
        "until": columns.requested_at.__lt__,
        "logged": columns.logged.is_,
    }
    return [
        condition(value)
        for name, condition in given.items()
        if (value := filters.get(name)) is not None
    ]


def in_order(order: Order) -> list[UnaryExpression[Any]]:
    """Return the order by time of the request; ids break ties."""
    columns = (records.c.requested_at, records.c.id)
    return [column.asc() if order == "asc" else column.desc() for column in columns]


def beyond(place: Place, order: Order) -> ColumnElement[bool]:
    """Return the condition that a record comes after a place in a list of this order."""
    at = tuple_(records.c.requested_at, records.c.id)
    return at > place if order == "asc" else at < place


def place_of(connection: Connection, project_id: str | None, name: str, param: str) -> Place:
    """Return where a list goes on; NotFound naming the parameter if there is no such record."""
    row = find(connection, project_id, name, texts=False)
    if row is None:
        raise NotFound(f"No completion found with id {name!r}", param=param)
    return row.requested_at, row.id


def find(
    connection: Connection,
    project_id: str | None,
    name: str,
    *conditions: ColumnElement[bool],
    texts: bool = True,
) -> Row | None:
    """Return the record of this id, or else the newest whose answer had it."""
    if "\0" in name:
        return None  # which PostgreSQL would not even look for
    every = [*conditions]
    if project_id is not None:
        every.append(owned_by(records.c.project_id, project_id))
    newest = records.c.requested_at.desc()
    # One after the other: for an OR of the two, SQLite may read all the project's records.
    for is_it in (records.c.id == name, _answered_with(connection, project_id, name)):
        query = select(records).where(is_it, *every).order_by(newest).limit(1)
        rows = rows_of(connection, query, texts=texts)
        if rows:
            return rows[0]
    return None


def rows_of(connection: Connection, query: Select[Any], *, texts: bool = True) -> list[Row]:
    """Run a query that selects the whole table of records.

    Without `texts` the rows have none, and reading them is many times quicker.
    """
    if not texts:
        numbers = connection.execute(query.with_only_columns(*_NUMBERS))
        return [row_of(values, None, None) for values in numbers]
    found = connection.execute(query).all()
    both = contents.texts(connection, found)
    return [row_of(values, *each) for values, each in zip(found, both, strict=True)]
