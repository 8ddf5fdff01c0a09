"""Measure a start as a user sees it: seconds to the first answer, and memory (PSS) afterwards.

Run it with `make bench-start`. It starts `standpipe serve` with the embedded model in a new home
whose weights are already there, asks once, stops, and starts again. Linux only: it reads
smaps_rollup.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

KEY = "bench-key-0123456789"
CALLS = 20
#: What each child is called here, by the module that it runs.
CHILDREN = {
    "standpipe.worker": "worker",
    "standpipe.drain": "drain",
    "standpipe.engine.process": "engine",
    "standpipe.engine.extras": "speech and embeddings, not yet used",
}
OURS = ("supervisor", "worker", "drain")


def main() -> None:
    """Print a table in Markdown."""
    weights = Path(os.environ.get("STANDPIPE_HOME", ".standpipe")).absolute() / "models"
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        (home / "models").symlink_to(weights)
        first = run(home)
        again = run(home)
    print("| | first start | second start |\n|---|---|---|")
    for name in first:
        print(f"| {name} | {first[name]} | {again[name]} |")


def run(home: Path) -> dict[str, str]:
    """Start, ask, measure, stop."""
    port = free_port()
    own = {"STANDPIPE_HOME": str(home), "STANDPIPE_SERVER_PORT": str(port)}
    environment = {**os.environ, **own, "STANDPIPE_API_KEY": KEY}
    started = time.perf_counter()
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "standpipe", "serve"], env=environment, stdout=log, stderr=log
        )
    try:
        reached = until(lambda: get(port, "/health"), started)
        answered = until(lambda: ask(port), started)
        for _ in range(CALLS):
            ask(port)
        memory = pss(server.pid)
    finally:
        server.terminate()
        server.wait(60)
    figures = {
        "reachable, s": f"{reached:.2f}",
        "first answer of the local model, s": f"{answered:.2f}",
    }
    figures |= {f"PSS of {name}, MB": f"{size / 1e6:.0f}" for name, size in memory.items()}
    together = sum(memory[name] for name in OURS)
    return {**figures, "PSS of supervisor, worker and drain, MB": f"{together / 1e6:.0f}"}


def until(attempt: object, started: float) -> float:
    """Repeat until it works; return the seconds since the start."""
    assert callable(attempt)
    while time.perf_counter() - started < 60:
        try:
            attempt()
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.01)
        else:
            return time.perf_counter() - started
    raise SystemExit("no answer within 60 seconds")


def get(port: int, path: str) -> None:
    """Send a GET."""
    urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30).read()


def ask(port: int) -> None:
    """Ask the local model for one token."""
    body = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hi"}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps({**body, "max_tokens": 1}).encode(),
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).read()


def pss(pid: int) -> dict[str, int]:
    """Return the proportional set size of each process of the tree, in bytes."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    sizes = {"supervisor": _pss(str(pid))}
    for child in children:
        command = Path(f"/proc/{child}/cmdline").read_bytes()
        name = next(name for module, name in CHILDREN.items() if module.encode() in command)
        sizes[name] = _pss(child)
    return sizes


def _pss(pid: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise LookupError(pid)


def free_port() -> int:
    """Return a port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
