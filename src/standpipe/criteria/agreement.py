"""How far a judge agrees with people, each figure with a 95 % interval; pure.

What is counted as positive is PASS. An interval covers the truth in about 95 of 100 sets of rows,
also where nobody erred: the plain ones, of Wald and of Fleiss, are of no width then.

Proportions are Agresti's and Coull's (The American Statistician 52, 1998): four rows are added,
half of them right. From 30 rows on that never covers less than 93 %, where Wilson's interval falls
to 85 % for judges that hardly err. F1 is a proportion in disguise (Lam, Gopal and Qian, arXiv
2309.14621). Cohen's kappa takes the variance of Fleiss, Cohen and Everitt (Psychological Bulletin
72, 1969), with the same four rows, one to each cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

import msgspec

#: How many standard errors an interval of 95 % reaches to each side.
Z = NormalDist().inv_cdf(0.975)


class Measure(msgspec.Struct, frozen=True):
    """A figure, and between what the truth is to be expected."""

    #: None where the rows say nothing of it; the interval is all that is possible then.
    value: float | None
    low: float
    high: float


class Table(msgspec.Struct, frozen=True):
    """Rows by what people said of them, the first word, and what the judge did."""

    pass_pass: int = 0
    pass_fail: int = 0
    fail_pass: int = 0
    fail_fail: int = 0

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.pass_pass + self.pass_fail + self.fail_pass + self.fail_fail

    @property
    def agreed(self) -> int:
        """How many the judge said the same of."""
        return self.pass_pass + self.fail_fail


class Agreement(msgspec.Struct, frozen=True):
    """A judge compared to people."""

    table: Table
    #: Share of rows of which both say the same.
    agreement: Measure
    #: Share of what the judge passes that people pass.
    precision: Measure
    #: Share of what people pass that the judge passes.
    recall: Measure
    #: Harmonic mean of precision and recall.
    f1: Measure
    #: Agreement beyond that of chance: 1 for all of it, 0 for none, below for less than chance.
    kappa: Measure


#: The measures by their names.
MEASURES = ("agreement", "precision", "recall", "f1", "kappa")


def table(pairs: Iterable[tuple[bool, bool]]) -> Table:
    """Count pairs of what people said and what the judge did; true is PASS."""
    counts = {(human, judge): 0 for human in (True, False) for judge in (True, False)}
    for pair in pairs:
        counts[pair] += 1
    return Table(*counts.values())


def measured(counts: Table) -> Agreement:
    """Return all measures of a table."""
    both, passed = counts.pass_pass, counts.pass_pass + counts.fail_pass
    meant = counts.pass_pass + counts.pass_fail
    return Agreement(
        counts,
        agreement=proportion(counts.agreed, counts.rows),
        precision=proportion(both, passed),
        recall=proportion(both, meant),
        f1=_f1(proportion(both, counts.rows - counts.fail_fail)),
        kappa=kappa(counts),
    )


def proportion(hits: int, of: int) -> Measure:
    """Return the share of hits."""
    if of == 0:
        return Measure(None, 0.0, 1.0)
    share, more = hits / of, of + Z * Z
    centre = (hits + Z * Z / 2) / more
    reach = Z * math.sqrt(centre * (1 - centre) / more)
    return Measure(share, max(0.0, centre - reach), min(1.0, centre + reach))


def _f1(jaccard: Measure) -> Measure:
    """Return F1 of the share of hits among all rows that anybody passes, with which it grows."""

    def of(share: float) -> float:
        return 2 * share / (1 + share)

    value = None if jaccard.value is None else of(jaccard.value)
    return Measure(value, of(jaccard.low), of(jaccard.high))


def kappa(counts: Table) -> Measure:
    """Return Cohen's kappa; of a table in which all say the same of every row there is none."""
    cells = (counts.pass_pass, counts.pass_fail, counts.fail_pass, counts.fail_fail)
    value = _kappa(cells)[0] if _varies(counts) else None
    middle, variance = _kappa(tuple(cell + Z * Z / 4 for cell in cells))
    reach = Z * math.sqrt(variance)
    # Who never erred may be without fault, however few the rows; four added ones would deny it.
    low = middle - reach if counts.agreed else -1.0
    high = middle + reach if counts.agreed < counts.rows else 1.0
    return Measure(value, max(-1.0, low), min(1.0, high))


def _varies(counts: Table) -> bool:
    return counts.rows not in (0, counts.pass_pass, counts.fail_fail)


def _kappa(cells: tuple[float, ...]) -> tuple[float, float]:
    """Return kappa and its variance in large samples."""
    rows = sum(cells)
    both, people, judge, neither = (cell / rows for cell in cells)
    human_pass, judge_pass = both + people, both + judge
    human_fail, judge_fail = 1 - human_pass, 1 - judge_pass
    chance = human_pass * judge_pass + human_fail * judge_fail
    value = (both + neither - chance) / (1 - chance)
    rest = 1 - value
    spread = (
        both * (1 - (human_pass + judge_pass) * rest) ** 2
        + neither * (1 - (human_fail + judge_fail) * rest) ** 2
        + people * (judge_pass + human_fail) ** 2 * rest**2
        + judge * (human_pass + judge_fail) ** 2 * rest**2
        - (value - chance * rest) ** 2
    )
    return value, max(0.0, spread) / (1 - chance) ** 2 / rows
