"""What was used, summed up by the hour and by the day: written with the rows, and all reports read.

A call counts once under its key and model, and once more for each name of metadata that is
summed by. Its hour is that of its request. The days are the sums of their hours, always.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Literal

import msgspec
from msgspec.structs import replace
from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Table,
    delete,
    func,
    select,
    union_all,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from standpipe.store.columns import DOLLAR
from standpipe.store.database import Database
from standpipe.store.rows import Row
from standpipe.store.schema import usage_days, usage_hours
from standpipe.wire.record import Usage

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

_NOTHING = Usage()
_KEYS = len(usage_hours.primary_key)
_COUNTS = Sums.__struct_fields__[:-1]
# A driver's way to take values by their place.
_PLACES = {"qmark": "?", "pyformat": "%s"}

# Project, name, hour or day, value, key and model; and what was used there.
_Place = tuple[str, str, int, str, str, str]
_Used = dict[_Place, list[int]]


def add(connection: Connection, rows: Iterable[Row], names: Collection[str]) -> None:
    """Add the usage of rows that were inserted in this transaction, and of no others.

    `names` are those of the metadata that is summed by.
    """
    hours: _Used = {}
    for row in rows:
        used = _used(row)
        project, key, model = row.project, row.key or "", row.model or ""
        hour = row.requested_at // HOUR_US * HOUR_US
        _count(hours, (project, "", hour, "", key, model), used)
        for name in names:
            if name in row.metadata:
                _count(hours, (project, name, hour, row.metadata[name], key, model), used)
    days: _Used = {}
    for (project, name, hour, value, key, model), used in hours.items():
        _count(days, (project, name, hour // DAY_US * DAY_US, value, key, model), used)
    if hours:
        _put(connection, usage_hours, hours)
        _put(connection, usage_days, days)


def sum_days(connection: Connection, project_id: str, first: int = 0, last: int = _LARGEST) -> None:
    """Make a project's days anew, from that of one time to that of another; nobody may add any."""
    first -= first % DAY_US
    day = usage_days.c.day
    these = usage_days.c.project_id == project_id, day >= first, day <= last
    right = _days_of_hours(connection, project_id, first, last)
    connection.execute(delete(usage_days).where(*these))
    if right:
        _put(connection, usage_days, right)


def wrong_days(connection: Connection, project_id: str) -> int:
    """Return how many sums of a project's days are not those of their hours."""
    right = _days_of_hours(connection, project_id)
    these = usage_days.c.project_id == project_id, usage_days.c.day >= 0
    kept = connection.execute(select(usage_days).where(*these))
    found = {tuple(row[:_KEYS]): list(row[_KEYS:]) for row in kept}
    return sum(found.get(place) != right.get(place) for place in found.keys() | right.keys())


def _days_of_hours(
    connection: Connection, project_id: str, first: int = 0, last: int = _LARGEST
) -> _Used:
    columns = usage_hours.c
    day = columns.hour - columns.hour % DAY_US
    place = (columns.project_id, columns.name, day, columns.value, columns.key_id, columns.model)
    these = columns.project_id == project_id, columns.hour >= first, day <= last
    query = select(*place, *_sums_of(columns)).where(*these).group_by(*place)
    found = ((tuple(row[:_KEYS]), _summed(row[_KEYS:])) for row in connection.execute(query))
    return {place: [*counts, min(cost, _LARGEST)] for place, (*counts, cost) in found}


def _count(sums: _Used, place: _Place, used: list[int]) -> None:
    known = sums.get(place)
    sums[place] = used if known is None else list(map(operator.add, known, used))


def _put(connection: Connection, table: Table, sums: _Used) -> None:
    """Add sums to those of a table."""
    # In one order everywhere: two drains that wait for each other's rows would wait for ever.
    added = [
        (*place, *counts, min(cost, _LARGEST)) for place, (*counts, cost) in sorted(sums.items())
    ]
    mark = _PLACES[connection.dialect.paramstyle]
    connection.exec_driver_sql(_adding(table, mark), added)


