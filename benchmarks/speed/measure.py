"""One sample: calls placed, and what the target took meanwhile, on a core that was its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from speed import machine
from speed.load import Asked, LoadFailed, place, request
from speed.targets import Running, Target

Json = dict[str, Any]
#: What others may take of the target's core, as a share; above that a sample is tried again.
FOREIGN = 0.15
#: Seconds of calls before the first sample of a target.
WARM_S = 1.5
WARM = Asked(16)


class Effort(NamedTuple):
    """How long and how often."""

    seconds: float
    tries: int


class Sampler:
    """Takes samples of one running target."""

    def __init__(self, load: Path, target: Target, running: Running, effort: Effort) -> None:
        self._load = load
        self._target = target
        self._running = running
        self._effort = effort

    def warm_up(self) -> None:
        """Let it answer for a while, unmeasured."""
        self._placed(WARM, min(WARM_S, self._effort.seconds), _Meter(self._running.parts()))

    def sample(self, asked: Asked, least_s: float = 0) -> Json:
        """Return the quietest of some tries, each of so many seconds at least.

        Raises LoadFailed if no call was answered well.
        """
        best: Json = {}
        for _ in range(self._effort.tries):
            self._running.settle()
            machine.wait_for_quiet()
            found = self.once(asked, least_s)
            if not best or found["foreign"] < best["foreign"]:
                best = found
            if best["foreign"] < FOREIGN:
                break
        return best

    def once(self, asked: Asked, least_s: float = 0) -> Json:
        """Return what one try found, whoever else was busy."""
        seconds = max(self._effort.seconds, least_s)
        return self._placed(asked, seconds, _Meter(self._running.parts()))

    def _placed(self, asked: Asked, seconds: float, meter: _Meter) -> Json:
        file = self._running.place.folder / "request"
        headers = self._target.headers(self._running.place)
        file.write_bytes(request(asked, model=self._target.model, headers=headers))
        # Numbers go on from sample to sample, so that each has its turn.
        asked = asked._replace(first=self._running.answered)
        words = self._load, self._running.port, file, asked, seconds
        try:
            pids = self._running.place.mocks.pids
            found = place(*words, provider=pids, on_begin=meter.begin, on_end=meter.end)
        except LoadFailed:
            self._running.require_alive()  # else that is what is to be told
            raise
        self._running.answered += found["answered"]
        self._running.require_alive()
        _require_well(found)
        return {**found, **meter.told(found, asked)}


def _require_well(found: Json) -> None:
    wrong = found["bad"] + found["broken"] + found["unanswered"]
    if wrong > 0.01 * found["answered"]:
        raise LoadFailed(
            f"{found['answered']} calls were answered well, {found['bad']} badly, "
            f"{found['broken']} broke off, {found['unanswered']} were not answered"
        )


class _Meter:
    """What processes use between the begin and the end of a sample, and what they hold then."""

    def __init__(self, parts: dict[str, list[int]]) -> None:
        self._parts = parts
        self._used: dict[str, float] = {}
        self._busy = 0.0
        self._memory: dict[str, float] = {}

    def begin(self) -> None:
        self._used = self._now()
        self._busy = machine.core_busy_s()

    def end(self) -> None:
        self._busy = machine.core_busy_s() - self._busy
        self._used = {name: used - self._used[name] for name, used in self._now().items()}
        self._memory = {name: machine.pss_mb(pids) for name, pids in self._parts.items()}

    def told(self, found: Json, asked: Asked) -> Json:
        """Return microseconds for each call, or for each event of streams, and the rest."""
        done = max(1, found["event"]["count"] if asked.streamed else found["calls"])
        foreign = (self._busy - self._used["gateway"]) / found["seconds"]
        return {
            "cpu_us": {name: round(used / done * 1e6, 2) for name, used in self._used.items()},
            "pss_mb": {name: round(size, 1) for name, size in self._memory.items()},
            "foreign": round(max(0.0, foreign), 3),
        }

    def _now(self) -> dict[str, float]:
        return {name: machine.cpu_s(pids) for name, pids in self._parts.items()}
