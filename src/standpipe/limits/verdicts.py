"""From the figures of who is held to limits to a verdict, wherever they are kept. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from standpipe.limits.limits import Limits, pico
from standpipe.limits.messages import Kind, Level, Reason, Subject, Verdict, Want

#: Seconds after which to ask again where nobody knows how long a call takes.
SOON_S = 1.0


class Figures(NamedTuple):
    """How one of them stands."""

    #: In the window of a minute, and the seconds until that is empty.
    requests: int = 0
    requests_reset: float = 0.0
    tokens: int = 0
    tokens_reset: float = 0.0
    #: Calls at this moment.
    open: int = 0
    #: In 10^-12 dollars: what calls at this moment may cost, and what was spent in the periods.
    held: int = 0
    day: int = 0
    month: int = 0


class Obstacle(NamedTuple):
    """A limit in the way."""

    reason: Reason
    #: Of what: the limit, as one reads it.
    limit: str


def obstacle(limits: Limits, figures: Figures, want: Want) -> Obstacle | None:
    """Return what of one subject's limits keeps a call from beginning, None for nothing."""
    return next(_obstacles(limits, figures, want), None)


def _obstacles(limits: Limits, figures: Figures, want: Want) -> Iterator[Obstacle]:
    budgets: tuple[tuple[Literal["day", "month"], object, int], ...] = (
        ("day", limits.dollars_per_day, figures.day),
        ("month", limits.dollars_per_month, figures.month),
    )
    for period, dollars, spent in budgets:
        if dollars is None:
            continue
        budget = pico(dollars)  # type: ignore[arg-type]
        if spent >= budget:
            yield Obstacle(period, limit_of(limits, period))
        elif spent + figures.held >= budget:
            yield Obstacle("held", limit_of(limits, "held"))
    counts: tuple[tuple[Reason, int | None, int], ...] = (
        ("concurrent", None if want.is_part else limits.concurrent_calls, figures.open + 1),
        ("requests", limits.requests_per_minute, figures.requests + 1),
        ("tokens", limits.tokens_per_minute, figures.tokens + want.tokens),
    )
    for reason, limit, wanted in counts:
        if limit is not None and wanted > limit:
            yield Obstacle(reason, limit_of(limits, reason))


def limit_of(limits: Limits, reason: Reason) -> str:
    """Return the limit that is in the way, as one reads it."""
    found = {
        "requests": limits.requests_per_minute,
        "tokens": limits.tokens_per_minute,
        "concurrent": limits.concurrent_calls,
        "day": limits.dollars_per_day,
        "month": limits.dollars_per_month,
        "held": limits.dollars_per_day or limits.dollars_per_month,
    }.get(reason)
    return "" if found is None else str(found)


def granted(want: Want, figures: Sequence[Figures]) -> Verdict:
    """Return that a call may begin; the figures are those of its subjects after it has."""
    requests, tokens = _levels(want.subjects, figures)
    return Verdict(want.call, requests=requests, tokens=tokens)


def refused(
    want: Want, kind: Kind, found: Obstacle, wait: float | None, figures: Sequence[Figures]
) -> Verdict:
    """Return that a call may not begin."""
    requests, tokens = _levels(want.subjects, figures)
    return Verdict(want.call, found.reason, kind, found.limit, wait, requests, tokens)


def _levels(
    subjects: Sequence[Subject], figures: Sequence[Figures]
) -> tuple[Level | None, Level | None]:
    """Return the levels of whichever is nearest to its limit."""
    pairs = list(zip(subjects, figures, strict=True))
    requests = (
        _level(subject.limits.requests_per_minute, each.requests, each.requests_reset)
        for subject, each in pairs
    )
    tokens = (
        _level(subject.limits.tokens_per_minute, each.tokens, each.tokens_reset)
        for subject, each in pairs
    )
    return _nearest(requests), _nearest(tokens)


def _level(limit: int | None, used: int, reset: float) -> Level | None:
    return None if limit is None else Level(limit, max(0, limit - used), reset)


def _nearest(levels: Iterator[Level | None]) -> Level | None:
    there = [level for level in levels if level is not None]
    return min(there, key=lambda level: level.remaining, default=None)
