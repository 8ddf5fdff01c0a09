"""From samples to figures: the median of the rounds, and what the provider alone takes off."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from speed.rows import DIRECT

Json = dict[str, Any]

#: What is read of a sample, by name; times are milliseconds or as said.
READ: dict[str, Callable[[Json], float]] = {
    "rate": lambda each: (each["event"]["count"] or each["calls"]) / each["seconds"],
    "cpu_us": lambda each: float(each["cpu_us"]["gateway"]),
    "drain_us": lambda each: float(each["cpu_us"]["drain"]),
    "p50_ms": lambda each: float(each["latency"]["p50"]) / 1e3,
    "p99_ms": lambda each: float(each["latency"]["p99"]) / 1e3,
    "first_ms": lambda each: float(each["first_event"]["p50"]) / 1e3,
    "chunk_p50_ms": lambda each: float(each["event"]["p50"]) / 1e3,
    "chunk_p99_ms": lambda each: float(each["event"]["p99"]) / 1e3,
    "pss_mb": lambda each: float(each["pss_mb"]["gateway"]),
    "foreign": lambda each: float(each["foreign"]),
}


class Figures:
    """The medians of what was found."""

    def __init__(self, found: Json) -> None:
        self.found = found
        self._samples: dict[tuple[str, str], list[Json]] = {}
        for each in found["samples"]:
            self._samples.setdefault((each["target"], each["measure"]), []).append(each)
        #: Targets of which anything was measured, in the order of the rounds.
        self.targets = list(dict.fromkeys(target for target, _ in self._samples))

    def get(self, target: str, measure: str, figure: str) -> float | None:
        """Return a median over the rounds, None if it was not measured."""
        samples = self._samples.get((target, measure), [])
        values = [_read(each, READ[figure]) for each in samples]
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    def added(self, target: str, measure: str, figure: str) -> float | None:
        """Return what comes on top of asking the provider directly."""
        here, direct = self.get(target, measure, figure), self.get(DIRECT, measure, figure)
        return None if here is None or direct is None else here - direct

    def ratio(self, one: tuple[str, str, str], other: tuple[str, str, str]) -> float | None:
        """Return one figure over another."""
        above, below = self.get(*one), self.get(*other)
        return None if above is None or not below else above / below


def _read(sample: Json, read: Callable[[Json], float]) -> float | None:
    try:
        return read(sample)
    except KeyError:  # it has no drain, or no streams
        return None
