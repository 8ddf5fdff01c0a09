"""What sways a judge: synthetic judges that are known to be swayed, and some that are not."""

from __future__ import annotations

import asyncio
import random

import pytest

from standpipe.criteria import probes
from standpipe.criteria.case import Case
from standpipe.criteria.probes import PADDING, Choice, Chooser


def answer(text: str) -> Case:
    return Case(output={"role": "assistant", "content": text})


PAIRS = [(answer("a" * n), answer("b" * n)) for n in range(1, 61)]
CASES = [one for one, _ in PAIRS]


async def fair(one: Case, other: Case) -> Choice:
    return "first" if one.text.replace(PADDING, "") < other.text.replace(PADDING, "") else "second"


async def first(one: Case, other: Case) -> Choice:
    return "first"


async def tie_or_second(one: Case, other: Case) -> Choice:
    return "second" if one.text < other.text else "tie"


async def undecided(one: Case, other: Case) -> Choice:
    return "tie"


async def longer(one: Case, other: Case) -> Choice:
    return "first" if len(one.text) > len(other.text) else "second"


async def shorter(one: Case, other: Case) -> Choice:
    return "first" if len(one.text) < len(other.text) else "second"


def guessing() -> Chooser:
    rng = random.Random(7)

    async def guess(one: Case, other: Case) -> Choice:
        return rng.choice(["first", "second"])

    return guess


@pytest.mark.parametrize(
    ("choose", "consistent", "biased"),
    [
        (fair, 1, False),
        (undecided, 1, False),
        (first, 0, True),
        (tie_or_second, 0, True),
        (guessing(), 0.5, False),
    ],
)
def test_preference_for_a_place_is_found(choose: Chooser, consistent: float, biased: bool) -> None:
    found = asyncio.run(probes.places(PAIRS, choose))
    assert found.consistent.value == pytest.approx(consistent, abs=0.2)
    assert found.is_biased is biased


@pytest.mark.parametrize(
    ("choose", "decided", "biased"),
    [(longer, 60, True), (shorter, 60, False), (undecided, 0, False), (first, 0, False)],
)
def test_preference_for_length_is_found(choose: Chooser, decided: int, biased: bool) -> None:
    found = asyncio.run(probes.lengths(CASES, choose))
    assert (found.decided, found.is_biased) == (decided, biased)


def test_judge_of_one_answer_is_swayed_by_length_or_not() -> None:
    async def by_length(case: Case) -> bool:
        return len(case.text) > 60

    async def by_letters(case: Case) -> bool:
        return case.text.startswith("aa")

    swayed = asyncio.run(probes.length_of_one(CASES, by_length))
    assert (swayed.gained, swayed.lost, swayed.is_real) == (60, 0, True)
    assert asyncio.run(probes.length_of_one(CASES, by_letters)).gained == 0


def test_padding_leaves_the_rest_of_an_answer() -> None:
    case = Case(output={"role": "assistant", "content": "Hi", "name": "x"}, messages=[{"a": 1}])
    long = probes.padded(case)
    assert long.text == "Hi" + PADDING
    assert (long.messages, long.output["name"]) == (case.messages, "x")


def test_judge_that_says_the_same_each_time_is_consistent() -> None:
    asked: list[str] = []

    async def sure(case: Case) -> bool:
        asked.append(case.text)
        return len(case.text) > 3

    async def wavering(case: Case) -> bool:
        asked.append(case.text)
        return len(asked) % 2 == 0

    found = asyncio.run(probes.retest(CASES, sure, times=3))
    assert (found.value, len(asked)) == (1, 180)
    assert asyncio.run(probes.retest(CASES, wavering)).value == 0