@cache
def _adding(table: Table, mark: str) -> str:
    names, key = table.columns.keys(), table.primary_key.columns.keys()
    grown = [f"{name} = {table}.{name} + excluded.{name}" for name in _COUNTS]
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})"  # noqa: S608
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(grown)}, cost_pico ="
        f" CASE WHEN {table}.cost_pico > {_LARGEST} - excluded.cost_pico THEN {_LARGEST}"
        f" ELSE {table}.cost_pico + excluded.cost_pico END"
    )


def _used(row: Row) -> list[int]:
    cost = row.cost
    usage = row.usage or _NOTHING
    return [
        1,
        int(row.outcome != "complete"),
        int(cost is not None),
        int(row.usage is not None and cost is None),
        usage.prompt_tokens or 0,
        usage.completion_tokens or 0,
        usage.cached_tokens or 0,
        usage.cache_write_tokens or 0,
        usage.reasoning_tokens or 0,
        (usage.prompt_audio_tokens or 0) + (usage.completion_audio_tokens or 0),
        0 if cost is None else int(cost * DOLLAR),
    ]


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
    used = _asked(project_id, asked, label).subquery()
    by = {
        "start": True,
        "project": asked.by_project,
        "model": asked.by_model,
        "key": asked.by_key,
        "value": asked.by_name is not None,
    }
    groups = {name: used.c[name] for name, is_asked in by.items() if is_asked}
    sums = _sums_of(used.c)
    query = select(*groups.values(), *sums).group_by(*groups.values()).order_by(*groups.values())
    found = connection.execute(query.limit(limit)).all()
    return [_row(dict(zip(groups, row, strict=False)), row[len(groups) :]) for row in found]


def _asked(
    project_id: str | None, asked: UsageQuery, label: tuple[str, str | None]
) -> CompoundSelect[Any]:
    """Return the query for all that was used, by hours or days, each with the `start` it is in."""
    length, found = LENGTHS[asked.by], []
    for table, time, first, end in _stretches(asked):
        columns = table.c
        wanted = {
            columns.project_id: project_id,
            columns.name: label[0],
            columns.value: label[1],
            columns.model: asked.model,
            columns.key_id: asked.key,
        }
        given = [column == value for column, value in wanted.items() if value is not None]
        start = (time - time % length).label("start")
        project, key = columns.project_id.label("project"), columns.key_id.label("key")
        figures = (columns[name] for name in Sums.__struct_fields__)
        used = select(start, project, columns.model, key, columns.value, *figures)
        found.append(used.where(time >= first, time < end, *given))
    return union_all(*found)


def _stretches(asked: UsageQuery) -> Iterator[tuple[Table, Column[int], int, int]]:
    """Yield what is read of which table: whole days where days are asked for, and hours beside."""
    hour, day = usage_hours.c.hour, usage_days.c.day
    first, end = asked.since // HOUR_US * HOUR_US, asked.until
    begin, last = -(-first // DAY_US) * DAY_US, end // DAY_US * DAY_US
    if asked.by == "hour" or begin >= last:
        yield usage_hours, hour, first, end
        return
    yield usage_hours, hour, first, begin
    yield usage_days, day, begin, last
    yield usage_hours, hour, last, end


def _sums_of(columns: ReadOnlyColumnCollection[str, Any]) -> tuple[ColumnElement[Any], ...]:
    cost = columns.cost_pico
    halves = (func.sum(cost // _HALF), func.sum(cost % _HALF))
    return (*(func.sum(columns[name]) for name in _COUNTS), *halves)


def _row(groups: dict[str, Any], sums: Sequence[int]) -> UsageRow:
    fields: dict[str, Any] = {"model": None, "key": None, "value": None, **groups}
    return UsageRow(**fields, sums=Sums(*_summed(sums)))


def _summed(sums: Sequence[int]) -> list[int]:
    *counts, high, low = map(int, sums)
    return [*counts, high * _HALF + low]


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
