"""A record's id tells its month, and months are ranges of ids."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from standpipe.store import months
from standpipe.store.months import FIRST, LAST, first_id, month_of, next_month, to_come

_OURS = st.integers(
    int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()),
    int(datetime(2099, 12, 31, tzinfo=UTC).timestamp()),
).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def id_at(time: datetime, rest: str = "7abc-8abc-0123456789ab") -> str:
    milliseconds = round(time.timestamp() * 1000)
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-{rest}"


@given(time=_OURS)
@example(time=datetime(2026, 2, 28, 23, 59, 59, 999_000, UTC))
@example(time=datetime(2026, 3, 1, tzinfo=UTC))
def test_month_of_an_id_is_that_of_its_time(time: datetime) -> None:
    assert month_of(id_at(time)) == (time.year, time.month)


@given(name=st.text())
def test_any_text_is_in_one_month_or_in_none(name: str) -> None:
    month = month_of(name)
    if month is None:
        assert name < first_id(FIRST) or name >= first_id(LAST)
    else:
        assert first_id(month) <= name < first_id(next_month(month))


@pytest.mark.parametrize("name", ["", "0", "01930000-0000", "req_1", "~", "ä"])
def test_other_ids_have_no_month(name: str) -> None:
    assert month_of(name) is None
    assert months.months_of([name]) == set()


def test_months_to_come_go_over_the_end_of_the_year() -> None:
    at = round(datetime(2026, 9, 30, 23, tzinfo=UTC).timestamp() * 1_000_000)
    assert to_come(at) == [
        (2026, 9), (2026, 10), (2026, 11), (2026, 12), (2027, 1), (2027, 2), (2027, 3),
    ]  # fmt: skip
