"""How those stand who are held to limits: what their rows say, and what Redis does.

A row tells what its call took of a limit: it was let in before its provider was asked, and given
back after its row was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from faults.parity import cost
from redis import Redis

from standpipe.limits.limits import PLACES
from standpipe.store.rows import Row
from standpipe.wire.record import Usage

#: Tokens that a caller with a budget allows an answer: the price of so many is more than that of
#: any answer of the provider's, its prompt included; and how many answers a call has at most.
ANSWER_TOKENS = 4000
CHOICES = 2
_PROMPT_TOKENS = 100
#: Between a verdict and what is asked of the provider lies less than a second.
_MINUTE_US = 59_000_000
_NOTHING = Decimal(0)


@dataclass
class Held:
    """Keys that are held to limits: a key by itself, or several as one project."""

    name: str
    limits: dict[str, Any]
    of: Literal["key", "project"] = "key"
    #: Tokens of the keys, and the id of the key or the project.
    tokens: list[str] = field(default_factory=list)
    id: str = ""

    def has(self, row: Row) -> bool:
        """Tell whether a row is of a call of theirs."""
        return self.id == (row.key if self.of == "key" else row.project)


@dataclass(frozen=True)
class Figures:
    """What Redis counts."""

    open: int
    #: What open calls hold, one by one and in all, in 10^-12 dollars.
    holds: int
    held: int
    #: US dollars by day.
    spent: dict[str, Decimal]

    @property
    def leaks(self) -> bool:
        """Tell whether anything is held."""
        return (self.open, self.holds, self.held) != (0, 0, 0)


def figures(client: Redis, held: Held) -> Figures:
    """Return how one stands."""
    keys = list(client.scan_iter(f"*:{held.of}:{held.id}:*", count=1000))
    by_name = {key.split(f":{held.id}:")[1]: key for key in keys}
    days = {
        name.removeprefix("spent:"): key
        for name, key in by_name.items()
        if "spent" in name and "turn" not in name
    }
    return Figures(
        open=client.zcard(by_name["calls"]) if "calls" in by_name else 0,
        holds=client.hlen(by_name["holds"]) if "holds" in by_name else 0,
        held=int(client.get(by_name["held"]) or 0) if "held" in by_name else 0,
        spent={
            day: Decimal(str(client.hget(key, "all") or 0)).scaleb(-PLACES)
            for day, key in days.items()
        },
    )


@dataclass
class Standing:
    """One that is held to limits, in the end."""

    held: Held
    figures: Figures
    rows: Sequence[Row] = ()
    #: How often Redis has lost its memory: minutes begin anew with it.
    forgotten: int = 0

    @property
    def let_in(self) -> list[Row]:
        """The calls of which a provider was asked."""
        return [row for row in self.rows if row.attempts]

    @property
    def refused(self) -> int:
        """How many calls a limit kept out."""
        return sum(not row.attempts and row.status in (402, 429) for row in self.rows)

    @property
    def spent(self) -> dict[str, Decimal]:
        """US dollars by day, as the rows say."""
        found: dict[str, Decimal] = {}
        for row in self.rows:
            day = f"{datetime.fromtimestamp(row.requested_at / 1e6, UTC):%Y-%m-%d}"
            found[day] = found.get(day, _NOTHING) + (row.cost or _NOTHING)
        return found

    @property
    def most_at_once(self) -> int:
        """The most calls that were under way at the same time, on all nodes together."""
        # At the same microsecond one ends before another begins.
        steps = [
            step
            for row in self.let_in
            for step in ((row.attempts[0].started_at, 1), (row.received_at, -1))
        ]
        most = now = 0
        for _, step in sorted(steps):
            now += step
            most = max(most, now)
        return most

    @property
    def most_a_minute(self) -> int:
        """The most calls of any minute; those that a provider failed were given back."""
        times = sorted(row.attempts[0].started_at for row in self.let_in if row.outcome != "failed")
        most = first = 0
        for last, time in enumerate(times):
            while times[first] <= time - _MINUTE_US:
                first += 1
            most = max(most, last - first + 1)
        return most

    def wrong(self) -> list[str]:
        """Return what is not as it must be, a line each."""
        return [f"{self.held.name}: {line}" for line in self._wrong()]

    def _wrong(self) -> Iterator[str]:
        limits = self.held.limits
        if self.figures.leaks:
            yield f"something is held in the end: {self.figures}"
        if not self.refused:
            yield "no limit was reached"
        counts = {
            "requests_per_minute": (self.most_a_minute, 1 + self.forgotten),
            "concurrent_calls": (self.most_at_once, 1),
        }
        for name, (count, times) in counts.items():
            if name in limits and count > times * limits[name]:
                yield f"{count} where {name} is {limits[name]}"
        if "dollars_per_day" in limits:
            yield from self._wrong_spend(Decimal(limits["dollars_per_day"]))

    def _wrong_spend(self, budget: Decimal) -> Iterator[str]:
        most = budget + reservation()
        for day, spent in self.spent.items():
            if spent > most:
                yield f"{spent} $ spent on {day}, more than {budget} and a call's {most - budget}"
            counted = self.figures.spent.get(day, _NOTHING)
            if counted != spent:
                yield f"{spent} $ by its rows on {day}, {counted} as counted"


def reservation() -> Decimal:
    """Return the most that a call may hold, in US dollars."""
    usage = Usage(prompt_tokens=_PROMPT_TOKENS, completion_tokens=CHOICES * ANSWER_TOKENS)
    return cost(usage) or _NOTHING
