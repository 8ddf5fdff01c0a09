"""What the best of n is worth, against choices that are really made."""

from __future__ import annotations

import random
from itertools import combinations, permutations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.criteria import gain
from standpipe.criteria.gain import Answer

scores = st.sampled_from([0.0, 0.25, 0.5, 1.0])
answers = st.lists(st.builds(Answer, scores, scores), min_size=1, max_size=5)


def made(sample: list[Answer], n: int) -> float:
    """Return the mean over all choices, and over all orders in which equal ones might come."""
    return fmean(
        max(order, key=lambda each: each.score).worth
        for chosen in combinations(sample, n)
        for order in permutations(chosen)
    )


@given(answers)
def test_best_of_n_is_the_mean_over_all_choices_of_n(sample: list[Answer]) -> None:
    for n in range(1, len(sample) + 1):
        assert gain.best_of(sample, n) == pytest.approx(made(sample, n))


def test_best_of_many_is_what_passes_with_any_of_them() -> None:
    sample = [Answer(1, 1), *[Answer(0, 0)] * 7]
    assert [gain.best_of(sample, n) for n in (1, 2, 4, 8)] == [0.125, 0.25, 0.5, 1]


def test_what_picks_the_wrong_ones_gains_nothing() -> None:
    sample = [Answer(0.9, 0), Answer(0.1, 1)]
    assert gain.best_of(sample, 1) == 0.5
    assert gain.best_of(sample, 2) == 0


@pytest.mark.parametrize(
    ("most", "ns"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])]
)
def test_it_is_shown_for_powers_of_two_and_the_most(most: int, ns: list[int]) -> None:
    assert gain.sizes(most) == ns


def test_gain_over_prompts_is_told_with_intervals_that_are_the_same_each_time() -> None:
    rng = random.Random(7)
    prompts = [[Answer(float(v), float(v)) for v in _throws(rng)] for _ in range(100)]
    one, two, four = gain.gains(prompts, [1, 2, 4])
    assert one.gain == (0, 0, 0)
    assert one.worth.low < one.worth.mean < one.worth.high
    assert one.worth.mean < two.worth.mean < four.worth.mean
    assert 0 < four.gain.low < four.gain.mean < four.gain.high
    assert gain.gains(prompts, [1, 2, 4]) == [one, two, four]


def _throws(rng: random.Random) -> list[bool]:
    chance = rng.random()
    return [rng.random() < chance for _ in range(4)]


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = random.Random(11)
    covered = 0
    for _ in range(60):
        low, high = gain.interval([float(rng.random() < 0.4) for _ in range(100)])[1:]
        covered += low <= 0.4 <= high
    assert covered >= 53
