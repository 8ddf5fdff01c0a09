"""What the best of n is worth: estimated from one sample of answers a prompt, with intervals; pure.

Of N answers to a prompt every n of them might have been all that were made. The mean over all of
these choices is known without drawing any: how often an answer would have been the best follows
from its rank. It is unbiased, and takes N answers for all n at once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from statistics import fmean
from typing import NamedTuple

#: Draws of the bootstrap, and the share of them that an interval holds.
DRAWS = 2000
CONFIDENCE = 0.95
_SEED = 1


class Answer(NamedTuple):
    """How one answer was judged."""

    #: By what picks the best.
    score: float
    #: By what says how good the best is: the same, or another criterion.
    worth: float


class Interval(NamedTuple):
    """A figure, and between what it is with a confidence of 95 %."""

    mean: float
    low: float
    high: float


class Gain(NamedTuple):
    """What the best of n answers is worth."""

    n: int
    worth: Interval
    #: Over one answer.
    gain: Interval


def best_of(answers: Sequence[Answer], n: int) -> float:
    """Return what the best of n of the answers is worth in the mean over all choices of n.

    Of several that are equally good any may be the best. `n` is from 1 to their number.
    """
    ranked = sorted(answers, key=attrgetter("score"))
    total, below = 0.0, 0
    for _, tied in groupby(ranked, key=attrgetter("score")):
        worths = [each.worth for each in tied]
        upto = below + len(worths)
        # The best is one of these if all n are from here or below, and not all from below.
        total += (math.comb(upto, n) - math.comb(below, n)) * fmean(worths)
        below = upto
    return total / math.comb(len(answers), n)


def sizes(most: int) -> list[int]:
    """Return for which n it is shown: 1, 2, 4, … and the most."""
    return sorted({most, *(2**power for power in range(most.bit_length()))})


def gains(prompts: Sequence[Sequence[Answer]], ns: Sequence[int]) -> list[Gain]:
    """Return what the best of each n is worth, with bootstrap intervals over prompts.

    Every prompt has at least as many answers as the largest n; there is at least one prompt.
    """
    ones = [best_of(answers, 1) for answers in prompts]
    worths = {n: [best_of(answers, n) for answers in prompts] for n in ns}
    more = {n: [a - one for a, one in zip(worths[n], ones, strict=True)] for n in ns}
    return [Gain(n, interval(worths[n]), interval(more[n])) for n in ns]


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of values with its interval, by the bootstrap's percentiles.

    The draws are the same ones each time: so are the figures.
    """
    rng = random.Random(_SEED)  # noqa: S311 - a bootstrap's draws are no secret
    means = sorted(fmean(rng.choices(values, k=len(values))) for _ in range(DRAWS))
    tail = (1 - CONFIDENCE) / 2
    low, high = (means[round(share * (DRAWS - 1))] for share in (tail, 1 - tail))
    return Interval(fmean(values), low, high)
