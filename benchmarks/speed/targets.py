"""What can be measured: how a target is started, what it must be sent, what it does for a call."""

from __future__ import annotations

import http.client
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bodies import question

from speed import machine
from speed.built import Mocks
from speed.load import NUMBER

Json = dict[str, Any]
KEY = "bench-key-0123456789abcdef0123456789abcdef"
#: What a client asks for; a gateway that can route asks its provider for `MODEL`.
ASKED_MODEL, MODEL = "gpt-4o", "mock-model"
#: Seconds that a target has to answer its first call.
START_S = 90.0


class Place(NamedTuple):
    """Where a target may put its files, where it listens, and where its provider is."""

    folder: Path
    port: int
    mocks: Mocks
    #: The authority of the provider's certificate.
    certificate: Path | None = None


class Start(NamedTuple):
    """What starts a target."""

    words: list[str]
    environment: Mapping[str, str] = {}


class TargetFailed(RuntimeError):
    """A target did not start, or ended by itself."""


class Running:
    """A target that runs."""

    def __init__(self, place: Place, process: subprocess.Popen[bytes]) -> None:
        self.place = place
        self.process = process
        #: Calls that it has answered with 200.
        self.answered = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.place.port

    def parts(self) -> dict[str, list[int]]:
        """Return its processes; those of `gateway` stand between client and provider."""
        return {"gateway": machine.tree(self.process.pid)}

    def pin(self) -> None:
        """Take the places on the cores that are meant for it; peers have them from the start."""

    def settle(self) -> None:
        """Return once nothing is left to do of the calls that were answered."""

    def require_alive(self) -> None:
        """Raise TargetFailed if it has ended: somebody else may listen at its port."""
        if self.process.poll() is not None:
            raise TargetFailed(f"it ended with {self.process.returncode}")

    def told(self) -> Json:
        """Return what else is to be said of it at the end of a round."""
        return {}


@dataclass(frozen=True)
class Target:
    """One that can be measured."""

    name: str
    start: Callable[[Place], Start]
    #: What it does for a call, and what not, for the page.
    does: str
    #: The measurements that it takes part in.
    plan: tuple[str, ...]
    #: Seconds of a sample at least, by measurement, where those of a run show too little.
    least_s: Mapping[str, float] = field(default_factory=dict)
    model: str = ASKED_MODEL
    headers: Callable[[Place], dict[str, str]] = lambda _: {"Authorization": f"Bearer {KEY}"}
    running: type[Running] = Running
    #: Keep it on its core from the start; else `Running.pin` does that.
    pinned: bool = True
    #: What it needs: (name, version), as `installed` knows it; None for nothing.
    needs: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def started(target: Target, place: Place, *, everywhere: bool = False) -> tuple[Running, float]:
    """Start a target; return it and the seconds until it answered its first call.

    With `everywhere` on all cores. Raises TargetFailed, having stopped it.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    start = target.start(place)
    cores = [machine.TARGET_CORE] if target.pinned and not everywhere else machine.CORES
    environment = {**_clean(), **start.environment, **target.environment}
    began = time.perf_counter()
    with (place.folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [*machine.pinned(cores), *start.words],
            env=environment,
            cwd=place.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    running = target.running(place, process)
    try:
        _wait_for_answer(target, running)
        took = time.perf_counter() - began
        running.pin()
    except BaseException:
        machine.end(process)
        raise
    return running, took


def _clean() -> dict[str, str]:
    """Return the environment without what a gateway might take for its own."""
    foreign = ("STANDPIPE_", "OPENAI_", "LITELLM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _wait_for_answer(target: Target, running: Running) -> None:
    end = time.monotonic() + START_S
    body, last = question(target.model), "nothing"
    told = target.headers(running.place).items()
    first = {name: value.replace(NUMBER, "0" * len(NUMBER)) for name, value in told}
    headers = {"Content-Type": "application/json", **first}
    while time.monotonic() < end:
        running.require_alive()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
            connection.request("POST", "/v1/chat/completions", body, headers)
            answer = connection.getresponse()
            last = f"{answer.status} {answer.read()[:200]!r}"
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            last = str(error)
        else:
            if answer.status == 200:
                running.answered += 1
                return
        time.sleep(0.01)
    raise TargetFailed(f"no call was answered within {START_S:g} s: {last}")
