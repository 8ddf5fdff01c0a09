"""Months of record ids: a record's id begins with its time, so that a month is a range of ids.

An id is a UUIDv7 in text: twelve hexadecimal digits of milliseconds, a dash after the eighth.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime

#: Year and month.
Month = tuple[int, int]

#: Ids before the first and from the last on have no month of their own.
FIRST: Month = (2025, 1)
LAST: Month = (2100, 1)

#: How many months to come there is room for before any record is of them.
AHEAD = 6


def next_month(month: Month) -> Month:
    """Return the month after one."""
    year, number = month
    return (year + 1, 1) if number == 12 else (year, number + 1)


def first_id(month: Month) -> str:
    """Return what no id of the month sorts before."""
    return id_at(round(datetime(*month, 1, tzinfo=UTC).timestamp()) * 1_000_000)


def id_at(microseconds: int) -> str:
    """Return what no id made at a time or later sorts before."""
    milliseconds = microseconds // 1000
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}"


def _all() -> list[Month]:
    months = [FIRST]
    while months[-1] != LAST:
        months.append(next_month(months[-1]))
    return months


_MONTHS = _all()
_FIRST_IDS = [first_id(month) for month in _MONTHS]


def month_of(record_id: str) -> Month | None:
    """Return the month whose range an id is in, None for an id that is in none."""
    at = bisect_right(_FIRST_IDS, record_id)
    return _MONTHS[at - 1] if 0 < at < len(_MONTHS) else None


def months_of(ids: Iterable[str]) -> set[Month]:
    """Return the months that ids are in."""
    found = {month_of(each) for each in ids}
    return {month for month in found if month is not None}


def to_come(microseconds: int) -> list[Month]:
    """Return the month of a time and the ones ahead of it."""
    at = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    months = [(at.year, at.month)]
    while len(months) <= AHEAD:
        months.append(next_month(months[-1]))
    return months
