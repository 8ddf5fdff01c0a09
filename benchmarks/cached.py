"""Measure what a call takes that is answered from the cache, beside one that a provider answers.

Run it with `PYTHONPATH=tests:benchmarks .venv/bin/python benchmarks/cached.py`. Time of the
processor of a worker, in turns: a call without `op-cache`, one from the worker's memory, and one
from each place where answers are kept for all. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import postgres
import redis_server
from bodies import question
from misbehaving import Misbehaving, running
from serving import KEY, Standpipe, provider, serving

CLIENTS = 8
WARM = 200
BODY = question("up:ok")
CACHED = "op-cache: readWrite\r\n"


class Way(NamedTuple):
    """A way to an answer."""

    name: str
    server: Standpipe
    headers: str = CACHED


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    with ExitStack() as stack, running() as upstream:
        ways = _ways(stack, upstream)
        for way in ways:
            _measure(way, WARM)
        seen = upstream.requests_seen
        took = [[_measure(way, asked.calls) for way in ways] for _ in range(asked.rounds)]
        usual, *cached = (statistics.median(each) for each in zip(*took, strict=True))
        reached = upstream.requests_seen - seen - asked.rounds * asked.calls
        print("| answered by | µs of a worker | of a call |\n|---|---|---|")
        for way, middle in zip(ways, [usual, *cached], strict=True):
            print(f"| {way.name} | {middle:.1f} | {middle / usual:.2f} |")
        print(f"\nCached calls that reached the provider: {reached}")


def _ways(stack: ExitStack, upstream: Misbehaving) -> list[Way]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    database = stack.enter_context(postgres.running(durable=True)).create("cached")
    redis = stack.enter_context(redis_server.running())
    place = provider("up", upstream.url)

    def node(name: str, **settings: str) -> Standpipe:
        return stack.enter_context(serving(folder / name, place, **settings))

    memory, nothing = node("memory"), {"CACHE_MEMORY_BYTES": "0"}
    return [
        Way("a provider", memory, ""),
        Way("memory", memory),
        Way("SQLite", node("sqlite", **nothing)),
        Way("PostgreSQL", node("postgres", STORE_URL=database, **nothing)),
        Way("Redis", node("redis", CACHE_REDIS=redis.url, **nothing)),
    ]


def _measure(way: Way, calls: int) -> float:
    """Return the microseconds of its worker's processor that a call takes."""
    worker = way.server.child("standpipe.worker").pid
    before = _cpu_ns(worker)
    asyncio.run(_place(way, calls))
    return (_cpu_ns(worker) - before) / calls / 1e3


def _cpu_ns(pid: int) -> int:
    """Return how long the threads of a process were on a processor; its clock knows 10 ms."""
    told = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(each.split()[0]) for each in told)


async def _place(way: Way, calls: int) -> None:
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n{way.headers}"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    )
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            request = head.encode() + BODY
            group.create_task(_client(way.server.port, request, calls // CLIENTS))


async def _client(port: int, request: bytes, calls: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(calls):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"refused: {head!r}")
        size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-len"))
        await reader.readexactly(int(size.split(b":")[1]))
    writer.close()


if __name__ == "__main__":
    main()
