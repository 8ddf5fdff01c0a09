"""What was used, summed up by the hour: written with the rows, and all that reports read.

A call counts once under its key and model, and once more for each name of metadata that is
summed by. Its hour is that of its request.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, func, select

from standpipe.store.columns import DOLLAR
from standpipe.store.database import Database
from standpipe.store.rows import Row
from standpipe.store.schema import usage_hours

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

# The largest number that a column holds. A cost that would be larger stays there: figures that are
# reported may be nonsense, and must not stop the drain.
_LARGEST = 2**63 - 1
# Costs are summed in two halves, since all of them might be more than the database can count.
_HALF = 2**32

# The rows that are all of it.
_ALL = ("", "")

By = Literal["hour", "day"]
LENGTHS: Mapping[By, int] = {"hour": HOUR_US, "day": DAY_US}


class Sums(msgspec.Struct, frozen=True):
    """What some calls used."""

    calls: int = 0
    #: Calls whose outcome is not `complete`.
    failed: int = 0
    #: Calls that have a price, and calls that have usage and none.
    priced: int = 0
    unpriced: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    #: US dollars times 10^12.
    cost_pico: int = 0

    @property
    def cost(self) -> Decimal | None:
        """US dollars, None where no call has a price."""
        return Decimal(self.cost_pico) / DOLLAR if self.priced else None

    def __add__(self, other: Sums) -> Sums:
        """Return what both used."""
        return Sums(*map(operator.add, _figures(self), _figures(other)))

    def __sub__(self, other: Sums) -> Sums:
        """Return what is left without the other, which is a part of it."""
        return Sums(*map(operator.sub, _figures(self), _figures(other)))


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which usage is asked for, and by what it is summed; None is no condition."""

    #: Microseconds since the Unix epoch: from the hour of the first to the hour before the second.
    since: int
    until: int
    by: By = "day"
    by_project: bool = False
    by_model: bool = False
    by_key: bool = False
    #: A name of metadata that is summed by.
    by_name: str | None = None
    model: str | None = None
    key: str | None = None
    #: A name of metadata and its value.
    label: tuple[str, str] | None = None


class UsageRow(msgspec.Struct, frozen=True):
    """What was used in an hour or a day."""

    #: Microseconds since the Unix epoch.
    start: int
    #: Where it is summed by these, "" for calls without a model or a key.
    model: str | None
    key: str | None
    #: None for calls without that metadata too.
    value: str | None
    sums: Sums
    #: Its id, where it is summed by that.
    project: str | None = None


_figures = operator.attrgetter(*Sums.__struct_fields__)

_KEY = tuple(column.name for column in usage_hours.primary_key)
_COUNTS = Sums.__struct_fields__[:-1]
_NAMES = (*_KEY, *_COUNTS, "cost_pico")
_ADD = (
    f"INTO usage_hours ({', '.join(_NAMES)}) VALUES ({{places}})"
    f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = usage_hours.{name} + excluded.{name}" for name in _COUNTS)
    + f", cost_pico = CASE WHEN usage_hours.cost_pico > {_LARGEST} - excluded.cost_pico"
    f" THEN {_LARGEST} ELSE usage_hours.cost_pico + excluded.cost_pico END"
)
# A driver's way to take values by their place.
_PLACES = {"qmark": "?", "pyformat": "%s"}


def add(connection: Connection, rows: Iterable[Row], names: Collection[str]) -> None:
    """Add the usage of rows that were inserted in this transaction, and of no others.

    `names` are those of the metadata that is summed by.
    """
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        used = _used(row)
        hour = row.requested_at // HOUR_US * HOUR_US
        labels = [(name, row.metadata[name]) for name in names if name in row.metadata]
        for name, value in (("", ""), *labels):
            place = (row.project, name, hour, value, row.key or "", row.model or "")
            known = sums.get(place)
            sums[place] = used if known is None else [*map(operator.add, known, used)]
    if not sums:
        return
    # In one order everywhere: two drains that wait for each other's rows would wait for ever.
    added = [
        (*place, *counts, min(cost, _LARGEST)) for place, (*counts, cost) in sorted(sums.items())
    ]
    places = ", ".join([_PLACES[connection.dialect.paramstyle]] * len(_NAMES))
    connection.exec_driver_sql(f"INSERT {_ADD.format(places=places)}", added)


