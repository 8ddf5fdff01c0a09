"""Which records to list by their metadata, in the form that gives a page of them soonest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, func, select

from standpipe.store.conditions import ids_with, of_project, owned_by
from standpipe.store.schema import record_metadata, records

#: As many records are looked up and put in order as soon as a page of them is met in a million.
FEW = 5000
#: Up to so many are counted to find the rarest of several labels.
_MANY = 50_000

#: A name and its value.
Label = tuple[str, str]


def listed_with(
    connection: Connection, project_id: str, metadata: Mapping[str, str]
) -> list[ColumnElement[bool]]:
    """Return the conditions that a record is the project's and its metadata has all these values.

    Where few records have them, the query is to look these up and put them in order; else it is to
    go through the project's in order until the page is full. No database knows which is better:
    SQLite does not count, and PostgreSQL takes labels to be spread evenly over the names.
    """
    if not metadata:
        return of_project(project_id)
    labels = list(metadata.items())
    if len(labels) > 1:
        labels.sort(
            key=lambda label: _count(connection, _ids(connection, project_id, label), _MANY)
        )
    ids = _ids(connection, project_id, *labels)
    if _count(connection, ids, FEW + 1) <= FEW:
        return [owned_by(records.c.project_id, project_id), records.c.id.in_(ids)]
    return [*of_project(project_id), *_have(records.c.id, project_id, labels)]


def _ids(
    connection: Connection, project_id: str, label: Label, *others: Label
) -> Select[tuple[str]]:
    """Return the query for the records that have the labels; the first one leads to them."""
    query, record_id = ids_with(connection, project_id, *label)
    return query.where(*_have(record_id, project_id, others))


def _have(
    record_id: Column[Any], project_id: str, labels: Iterable[Label]
) -> Iterable[ColumnElement[bool]]:
    for name, value in labels:
        its = record_metadata.alias().c
        this = its.record_id == record_id, its["name"] == name, its.value == value
        found = select(its.record_id).where(*this, owned_by(its.project_id, project_id))
        # The offset changes nothing, but PostgreSQL would else join all that have the label before
        # it takes the first of them.
        yield found.offset(0).exists()


def _count(connection: Connection, ids: Select[tuple[str]], most: int) -> int:
    some = ids.limit(most).subquery()
    return connection.scalar(select(func.count()).select_from(some)) or 0
