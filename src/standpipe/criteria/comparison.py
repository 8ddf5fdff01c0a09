"""Two versions of a judge on the same rows: which is nearer to people, and whether that is real.

The test is McNemar's exact one (Psychometrika 12, 1947): only rows of which one is right and the
other is not say anything. The interval of the difference is Bonett's and Price's (Journal of
Educational and Behavioral Statistics 37, 2012), which holds for few rows too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from standpipe.criteria.agreement import Measure, Z

#: From which probability on a difference may well be chance.
CHANCE = 0.05


class Comparison(msgspec.Struct, frozen=True):
    """A later version compared to an earlier one."""

    #: Rows that both have judged.
    rows: int
    #: Of which only the later one says what people say.
    gained: int
    #: Of which only the earlier one does.
    lost: int
    #: Share of rows that the later one judges as people do, less that of the earlier one.
    difference: Measure
    #: How likely so much difference, or more, is between versions that are equally good.
    p_value: float

    @property
    def is_real(self) -> bool:
        """Whether it is more than chance would have it."""
        return self.p_value < CHANCE


def compare(right: Iterable[tuple[bool, bool]]) -> Comparison:
    """Compare versions by whether the earlier, and the later, was right of each row."""
    pairs = list(right)
    gained = sum(later and not earlier for earlier, later in pairs)
    lost = sum(earlier and not later for earlier, later in pairs)
    difference = _difference(gained, lost, len(pairs))
    return Comparison(len(pairs), gained, lost, difference, mcnemar(gained, lost))


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided probability, by the binomial distribution of one half."""
    changed = gained + lost
    fewer = min(gained, lost)
    ways = sum(math.comb(changed, each) for each in range(fewer + 1))
    return min(1.0, 2 * ways / (1 << changed))


def _difference(gained: int, lost: int, rows: int) -> Measure:
    if rows == 0:
        return Measure(None, -1.0, 1.0)
    up, down, more = (gained + 1) / (rows + 2), (lost + 1) / (rows + 2), rows + 2
    reach = Z * math.sqrt((up + down - (up - down) ** 2) / more)
    low, high = up - down - reach, up - down + reach
    return Measure((gained - lost) / rows, max(-1.0, low), min(1.0, high))


def in_words(found: Comparison, earlier: str, later: str) -> str:
    """Say what was found, for people."""
    if found.rows == 0:
        return f"No row was judged by both {earlier} and {later}: nothing can be said."
    better, worse = (later, earlier) if found.gained >= found.lost else (earlier, later)
    chance = f"p = {found.p_value:.2g}"
    if found.is_real:
        return f"{better} is really better than {worse}, by people's judgement ({chance})."
    if found.gained == found.lost:
        return f"{earlier} and {later} are right equally often ({chance})."
    return (
        f"{better} is right more often than {worse}, but that may well be chance ({chance}): "
        "more rows would tell."
    )
