"""Spans of record ids, by which SQLite finds values that are spread over all its records.

Ids begin with their time; what ids of some hours have in common is a span. An index on values such
as the ids of answers changes another page with each new record, which is half of all that storing
one takes. Led by the span it changes pages that are at hand, and who looks a value up looks in one
span after the other, some microseconds each. PostgreSQL has such indexes by the value alone: its
records are in partitions of months.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CTE, Column, ColumnElement, Connection, Select, func, literal_column, select

from standpipe.store.schema import records


def by_span(
    connection: Connection, query: Select[tuple[str]], record_id: Column[Any]
) -> Select[tuple[str]]:
    """Return a query for ids of records in the form that finds them by an index led by the span."""
    if connection.dialect.name != "sqlite":
        return query
    is_in_span = _span_of(record_id) == _SPANS.c.span
    return query.select_from(_SPANS.join(record_id.table, is_in_span))


def _span_of(record_id: ColumnElement[str]) -> ColumnElement[str]:
    # As the indexes have it: of parameters SQLite does not know what they are when it plans.
    return func.substr(record_id, literal_column("1"), literal_column("6"))


def _every_span() -> CTE:
    """Return the spans that there are: each is looked for behind the one before."""
    its = _span_of(records.alias().c.id)
    spans = select(func.min(its).label("span")).cte("spans", recursive=True)
    following = select(func.min(its)).where(its > spans.c.span).correlate(spans)
    return spans.union_all(select(following.scalar_subquery()).where(spans.c.span.is_not(None)))


# One, since a statement that has it twice finds the spans once.
_SPANS = _every_span()
