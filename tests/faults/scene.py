"""Where a fault happens: a server, its spool and database, a provider that bills, and clients."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import postgres
import psutil
from faults.clients import Call, Crowd, Plan
from misbehaving import Misbehaving
from serving import PATIENCE, Standpipe, call, free_port, kill_tree, provider, start

Durability = Literal["process", "disk"]
DURABILITIES: tuple[Durability, ...] = ("process", "disk")

#: Time-outs of the provider, in seconds: short, so that one that is silent or endless is given up.
#: Of who waits for the slowest answer.
_PATIENT = "{ connect = 5, first_byte = 60, idle = 60, total = 60 }"
_TIMEOUTS = "{ connect = 5, first_byte = 1, idle = 1, total = 2 }"
#: US dollars for a million tokens, with as many digits as are exact to 10^-12 of a dollar a token.
PRICES = {"input": "0.370001", "cached_input": "0.092503", "output": "1.480007"}
#: Bytes of a small disk. A worker promises 256 KiB to each call under way, and has one spare.
_DISK_BYTES = 24 << 20

#: Within so many seconds each process has said how it stands.
_TOLD_S = 1.2
#: How long a drain may take for what has waited before a play gives up; a guard, not a goal.
_DRAINED_S = 600.0


@dataclass(frozen=True)
class Scale:
    """How long a fault goes on."""

    #: Answers that clients get before, between and after the blows.
    answers: int
    #: Seconds that a database is away.
    away: float
    #: Calls of a ledger.
    calls: int


@dataclass
class Scene:
    """What a fault has to work with."""

    home: Path
    upstream: Misbehaving
    scale: Scale
    #: None where the store is SQLite.
    postgres: postgres.Server | None
    #: The store's URL.
    url: str
    configuration: str
    settings: dict[str, str]
    plan: Plan
    #: The command that runs the server.
    within: Sequence[str] = ()
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.server = self._start()
        self.crowd = Crowd(self.server, self.plan)

    async def answered(self, count: int = 0) -> None:
        """Return once clients have got so many more answers; 0 for as many as the scale says."""
        wanted = count or self.scale.answers
        await self.until(lambda calls: sum(call.is_answered for call in calls) >= wanted)

    async def until(self, condition: Callable[[Sequence[Call]], bool]) -> None:
        """Return once the calls placed from now on fulfil a condition."""
        await self.crowd.until(condition)

    async def kill(self, module: str) -> None:
        """Kill the process that runs a module."""
        (await asyncio.to_thread(self.server.child, module)).kill()

    def records(self) -> dict[str, int]:
        """Return what the server says of the records of this start of its workers."""
        counts: dict[str, int] = self._health()["records"]
        return counts

    def records_in_the_end(self) -> dict[str, int]:
        """Return the same once all that waited is stored: at a stop the drain has not for ever."""
        deadline = time.monotonic() + _DRAINED_S
        time.sleep(_TOLD_S)
        while self._health()["drained"]["waiting_bytes"]:
            assert time.monotonic() < deadline, "records wait in the spool and are not stored"
            time.sleep(_TOLD_S)
        return self.records()

    async def start_again(self) -> None:
        """Start the server anew at the same place, once nothing of it is left."""
        self.crowd.server = self.server = await asyncio.to_thread(self._start)

    def family(self) -> list[psutil.Process]:
        """Return the server's processes."""
        supervisor = psutil.Process(self.server.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def _health(self) -> dict[str, Any]:
        health: dict[str, Any] = call(self.server, "GET", "/health", root=True).json
        return health

    def _start(self) -> Standpipe:
        settings = {**self.settings, "SERVER_PORT": str(self.port), "STORE_URL": self.url}
        server = start(self.home, self.configuration, within=self.within, **settings)
        try:
            server.wait()
        except AssertionError:
            kill_tree(server.process.pid)
            raise
        return server


@contextlib.contextmanager
def set_up(
    home: Path,
    upstream: Misbehaving,
    scale: Scale,
    *,
    plan: Plan,
    models: Sequence[str],
    server: postgres.Server | None = None,
    durability: Durability = "process",
    within: Sequence[str] = (),
    settings: dict[str, str] | None = None,
) -> Iterator[Scene]:
    """Run a server in an empty home and on an empty database until the block ends."""
    home.mkdir(parents=True)
    url = f"sqlite:///{home / 'standpipe.db'}" if server is None else server.create(uuid4().hex)
    # Small segments, so that faults come between two of them as well; and two workers by turns.
    chosen = {"SPOOL_SEGMENT_BYTES": "65536", "SPOOL_DURABILITY": durability, **(settings or {})}
    chosen["SERVER_WORKERS"] = "1" if server is None else "2"
    written = configuration(upstream, models)
    scene = Scene(home, upstream, scale, server, url, written, chosen, plan, within)
    try:
        yield scene
    finally:
        if scene.server.process.poll() is None:
            kill_tree(scene.server.process.pid)
            scene.server.process.kill()
            scene.server.process.wait(PATIENCE)


def configuration(upstream: Misbehaving, models: Sequence[str]) -> str:
    """Return the configuration: all providers are the one upstream, and each model has a price."""
    timeouts = {"up": _TIMEOUTS, "groq": _TIMEOUTS, "patient": _PATIENT}
    places = [provider(name, upstream.url, timeouts=each) for name, each in timeouts.items()]
    price = "\n".join(f'{name} = "{value}"' for name, value in PRICES.items())
    named = dict.fromkeys("/".join(model.split(":", 1)) for model in models)
    return "\n".join([*places, *(f'[prices."{name}"]\n{price}\n' for name in named)])


@dataclass(frozen=True)
class SmallDisk:
    """A disk for the spool that can be filled: a tmpfs, or else a folder that can be closed.

    A mount of its own needs a right that not every machine gives. A folder that is closed takes
    back what was promised to the calls under way, too; they are counted.
    """

    spool: Path

    @property
    def within(self) -> Sequence[str]:
        """The command to run the server with."""
        if not may_mount():
            # Who is root must do without the right to write where nobody may.
            return ("setpriv", "--bounding-set=-dac_override") if os.geteuid() == 0 else ()
        mount = f'mkdir -p "$0" && mount -t tmpfs -o size={_DISK_BYTES} none "$0" && exec "$@"'
        return (*_UNSHARE, "sh", "-c", mount, str(self.spool))

    def fill(self, server: Standpipe) -> None:
        """Take all the room that is left."""
        if not may_mount():
            self.spool.chmod(0o500)
            return
        with contextlib.suppress(OSError), self._ballast(server).open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self, server: Standpipe) -> None:
        """Give the room back."""
        if may_mount():
            self._ballast(server).unlink()
        else:
            self.spool.chmod(0o700)

    def _ballast(self, server: Standpipe) -> Path:
        # The mount is in the server's own view of the files.
        return Path(f"/proc/{server.process.pid}/root{self.spool}/ballast")


_UNSHARE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "-r")


@functools.cache
def may_mount() -> bool:
    """Tell whether a small disk is a real one, with the room that was promised of it."""
    tried = (*_UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt")
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0
