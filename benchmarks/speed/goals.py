"""What Standpipe is to show, and what it shows."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple

from speed.figures import Figures
from speed.rows import DISK, HTTPS, OURS, TWO


class Goal(NamedTuple):
    """A figure and its limit."""

    what: str
    told: str
    read: Callable[[Figures], float | None]
    #: As many at most; or at least, where `least`.
    limit: float
    least: bool = False

    def is_met(self, value: float) -> bool:
        """Tell whether a value is within the limit."""
        return value >= self.limit if self.least else value <= self.limit


def _over(
    measure: str, figure: str, other: str, *, mine: str = OURS
) -> Callable[[Figures], float | None]:
    return lambda figures: figures.ratio((mine, measure, figure), (other, measure, figure))


def _added(measure: str, figure: str) -> Callable[[Figures], float | None]:
    return lambda figures: figures.added(OURS, measure, figure)


def _memory(figures: Figures) -> float | None:
    return figures.get(OURS, "closed/64", "pss_mb")


def _faster(figures: Figures) -> float | None:
    """Return what a second worker adds; client and provider need cores of their own for that."""
    has_room = figures.found["machine"]["cores"] >= 4
    return (
        figures.ratio((TWO, "closed/64", "rate"), (OURS, "closed/64", "rate")) if has_room else None
    )


def _spread(figures: Figures) -> float | None:
    shares = [max(each) / sum(each) for each in figures.found.get("spread", []) if each]
    return statistics.median(shares) if shares else None


def _lag_s(figures: Figures) -> float | None:
    return max((each["lag_ms"]["max"] / 1e3 for each in figures.found["drain"]), default=None)


def _lost(figures: Figures) -> float | None:
    told = [each for each in figures.found["rounds_told"] if "stored" in each]
    return sum(each["answered"] - each["stored"] for each in told) if told else None


_CALL, _CHUNK = "closed/32", "streams/256"
CPU, CHUNK = "µs of processor a call at 32 connections, over ", "µs a chunk, 256 streams, "
ONE, TLS = "one connection, ", "HTTPS upstream over HTTP"
FASTER = "calls/s at {} connections over vllm-router's"
GOALS = (
    Goal(CPU + "vllm-router's", "≤ 0.8", _over(_CALL, "cpu_us", "vllm-router"), 0.8),
    Goal(CPU + "LiteLLM's", "≤ 1/120", _over(_CALL, "cpu_us", "litellm"), 1 / 120),
    Goal(CPU + "Portkey's", "≤ 1/25", _over(_CALL, "cpu_us", "portkey"), 1 / 25),
    Goal(CPU + "nginx's", "≤ 5", _over(_CALL, "cpu_us", "nginx"), 5),
    Goal(FASTER.format(32), "≥ 1.2", _over(_CALL, "rate", "vllm-router"), 1.2, least=True),
    Goal(FASTER.format(64), "≥ 1.2", _over("closed/64", "rate", "vllm-router"), 1.2, least=True),
    Goal(ONE + "p50 over vllm-router's", "≤ 1.0", _over("closed/1", "p50_ms", "vllm-router"), 1.0),
    Goal(ONE + "p99 over vllm-router's", "≤ 1.3", _over("closed/1", "p99_ms", "vllm-router"), 1.3),
    Goal("p99 added at 1,000 calls/s, ms", "< 2", _added("open/1000", "p99_ms"), 2.0),
    Goal("µs a call, " + TLS, "≤ 1.25", _over("closed/64", "cpu_us", OURS, mine=HTTPS), 1.25),
    Goal(CHUNK + TLS, "≤ 1.25", _over(_CHUNK, "cpu_us", OURS, mine=HTTPS), 1.25),
    Goal(
        "calls/s at 64 connections, durability disk over process",
        "≥ 0.7",
        _over("closed/64", "rate", OURS, mine=DISK),
        0.7,
        least=True,
    ),
    Goal(CHUNK + "over vllm-router's", "≤ 1.3", _over(_CHUNK, "cpu_us", "vllm-router"), 1.3),
    Goal(CHUNK + "over LiteLLM's", "≤ 1/30", _over(_CHUNK, "cpu_us", "litellm"), 1 / 30),
    Goal("p99 added to a chunk, 16 streams, ms", "≤ 1", _added("streams/16", "chunk_p99_ms"), 1.0),
    Goal("MB of the worker under load, 64 connections", "≤ 80", _memory, 80),
    Goal(
        "µs a call, two workers over one",
        "≤ 1.15",
        _over("closed/64", "cpu_us", OURS, mine=TWO),
        1.15,
    ),
    Goal("calls/s of two workers over one, on four cores", "≥ 1.7", _faster, 1.7, least=True),
    Goal("share of 64 connections that one of two workers had", "≤ 0.7", _spread, 0.7),
    Goal("the drain's lag at 1,000 calls/s, s", "< 1", _lag_s, 1.0),
    Goal("calls that were answered and are not stored", "0", _lost, 0),
)
