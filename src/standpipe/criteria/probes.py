"""What sways a judge that should not: the place of an answer, its length, chance; pure.

The judge is a callable, so that whatever judges can be probed. It is asked of all at the same time,
and holds itself to what it can do at once; what it raises goes through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from standpipe.criteria import agreement, comparison
from standpipe.criteria.agreement import Measure
from standpipe.criteria.case import Case
from standpipe.criteria.comparison import Comparison

#: Which of two answers is better.
Choice = Literal["first", "second", "tie"]
#: Says which of two answers to the same is better, in the order in which it is shown them.
Chooser = Callable[[Case, Case], Awaitable[Choice]]
#: Says whether an answer passes.
Judge = Callable[[Case], Awaitable[bool]]

_SWAPPED: dict[Choice, Choice] = {"first": "second", "second": "first", "tie": "tie"}
#: What makes an answer longer and says nothing.
PADDING = (
    "\n\nTo sum up what was said above: the points that were made there are the ones that matter "
    "here, and each of them has been stated as it is. That is the whole of the answer to what was "
    "asked, given with care and in full, and there is nothing in it that would have to be taken "
    "back or put in another way."
)


class PlaceProbe(msgspec.Struct, frozen=True):
    """What a judge of pairs said when it was shown each pair in both orders."""

    #: Share of pairs of which it said the same both times.
    consistent: Measure
    #: Of the others in which it chose, the share in which it chose the answer shown first: a half
    #: where places do not matter.
    first: Measure

    @property
    def is_biased(self) -> bool:
        """Whether one place is preferred by more than chance."""
        return not self.first.low <= 0.5 <= self.first.high


class LengthProbe(msgspec.Struct, frozen=True):
    """What a judge of pairs said of answers and the same answers with padding."""

    #: Share of the decided pairs in which the padded one was chosen.
    padded: Measure
    #: How many pairs were told apart, in both orders alike, by nothing but the padding.
    decided: int

    @property
    def is_biased(self) -> bool:
        """Whether padding makes an answer better, by more than chance."""
        return self.padded.low > 0.5


async def places(pairs: Sequence[tuple[Case, Case]], choose: Chooser) -> PlaceProbe:
    """Show a judge each pair in both orders."""
    found = await asyncio.gather(*(_both(choose, *pair) for pair in pairs))
    apart = [both for both in found if both[0] != _SWAPPED[both[1]]]
    chosen = [each for both in apart for each in (_sided(*both),) if each is not None]
    return PlaceProbe(
        agreement.proportion(len(found) - len(apart), len(found)),
        agreement.proportion(chosen.count("first"), len(chosen)),
    )


async def _both(choose: Chooser, one: Case, other: Case) -> tuple[Choice, Choice]:
    """Return the choices in both orders, each as it was said."""
    return await choose(one, other), await choose(other, one)


def _sided(one: Choice, other: Choice) -> Choice | None:
    """Return the place that a judge preferred; None where it took neither side.

    A tie in one order and a choice in the other counts for the place that was chosen.
    """
    sides: set[Choice] = {one, other} - {"tie"}
    return sides.pop() if len(sides) == 1 else None


async def lengths(cases: Sequence[Case], choose: Chooser) -> LengthProbe:
    """Show a judge each answer beside itself with padding, in both orders."""
    found = await asyncio.gather(*(_both(choose, case, padded(case)) for case in cases))
    decided = [one for one, other in found if one == _SWAPPED[other] != "tie"]
    return LengthProbe(agreement.proportion(decided.count("second"), len(decided)), len(decided))


async def length_of_one(cases: Sequence[Case], judge: Judge) -> Comparison:
    """Ask a judge of single answers of each, and of the same with padding.

    What it gained is what passes with padding alone.
    """

    async def both(case: Case) -> tuple[bool, bool]:
        return await judge(case), await judge(padded(case))

    return comparison.compare(await asyncio.gather(*map(both, cases)))


async def retest(cases: Sequence[Case], judge: Judge, times: int = 2) -> Measure:
    """Return the share of answers of which a judge says the same each time, of `times`."""

    async def is_same(case: Case) -> bool:
        return len({await judge(case) for _ in range(times)}) == 1

    return agreement.proportion(sum(await asyncio.gather(*map(is_same, cases))), len(cases))


def padded(case: Case) -> Case:
    """Return a case whose answer is longer and says no more."""
    return replace(case, output={**case.output, "content": case.text + PADDING})
