"""What is measured of Standpipe alone: how far the drain is behind, and who has the connections."""

from __future__ import annotations

import statistics
import threading
import time
from typing import Any

from speed import machine
from speed.load import Asked
from speed.measure import Sampler
from speed.ours import Standpipe

Json = dict[str, Any]
#: How calls come while the drain keeps up, and while it cannot.
STEADY, SATURATED = Asked(64, rate=1000), Asked(64)
#: Seconds between two looks at what is stored.
_LOOK_S = 0.02


class _Watch:
    """A thread that looks again and again while calls are placed."""

    def __init__(self, look: object) -> None:
        assert callable(look)
        self.seen: list[Any] = []
        self._look = look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_S):
            self.seen.append(self._look())


def drain(sampler: Sampler, running: Standpipe) -> Json:
    """Return the drain's lag at a steady rate, and the backlog after saturation and its time."""
    running.settle()
    machine.wait_for_quiet()

    def behind_ms() -> float:
        return (time.time_ns() // 1000 - running.last_stored_at()) / 1000

    with _Watch(behind_ms) as watch:
        steady = sampler.once(STEADY)
    # The first looks saw a record of before, the last ones a time when nothing came any more.
    began = len(watch.seen) // 5
    lags = sorted(watch.seen[began : -max(1, began // 2)])
    running.settle()
    machine.wait_for_quiet()
    saturated = sampler.once(SATURATED)
    ended = time.perf_counter()
    backlog = running.answered - running.stored()
    running.settle()
    return {
        "lag_ms": {"p50": round(statistics.median(lags), 1), "max": round(lags[-1], 1)},
        "steady": steady,
        "saturated": saturated,
        "backlog": backlog,
        "backlog_s": round(time.perf_counter() - ended, 2),
        **running.told(),
    }


def spread(sampler: Sampler, running: Standpipe, asked: Asked) -> list[int]:
    """Return how many of the client's connections each worker had, in a short run of its own."""
    with _Watch(running.connections) as watch:
        sampler.once(asked)
    counts = [seen for seen in watch.seen if sum(seen) >= asked.connections]
    return counts[len(counts) // 2] if counts else []
