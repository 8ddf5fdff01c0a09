"""A judge compared to people: the figures, and whether their intervals hold."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.criteria import agreement
from standpipe.criteria.agreement import MEASURES, Measure, Table, measured

SETS = 1000
#: Of truths that intervals have to cover, by the issue.
COVERED = 0.93

# A synthetic judge: how often it fails what people pass, and passes what they fail.
RATES = [(0.0, 0.0), (0.01, 0.01), (0.05, 0.05), (0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.4, 0.4)]
LOPSIDED = [(0.0, 0.2), (0.3, 0.05)]
PASSING = {30: 0.5, 100: 0.3, 300: 0.8}


def truths(passing: float, missed: float, let_through: float) -> dict[str, float]:
    both, neither = passing * (1 - missed), (1 - passing) * (1 - let_through)
    judged = both + (1 - passing) * let_through
    precision, recall = both / judged, 1 - missed
    chance = passing * judged + (1 - passing) * (1 - judged)
    return {
        "agreement": both + neither,
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall),
        "kappa": (both + neither - chance) / (1 - chance),
    }


def sets(rows: int, passing: float, missed: float, let_through: float) -> Iterator[Table]:
    """Yield seeded tables of that judge."""
    rng = random.Random(f"{rows} {passing} {missed} {let_through}")
    cells = (
        passing * (1 - missed), passing * missed,
        (1 - passing) * let_through, (1 - passing) * (1 - let_through),
    )  # fmt: skip
    for _ in range(SETS):
        counts = Counter(rng.choices(range(4), cells, k=rows))
        yield Table(*(counts[cell] for cell in range(4)))


@pytest.mark.parametrize(("rates", "rows"), list(product(RATES + LOPSIDED, PASSING)))
def test_intervals_cover_what_is_true_of_a_judge_of_known_errors(
    rates: tuple[float, float], rows: int
) -> None:
    true = truths(PASSING[rows], *rates)
    covered = Counter[str]()
    for table in sets(rows, PASSING[rows], *rates):
        found = measured(table)
        for name in MEASURES:
            measure: Measure = getattr(found, name)
            covered[name] += measure.low - 1e-9 <= true[name] <= measure.high + 1e-9
    assert {name: covered[name] / SETS for name in MEASURES if covered[name] < COVERED * SETS} == {}


@pytest.mark.parametrize("error", [0.0, 0.1, 0.4])
def test_intervals_are_no_wider_than_they_need_be(error: float) -> None:
    widths = Counter[str]()
    for table in sets(300, 0.8, error, error):
        found = measured(table)
        for name in MEASURES:
            widths[name] += getattr(found, name).high - getattr(found, name).low
    assert all(width / SETS < 0.25 for width in widths.values()), widths


def test_measures_are_those_of_the_books() -> None:
    found = measured(Table(45, 15, 25, 15))
    assert found.agreement.value == pytest.approx(0.6)
    assert found.precision.value == pytest.approx(45 / 70)
    assert found.recall.value == pytest.approx(0.75)
    assert found.f1.value == pytest.approx(0.6923, abs=1e-4)
    assert found.kappa.value == pytest.approx(0.1304, abs=1e-4)
    # Fleiss and Paik's variance, in many rows, where four more make no difference.
    many = measured(Table(58_000, 12_000, 4_000, 31_000)).kappa
    assert many.value == pytest.approx(0.67568, abs=1e-5)
    assert (many.high - many.low) / 2 / agreement.Z == pytest.approx(0.07344761 / 31.62, rel=1e-3)


def test_pairs_are_counted_by_people_first() -> None:
    pairs = [(True, True)] * 4 + [(True, False)] * 3 + [(False, True)] * 2 + [(False, False)]
    assert agreement.table(pairs) == Table(4, 3, 2, 1)


@pytest.mark.parametrize(
    ("table", "unknown"),
    [
        (Table(), set(MEASURES)),
        (Table(fail_fail=40), {"precision", "recall", "f1", "kappa"}),
        (Table(pass_pass=40), {"kappa"}),
        (Table(fail_pass=40), {"recall"}),
        (Table(pass_fail=40), {"precision"}),
    ],
)
def test_what_rows_do_not_tell_is_left_open(table: Table, unknown: set[str]) -> None:
    found = measured(table)
    assert {name for name in MEASURES if getattr(found, name).value is None} == unknown
    for name in unknown - {"kappa"}:
        assert (getattr(found, name).low, getattr(found, name).high) == (0, 1)


def test_judge_that_never_errs_may_be_perfect_and_need_not() -> None:
    few, many = measured(Table(15, 0, 0, 15)), measured(Table(500, 0, 0, 500))
    for name in MEASURES:
        one, other = getattr(few, name), getattr(many, name)
        assert one.value == one.high == other.high == 1
        assert 0.5 < one.low < other.low < 1


@given(st.tuples(*[st.integers(0, 60)] * 4))
def test_interval_holds_the_figure(cells: tuple[int, int, int, int]) -> None:
    found = measured(Table(*cells))
    for name in MEASURES:
        measure = getattr(found, name)
        least = -1 if name == "kappa" else 0
        assert least <= measure.low <= measure.high <= 1
        assert measure.value is None or measure.low <= measure.value <= measure.high
