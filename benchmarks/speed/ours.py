"""Standpipe as a target: one worker on a core of its own, its drain and the rest on the others."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
from typing_extensions import override

from speed import machine
from speed.measure import Effort, Sampler
from speed.targets import KEY, Place, Running, Start, Target, TargetFailed, started

Json = dict[str, Any]
#: Seconds that the drain has for what waits.
DRAIN_S = 180.0

_CONFIGURATION = """
[providers.up]
base_url = "{url}"
max_connections = 4096
{more}
[routes."gpt-4o"]
targets = [{{ provider = "up", model = "mock-model" }}]
"""


def start(place: Place) -> Start:
    """Return how a server with a provider over HTTP is started."""
    return _start(place, f"http://127.0.0.1:{place.mocks.http}/v1")


def start_https(place: Place) -> Start:
    """Return how one with a provider over HTTPS is."""
    url = f"https://127.0.0.1:{place.mocks.https}/v1"
    return _start(place, url, f'ca_file = "{place.certificate}"')


def _start(place: Place, url: str, more: str = "") -> Start:
    file = place.folder / "standpipe.toml"
    file.write_text(_CONFIGURATION.format(url=url, more=more))
    own = {
        "HOME": place.folder / "home",
        "CONFIG": file,
        "SERVER_PORT": place.port,
        "API_KEY": KEY,
        "LOCAL_ENABLED": "false",
        "LOGGING_DEFAULT": "all",
    }
    environment = {f"STANDPIPE_{name}": str(value) for name, value in own.items()}
    return Start([sys.executable, "-m", "standpipe", "serve"], environment)


class Standpipe(Running):
    """A server that runs."""

    @property
    def home(self) -> Path:
        """Its data directory."""
        return self.place.folder / "home"

    @override
    def parts(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {"gateway": [], "drain": [], "rest": [self.process.pid]}
        for pid in machine.tree(self.process.pid)[1:]:
            found[_part(pid)].append(pid)
        return found

    @override
    def pin(self) -> None:
        parts = self.parts()
        for pid in (*parts["drain"], *parts["rest"]):
            machine.pin(pid, machine.OTHER_CORES)
        # With two workers the second has a core of the others': it may have to share that.
        cores = [machine.TARGET_CORE, *reversed(machine.OTHER_CORES)]
        for pid, core in zip(parts["gateway"], cores, strict=False):
            machine.pin(pid, [core])

    @override
    def settle(self) -> None:
        end = time.monotonic() + DRAIN_S
        while self.stored() < self.answered:
            if time.monotonic() > end:
                raise TargetFailed(f"{self.stored()} records of {self.answered} are stored")
            time.sleep(0.02)

    def stored(self) -> int:
        """Return how many records are stored, at little cost: none is ever removed."""
        return int(self._asked("SELECT max(rowid) FROM records") or 0)

    def last_stored_at(self) -> int:
        """Return when the call was answered that was stored last, in microseconds."""
        return int(self._asked("SELECT received_at FROM records ORDER BY rowid DESC LIMIT 1"))

    @override
    def told(self) -> Json:
        self.settle()
        complete = int(self._asked("SELECT count(*) FROM records WHERE outcome = 'complete'"))
        return {"answered": self.answered, "stored": complete}

    def connections(self) -> list[int]:
        """Return how many clients each worker has."""
        found = []
        for pid in self.parts()["gateway"]:
            sockets = psutil.Process(pid).net_connections("tcp4")
            here = [each for each in sockets if each.laddr[1:] == (self.port,)]
            found.append(sum(each.status == psutil.CONN_ESTABLISHED for each in here))
        return found

    def _asked(self, query: str) -> Any:
        path = f"file:{self.home}/standpipe.db?mode=ro"
        with closing(sqlite3.connect(path, uri=True, timeout=30)) as connection:
            row = connection.execute(query).fetchone()
        return row[0] if row else None


def _part(pid: int) -> str:
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return "rest"
    return {"standpipe.worker": "gateway", "standpipe.drain": "drain"}.get(words[-1], "rest")


@contextmanager
def sampled(
    load: Path, target: Target, place: Place, effort: Effort
) -> Iterator[tuple[Standpipe, Sampler]]:
    """Run a server of ours, warm, with what samples it, and end it."""
    running, _ = started(target, place)
    assert isinstance(running, Standpipe)
    sampler = Sampler(load, target, running, effort)
    try:
        sampler.warm_up()
        yield running, sampler
    finally:
        machine.end(running.process)
