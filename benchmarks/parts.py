"""Measure what each part of a node takes for a call, in time of a processor: see docs/scale.md.

Run it with `PYTHONPATH=tests:benchmarks .venv/bin/python benchmarks/parts.py`. One node with one
worker on a PostgreSQL that syncs and a Redis, a provider beside it, and clients that keep their
connections; calls of a key without limits, then of one with all of them. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import postgres
import psutil
import redis_server
from serving import KEY, REPOSITORY, Standpipe, provider, serving

from standpipe.store import Store, new_token

CLIENTS = 32
WARM = 500
#: What holds nobody up, and is counted all the same.
LIMITS = (
    '{"requests_per_minute":1000000000,"tokens_per_minute":1000000000,"concurrent_calls":1000,'
    '"dollars_per_day":"9000000"}'
)
PRICES = '[prices."up/ok"]\ninput = "0.37"\noutput = "1.48"\n'
PARTS = ("worker", "drain", "limiter", "PostgreSQL", "Redis")


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    calls = parser.parse_args().calls
    print(f"| calls of a key | {' | '.join(PARTS)} |\n|---|{'---|' * len(PARTS)}")
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.running(durable=True) as database,
        redis_server.running() as redis,
        upstream() as url,
    ):
        address, limited = database.create("parts"), new_token()[1]
        with closing(Store.open(address)) as store:
            store.migrate()
            project = store.add_project("default").id
            store.add_key(project, name="free", read_only=False, token=KEY)
            store.add_key(project, name="held", read_only=False, token=limited, limits=LIMITS)
        settings = {"STORE_URL": address, "LIMITS_REDIS": redis.url}
        written = provider("up", url) + PRICES
        with serving(Path(folder), written, **settings) as server:
            roots = [
                *(server.child(f"standpipe.{name}") for name in ("worker", "drain", "limits")),
                psutil.Process(_listens_at(database.port)),
                psutil.Process(_listens_at(redis.port)),
            ]
            for name, token in (("without limits", KEY), ("with all limits", limited)):
                measure(server, token, WARM, roots)
                told = measure(server, token, calls, roots)
                print(f"| {name} | {' | '.join(f'{each:.0f}' for each in told)} |", flush=True)


@contextmanager
def upstream() -> Iterator[str]:
    """Run a provider; yield its URL."""
    words = [sys.executable, str(REPOSITORY / "tests" / "misbehaving.py"), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["url"])
        process.terminate()


def measure(server: Standpipe, token: str, calls: int, roots: list[psutil.Process]) -> list[float]:
    """Return the microseconds that each part took for a call, once all of them are stored."""
    before = [_cpu(root) for root in roots]
    asyncio.run(place(server, token, calls))
    asyncio.run(drained(server))
    return [(_cpu(root) - was) / calls * 1e6 for root, was in zip(roots, before, strict=True)]


async def place(server: Standpipe, token: str, calls: int) -> None:
    """Place calls, on as many connections as there are clients."""
    messages = [{"role": "user", "content": "What is a standpipe? " * 60}]
    body = json.dumps({"model": "up:ok", "messages": messages, "max_tokens": 500}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(_client(server.port, head.encode() + body, calls // CLIENTS))


async def _client(port: int, request: bytes, calls: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(calls):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-len"))
        await reader.readexactly(int(size.split(b":")[1]))
    writer.close()


async def drained(server: Standpipe) -> None:
    """Return once the drain has nothing left to do."""
    child = server.child("standpipe.drain")
    was = -1.0
    # It looks for new records some times a second, which takes next to nothing.
    while (now := _cpu(child)) - was > 0.02:
        was = now
        await asyncio.sleep(1)


def _listens_at(port: int) -> int:
    found = (
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
    )
    return min(pid for pid in found if pid)


def _cpu(root: psutil.Process) -> float:
    """Return the seconds of a processor of a process and of all its children."""
    ended = root.cpu_times()
    each = [root.cpu_times(), *(child.cpu_times() for child in root.children(recursive=True))]
    alive = sum(times.user + times.system for times in each)
    return float(alive + ended.children_user + ended.children_system)


if __name__ == "__main__":
    main()