def _used(row: Row) -> list[int]:
    usage, cost = row.usage, row.cost
    counts = [
        1,
        int(row.outcome != "complete"),
        int(cost is not None),
        int(usage is not None and cost is None),
        *(0,) * 6,
        0 if cost is None else int(cost * DOLLAR),
    ]
    if usage is not None:
        counts[4:10] = (
            usage.prompt_tokens or 0,
            usage.completion_tokens or 0,
            usage.cached_tokens or 0,
            usage.cache_write_tokens or 0,
            usage.reasoning_tokens or 0,
            (usage.prompt_audio_tokens or 0) + (usage.completion_audio_tokens or 0),
        )
    return counts


class UsageSums:
    """The verb of reports on usage."""

    _database: Database

    def usage(self, project_id: str | None, asked: UsageQuery, *, limit: int) -> list[UsageRow]:
        """Return what was used, ordered by time and groups; `limit` rows at most.

        None for a project is the operator's view of all. Hours and days begin in UTC; those
        without a call are left out.
        """
        name = asked.by_name
        with self._database.reading() as connection:
            if name is None:
                return _read(connection, project_id, asked, asked.label or _ALL, limit)
            label = asked.label or (name, None)
            found = _read(connection, project_id, asked, label, limit)
            if asked.label is not None:
                return found
            every = _read(connection, project_id, replace(asked, by_name=None), _ALL, limit)
        return sorted((*found, *_others(every, found)), key=_order)[:limit]


def _read(
    connection: Connection,
    project_id: str | None,
    asked: UsageQuery,
    label: tuple[str, str | None],
    limit: int,
) -> list[UsageRow]:
    columns = usage_hours.c
    start = (columns.hour - columns.hour % LENGTHS[asked.by]).label("start")
    by = {
        "project": asked.by_project and columns.project_id,
        "model": asked.by_model and columns.model,
        "key": asked.by_key and columns.key_id,
        "value": asked.by_name is not None and columns.value,
    }
    groups = {
        "start": start,
        **{name: column for name, column in by.items() if column is not False},
    }
    query = (
        select(*groups.values(), *_SUMS)
        .where(*_conditions(project_id, asked, label))
        .group_by(*groups.values())
        .order_by(*groups.values())
    )
    found = connection.execute(query.limit(limit)).all()
    return [_row(dict(zip(groups, row, strict=False)), row[len(groups) :]) for row in found]


def _conditions(
    project_id: str | None, asked: UsageQuery, label: tuple[str, str | None]
) -> list[ColumnElement[bool]]:
    columns = usage_hours.c
    wanted = {
        columns.project_id: project_id,
        columns.name: label[0],
        columns.value: label[1],
        columns.model: asked.model,
        columns.key_id: asked.key,
    }
    first, end = asked.since // HOUR_US * HOUR_US, asked.until
    given = [column == value for column, value in wanted.items() if value is not None]
    return [columns.hour >= first, columns.hour < end, *given]


_cost = usage_hours.c.cost_pico
_SUMS = (
    *(func.sum(usage_hours.c[name]) for name in _COUNTS),
    *(func.sum(_cost // _HALF), func.sum(_cost % _HALF)),
)


def _row(groups: dict[str, Any], sums: Sequence[int]) -> UsageRow:
    *counts, high, low = map(int, sums)
    fields: dict[str, Any] = {"model": None, "key": None, "value": None, **groups}
    return UsageRow(**fields, sums=Sums(*(*counts, high * _HALF + low)))


def _others(every: Iterable[UsageRow], named: Iterable[UsageRow]) -> Iterator[UsageRow]:
    """Yield what is not in the sums of any value."""
    left = {_place(each): each for each in every}
    for each in named:
        place = _place(each)
        left[place] = replace(left[place], sums=left[place].sums - each.sums)
    return (each for each in left.values() if each.sums.calls)


def _place(usage: UsageRow) -> tuple[Any, ...]:
    return (usage.start, usage.project or "", usage.model or "", usage.key or "")


def _order(usage: UsageRow) -> tuple[Any, ...]:
    return (*_place(usage), usage.value is None, usage.value or "")
