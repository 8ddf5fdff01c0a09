"""A run: each round starts each target once, takes its samples, and stops it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from typing_extensions import override

from speed import machine, own, peers
from speed.built import Built, Mocks
from speed.load import LoadFailed
from speed.measure import Effort, Sampler
from speed.ours import Standpipe
from speed.peers import NotInstalled, installed
from speed.rows import DIRECT, MEASURES, OURS, TARGETS, TWO
from speed.targets import Place, Running, Target, TargetFailed, started

Json = dict[str, Any]
#: An open loop faster than this share of what a target can do shows its queue and nothing else.
MOST_OF_ITS_SPEED = 0.7
#: What may go wrong with one target and is no reason to stop.
_FAILURES = (
    *(TargetFailed, LoadFailed, OSError),
    *(subprocess.SubprocessError, sqlite3.Error, psutil.Error),
)


class Plan(NamedTuple):
    """What a run is asked for."""

    targets: Sequence[str]
    parts: Sequence[str]
    rounds: int
    effort: Effort
    #: Seconds after which no further round begins.
    limit_s: float


class Run:
    """Takes samples and keeps them, in a file too, as they come."""

    def __init__(self, plan: Plan, built: Built, mocks: Mocks, file: Path) -> None:
        self._plan = plan
        self._built = built
        self._mocks = mocks
        self._file = file
        self._began = time.monotonic()
        self._starts = 0
        self.found: Json = {
            "machine": machine.described() | {"node": peers.node_version()},
            "versions": {name: version for name, (version, _) in peers.INSTALL.items()},
            "seconds": plan.effort.seconds,
            "rounds": 0,
            "left_out": {},
            "failed": [],
            "samples": [],
            "starts": [],
            "drain": [],
            "rounds_told": [],
        }

    def everything(self) -> Json:
        """Measure all that was asked for; return what was found."""
        targets = [TARGETS[name] for name in self._plan.targets if self._is_here(TARGETS[name])]
        if "start" in self._plan.parts:
            for target in targets:
                self._start_twice(target)
        for number in range(self._plan.rounds):
            if number and time.monotonic() - self._began > self._plan.limit_s:
                self._say(f"no time is left for round {number + 1}")
                break
            for target in targets:
                self._round(target, number)
            self.found["rounds"] = number + 1
            self._save()
        return self.found

    def _is_here(self, target: Target) -> bool:
        why = None
        if target.start.__name__ == "start_https" and not self._mocks.https:
            why = "no TLS could be had"
        if target.needs is not None:
            try:
                installed(target.needs)
            except NotInstalled as error:
                why = str(error)
        if why is not None:
            self.found["left_out"][target.name] = why
            self._say(f"{target.name} is left out: {why}")
        return why is None

    def _start_twice(self, target: Target) -> None:
        """Note the second start: the first one makes what a first start makes."""
        if target.name == DIRECT:
            return
        place, times = self._place(target), []
        with self._noting(target, "start"):
            for _ in range(2):
                place = place._replace(port=machine.free_port())
                running, took = started(target, place, everywhere=True)
                machine.end(running.process)
                times.append(round(took, 3))
            self.found["starts"].append({"target": target.name, "first_answer_s": times[1]})
            self._say(f"{target.name}: first answer after {times[1]:.2f} s")

    def _round(self, target: Target, number: int) -> None:
        names = [name for name in target.plan if name.partition("/")[0] in self._plan.parts]
        drains = target.name == OURS and "drain" in self._plan.parts
        if not names and not drains:
            return
        with (
            self._noting(target, f"round {number + 1}"),
            self._whole(target, number),
            self._running(target) as running,
        ):
            sampler = Sampler(self._built.load, target, running, self._plan.effort)
            sampler.warm_up()
            for name in names:
                self._sample(sampler, target, name, number)
            self._ours(sampler, target, running, drains=drains)
            told = {"target": target.name, "round": number, **running.told()}
            self.found["rounds_told"].append(told)
        self._save()

    def _sample(self, sampler: Sampler, target: Target, name: str, number: int) -> None:
        asked = MEASURES[name]
        if asked.rate > MOST_OF_ITS_SPEED * self._speed(target):
            return
        with self._noting(target, name, (LoadFailed,)):
            found = sampler.sample(asked, target.least_s.get(name, 0))
            self.found["samples"].append(
                {"target": target.name, "measure": name, "round": number, **found}
            )
            self._say(f"{number + 1} {target.name:<26} {name:<13} {_short(found)}")

    def _ours(self, sampler: Sampler, target: Target, running: Running, *, drains: bool) -> None:
        if not isinstance(running, Standpipe):
            return
        if drains:
            found = own.drain(sampler, running)
            self.found["drain"].append(found)
            self._say(
                f"  drain: lag {found['lag_ms']}, {found['backlog']} in {found['backlog_s']} s"
            )
        if target.name == TWO:
            spread = own.spread(sampler, running, MEASURES["closed/64"])
            self.found.setdefault("spread", []).append(spread)
            self._say(f"  connections of each worker: {spread}")

    def _speed(self, target: Target) -> float:
        """Return what a target did at 32 connections; endless where that is not known."""
        done = [
            each["calls"] / each["seconds"]
            for each in self.found["samples"]
            if (each["target"], each["measure"]) == (target.name, "closed/32")
        ]
        return max(done, default=float("inf"))

    @contextmanager
    def _running(self, target: Target) -> Iterator[Running]:
        if target.name == DIRECT:
            place = self._place(target)._replace(port=self._mocks.http)
            place.folder.mkdir(parents=True)
            yield _Direct(place)
            return
        running, _ = started(target, self._place(target))
        try:
            yield running
        finally:
            machine.end(running.process)

    def _place(self, target: Target) -> Place:
        self._starts += 1
        folder = self._built.folder / "run" / f"{self._starts}"
        return Place(folder, machine.free_port(), self._mocks, self._built.certificate)

    @contextmanager
    def _noting(
        self, target: Target, what: str, kinds: tuple[type[Exception], ...] = _FAILURES
    ) -> Iterator[None]:
        """Note what fails, and go on with the rest."""
        try:
            yield
        except kinds as error:
            told = {"target": target.name, "what": what, "why": str(error)}
            self.found["failed"].append(told)
            self._say(f"{target.name}, {what}: {error}")

    @contextmanager
    def _whole(self, target: Target, number: int) -> Iterator[None]:
        """Forget the samples of a round in which the target ended by itself."""
        try:
            yield
        except TargetFailed:
            void = target.name, number
            samples = self.found["samples"]
            samples[:] = [x for x in samples if (x["target"], x["round"]) != void]
            raise

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:5.0f} s  {what}", flush=True)

    def _save(self) -> None:
        self._file.write_text(json.dumps(self.found, indent=1) + "\n")


class _Direct(Running):
    """The provider, as if it were a gateway: it costs nothing, for it is not one."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.answered = 0

    @override
    def parts(self) -> dict[str, list[int]]:
        return {"gateway": []}

    @override
    def require_alive(self) -> None:
        """It is looked after by who started it."""


def _short(found: Json) -> str:
    if found["event"]["count"]:
        rate, latency = found["event"]["count"] / found["seconds"], found["event"]
    else:
        rate, latency = found["calls"] / found["seconds"], found["latency"]
    cpu = " + ".join(f"{each:.1f}" for name, each in found["cpu_us"].items() if name != "rest")
    told = f"{rate:9,.0f}/s  {cpu} us  p50 {latency.get('p50', 0) / 1e3:.2f} ms"
    return f"{told}  p99 {latency.get('p99', 0) / 1e3:.2f} ms  foreign {found['foreign']:.0%}"
