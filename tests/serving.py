"""A real `standpipe serve` for tests: its own home, its own port, its own process tree."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

KEY = "test-key-0123456789abcdef"
REPOSITORY = Path(__file__).parents[1]
#: How long a start or a stop may take before a test gives up; a guard, not a goal.
PATIENCE = 60.0


@dataclass
class Standpipe:
    """A running server."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]
    key: str = KEY
    log: Path = field(default_factory=Path)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base URL in OpenPipe's shapes; `root + "/v1"` is the other."""
        return f"{self.root}/api/v1"

    def child(self, module: str) -> psutil.Process:
        """Return the child that runs a module, such as `standpipe.worker`."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for child in psutil.Process(self.process.pid).children():
                with contextlib.suppress(psutil.Error):
                    if module in child.cmdline():
                        return child
            time.sleep(0.02)
        raise AssertionError(f"no child runs {module}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the supervisor and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def wait(self) -> None:
        """Return once the server answers."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                if call(self, "GET", "/health", root=True).status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"no answer:\n{self.log.read_text()}")

    def cli(self, *arguments: str, check: bool = True) -> str:
        """Run a command of the command line on this server's home; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "standpipe", *arguments],
            env=environment(self.home),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(done.stderr or done.stdout)
        return done.stdout if check else done.stdout + done.stderr


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@contextlib.contextmanager
def serving(home: Path, configuration: str = "", **settings: str) -> Iterator[Standpipe]:
    """Run a server in `home`; settings are environment variables, names without STANDPIPE_.

    The embedded model is off unless LOCAL_ENABLED says otherwise.
    """
    server = start(home, configuration, **settings)
    try:
        server.wait()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
        kill_tree(server.process.pid)


def start(
    home: Path,
    configuration: str = "",
    *arguments: str,
    within: Sequence[str] = (),
    **settings: str,
) -> Standpipe:
    """Start a server and return without waiting for it; `within` is a command that runs it.

    `arguments` are those of `standpipe serve`.
    """
    home.mkdir(parents=True, exist_ok=True)
    file = home / "standpipe.toml"
    file.write_text(configuration)
    port = int(settings.pop("SERVER_PORT", "0")) or free_port()
    chosen = {"SERVER_PORT": str(port), "LOCAL_ENABLED": "false", "API_KEY": KEY, **settings}
    env = environment(home, STANDPIPE_CONFIG=str(file))
    env |= {f"STANDPIPE_{name}": value for name, value in chosen.items()}
    log = home / "serve.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*within, sys.executable, "-m", "standpipe", "serve", *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return Standpipe(home, port, process, log=log)


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment in which no setting of the machine's own is left."""
    ours = ("STANDPIPE_", "OPENAI_", "COLUMNS")
    kept = {n: v for n, v in os.environ.items() if not n.startswith(ours)}
    return {**kept, "STANDPIPE_HOME": str(home), "NO_COLOR": "1", **more}


def kill_tree(pid: int) -> None:
    """Kill what a test may have left."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def free_port() -> int:
    """Return a port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(
    server: Standpipe,
    method: str,
    path: str,
    body: Any = None,
    *,
    root: bool = False,
    key: str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send one request; `root` for a path without the prefix. An error status is an answer too."""
    data = json.dumps(body).encode() if body is not None else None
    sent = {"Authorization": f"Bearer {key or server.key}", **(headers or {})}
    if data is not None:
        sent.setdefault("Content-Type", "application/json")
    url = (server.root if root else server.url) + path
    request = urllib.request.Request(url, data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


def provider(name: str, url: str, **settings: str) -> str:
    """Return a [providers] table; settings are TOML values."""
    lines = [f"[providers.{name}]", f'base_url = "{url}"']
    return "\n".join([*lines, *(f"{n} = {v}" for n, v in settings.items()), ""])
