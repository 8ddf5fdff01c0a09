"""Two versions of a judge: whether the difference between them is real."""

from __future__ import annotations

import random

import pytest

from standpipe.criteria import comparison
from standpipe.criteria.comparison import compare

SETS = 1000


def pairs(gained: int, lost: int, same: int) -> list[tuple[bool, bool]]:
    return [(False, True)] * gained + [(True, False)] * lost + [(True, True)] * same


def sets(rows: int, gained: float, lost: float, seed: int) -> list[comparison.Comparison]:
    rng = random.Random(seed)
    kinds = [(False, True), (True, False), (True, True)]
    weights = [gained, lost, 1 - gained - lost]
    return [compare(rng.choices(kinds, weights, k=rows)) for _ in range(SETS)]


@pytest.mark.parametrize("rows", [30, 100, 300])
@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (0.1, 0.1), (0.2, 0.05), (0.02, 0.3)])
def test_interval_covers_the_true_difference(rows: int, gained: float, lost: float) -> None:
    found = sets(rows, gained, lost, seed=rows)
    true = gained - lost
    covered = sum(each.difference.low <= true <= each.difference.high for each in found)
    assert covered >= 0.93 * SETS


@pytest.mark.parametrize("rows", [30, 100, 300])
def test_chance_is_seldom_taken_for_real(rows: int) -> None:
    assert sum(each.is_real for each in sets(rows, 0.15, 0.15, seed=rows)) <= 0.05 * SETS


def test_large_difference_is_found_in_a_hundred_rows() -> None:
    assert sum(each.is_real for each in sets(100, 0.25, 0.05, seed=1)) >= 0.9 * SETS


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (5, 0, 0.0625),
        (0, 6, 0.03125),
        (10, 2, 0.03857),
        (30, 12, 0.007916),
    ],
)
def test_probability_is_mcnemars_exact_one(gained: int, lost: int, p_value: float) -> None:
    assert compare(pairs(gained, lost, 20)).p_value == pytest.approx(p_value, abs=1e-5)


@pytest.mark.parametrize(
    ("gained", "lost", "same", "said"),
    [
        (0, 0, 0, "nothing can be said"),
        (20, 2, 30, "v2 is really better than v1"),
        (2, 20, 30, "v1 is really better than v2"),
        (3, 2, 30, "v2 is right more often than v1, but that may well be chance"),
        (2, 2, 30, "v1 and v2 are right equally often"),
    ],
)
def test_finding_is_said_in_words(gained: int, lost: int, same: int, said: str) -> None:
    assert said in comparison.in_words(compare(pairs(gained, lost, same)), "v1", "v2")
