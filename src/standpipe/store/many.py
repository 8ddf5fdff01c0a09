"""Looking up many keys at once, as many at a time as a statement of every database takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY

T = TypeVar("T")

# Below every database's limit on the parameters of one statement.
_AT_ONCE = 500


def in_parts(keys: Iterable[T]) -> Iterator[list[T]]:
    """Yield the keys in lists that a statement takes."""
    remaining = iter(keys)
    while part := list(islice(remaining, _AT_ONCE)):
        yield part


def present(connection: Connection, column: Column[Any], keys: Iterable[T]) -> set[T]:
    """Return those of the keys that a column has."""
    query = select(column).where(_is_among(connection, column))
    found: set[T] = set()
    for some in in_parts(keys):
        found.update(connection.scalars(query, {"keys": some}))
    return found


def _is_among(connection: Connection, column: Column[Any]) -> ColumnElement[bool]:
    # Five hundred parameters of their own take longer than the look-up.
    if connection.dialect.name == "postgresql":
        return column == any_(bindparam("keys", type_=ARRAY(column.type)))
    return column.in_(bindparam("keys", expanding=True))
