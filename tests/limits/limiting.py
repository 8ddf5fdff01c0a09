"""A limiter in a process of its own, as the supervisor would start it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standpipe.limits.limits import Limits
from standpipe.limits.messages import Subject, Want
from standpipe.store import Store
from standpipe.wire.ids import new_id

#: A guard against hangs.
WITHIN_S = 60


@dataclass
class Process:
    """A limiter, its socket and what it was told."""

    home: Path
    spec: dict[str, Any] = field(default_factory=dict)
    running: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.home / "run" / "limiter.sock"

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.home / 'standpipe.db'}"

    def start(self) -> None:
        """Start it, and return once it answers."""
        self.running = subprocess.Popen(
            [sys.executable, "-m", "standpipe.limits"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        told = {"socket": str(self.socket), "store_url": self.store_url, "spool": str(self.spool)}
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        self.running.stdin.write(json.dumps({**told, **self.spec}).encode() + b"\n")
        self.running.stdin.flush()
        ready = json.loads(self.running.stdout.readline())
        assert ready == {"ready": True}, ready

    @property
    def spool(self) -> Path:
        return self.home / "spool"

    def make_store(self) -> None:
        """Make the tables."""
        with closing(Store.open(self.store_url)) as store:
            store.migrate()

    def kill(self) -> None:
        """Kill it."""
        assert self.running is not None
        self.running.kill()
        self._gone()

    def stop(self) -> int:
        """End its input, as a supervisor does that is gone; return its status."""
        assert self.running is not None
        assert self.running.stdin is not None
        self.running.stdin.close()
        return self._gone()

    def _gone(self) -> int:
        assert self.running is not None
        status = self.running.wait(WITHIN_S)
        for pipe in (self.running.stdin, self.running.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self.running = None
        return status


@contextlib.contextmanager
def limiter(home: Path, **spec: Any) -> Iterator[Process]:
    """Run a limiter until the block ends; its store is not there yet."""
    process = Process(home, spec)
    process.spool.mkdir(parents=True)
    process.start()
    try:
        yield process
    finally:
        if process.running is not None:
            process.kill()


def wants(limits: Limits, **fields: Any) -> Iterator[Want]:
    """Yield calls of one key without end."""
    key, project = new_id(), new_id()
    while True:
        at = fields.get("at", time.time_ns() // 1000)
        subjects = (Subject("key", key, limits),)
        yield Want(new_id(), project, subjects, **{"at": at, **fields})
