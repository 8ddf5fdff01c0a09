"""Measure that cost stays flat: with calls answered, streams, keys, routes, records, connections.

Run it with `make bench-flat`; a quarter of an hour, or `FLAT=--quick` for a hundredth of the
numbers. It writes docs/benchmarks/flat.md and flat.json. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import socket
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from speed import machine, ours
from speed.built import Built, Mocks, build, mocks
from speed.load import NUMBER, Asked
from speed.measure import Effort, Sampler
from speed.ours import Standpipe
from speed.page import number, python, table
from speed.targets import Place, Start, Target

from standpipe.store import Store, hash_token

Json = dict[str, Any]
ROOT = Path(__file__).parents[1]
#: On as many connections, for each one that is in use needs memory.
CALLS, STREAMS = Asked(64), Asked(64, streamed=True)
#: Keys in turn, few enough that everything of theirs is at hand.
_IN_TURN = 100
#: The keys: this and a number.
PREFIX = "bench-key-"
KEEP_ALIVE_S = 3600
#: Samples of a cost, and of costs in turns; the median counts.
SAMPLES, TURNS = 3, 5


class Sizes(NamedTuple):
    """How many of each."""

    few: int
    calls: int
    streams: int
    keys: int
    routes: int
    connections: int


WHOLE = Sizes(10_000, 1_000_000, 10_000, 100_000, 1_000, 10_000)
QUICK = Sizes(1_000, 10_000, 500, 1_000, 100, 100)


class Row(NamedTuple):
    """What was measured before and after, and how much more it may be."""

    what: str
    unit: str
    before: float
    after: float
    #: Told as it is, and not as a change, where there is one.
    each: str = ""


class Bench:
    """Servers, one for each thing that grows."""

    def __init__(self, built: Built, where: Mocks, sizes: Sizes, seconds: float) -> None:
        self._built = built
        self._mocks = where
        self._sizes = sizes
        self._effort = Effort(seconds, 3)
        self._started = 0

    @contextmanager
    def _serving(
        self, *, routes: int = 1, prepare: Callable[[Path], None] = lambda _: None
    ) -> Iterator[tuple[Standpipe, Sampler]]:
        """Run a server with so many routes; `prepare` is given its home before it starts."""
        self._started += 1
        folder = self._built.folder / f"flat-{self._started}"
        place = Place(folder, machine.free_port(), self._mocks)
        settings = {
            "STANDPIPE_API_KEY": f"{PREFIX}{0:08}",
            "STANDPIPE_SERVER_KEEP_ALIVE": f"{KEEP_ALIVE_S}",
        }

        def start(place: Place) -> Start:
            found = ours.start(place)
            with (place.folder / "standpipe.toml").open("a") as file:
                for at in range(1, routes):
                    target = '{ provider = "up", model = "mock-model" }'
                    file.write(f'[routes."route-{at}"]\ntargets = [{target}]\n')
            return found

        (folder / "home").mkdir(parents=True)
        prepare(folder / "home")
        headers = {"Authorization": f"Bearer {PREFIX}{NUMBER}"}
        target = Target(
            *("standpipe", start, "", ()),
            headers=lambda _: headers,
            running=Standpipe,
            pinned=False,
            environment=settings,
        )
        with ours.sampled(self._built.load, target, place, self._effort) as serving:
            yield serving

    def calls(self) -> Iterator[Row]:
        """Memory, and cost, after few calls and after many, whose records are stored."""
        sizes = self._sizes
        with self._serving() as (running, sampler):
            _answer(running, sampler, CALLS, sizes.few)
            memory, cost = _memory(running), _costs(sampler)
            _answer(running, sampler, CALLS, sizes.calls)
            later, cost_later = _memory(running), _costs(sampler)
            after = f"after {sizes.few:,} and {sizes.calls:,} calls"
            for part in ("gateway", "drain"):
                name = "worker" if part == "gateway" else part
                yield Row(f"memory of the {name}, {after}", "MB", memory[part], later[part])
            stored = f"with {sizes.few:,} and {sizes.calls:,} records stored"
            yield Row(f"worker, {stored}", "µs a call", cost["gateway"], cost_later["gateway"])
            yield Row(f"drain, {stored}", "µs a call", cost["drain"], cost_later["drain"])

    def streams(self) -> Iterator[Row]:
        """Memory after calls, a tenth of the streams, and all of them."""
        sizes = self._sizes
        with self._serving() as (running, sampler):
            _answer(running, sampler, CALLS, sizes.few)
            found = [_worker(running)]
            for streams in (sizes.streams // 10, sizes.streams - sizes.streams // 10):
                _answer(running, sampler, STREAMS, streams)
                found.append(_worker(running))
            told = f"{sizes.few:,} calls and after {sizes.streams:,} streams more"
            yield Row(f"memory of the worker, after {told}", "MB", found[0], found[2])
            told = f"{sizes.streams // 10:,} and {sizes.streams:,} streams"
            yield Row(f"memory of the worker, after {told}", "MB", found[1], found[2])

    def keys(self) -> Iterator[Row]:
        """Memory and cost with one key, and with many that were all used.

        With keys in turn no call has the head of the last one of its connection, as it has with
        one: so a hundred in turn are what many in turn are compared with.
        """
        count = self._sizes.keys
        many, few = (CALLS._replace(numbers=each) for each in (count, _IN_TURN))
        with contextlib.ExitStack() as stack:
            (knows_one, one), (knows_all, all_known) = (
                stack.enter_context(self._serving(prepare=lambda home: _add_keys(home, count)))
                for _ in range(2)
            )
            _answer(knows_one, one, CALLS, count)
            _answer(knows_all, all_known, many, count)
            memory, later = _worker(knows_one), _worker(knows_all)
            told = f"worker, calls with one key, 1 and {count:,} known"
            yield Row(told, "µs a call", *_in_turns((one, CALLS), (all_known, CALLS)))
            told = f"worker, with 1 key and with {_IN_TURN} in turn"
            yield Row(told, "µs a call", *_in_turns((one, CALLS), (one, few)))
            told = f"worker, with {_IN_TURN} and {count:,} keys in turn"
            yield Row(told, "µs a call", *_in_turns((one, few), (all_known, many)))
            each = f"{(later - memory) * 1e6 / count:,.0f} B a key"
            yield Row(f"memory of the worker, 1 and {count:,} keys", "MB", memory, later, each)

    def routes(self) -> Iterator[Row]:
        """Cost with one route and with many."""
        many = self._sizes.routes
        with self._serving() as (_, one), self._serving(routes=many) as (_, all_of_them):
            costs = _in_turns((one, CALLS), (all_of_them, CALLS))
        yield Row(f"worker, with 1 and {many:,} routes", "µs a call", *costs)

    def connections(self) -> Iterator[Row]:
        """Memory and cost without idle connections and with many."""
        count = self._sizes.connections
        with self._serving() as (running, sampler):
            _answer(running, sampler, CALLS, self._sizes.few)
            memory, cost = _worker(running), _costs(sampler)["gateway"]
            with _idle(running.port, count):
                later, cost_later = _worker(running), _costs(sampler)["gateway"]
            with_them = f"without and with {count:,} idle connections"
            each = f"{(later - memory) * 1e6 / count:,.0f} B a connection"
            yield Row(f"worker, {with_them}", "µs a call", cost, cost_later)
            yield Row(f"memory of the worker, {with_them}", "MB", memory, later, each)


def _answer(running: Standpipe, sampler: Sampler, asked: Asked, more: int) -> None:
    """Let so many more calls be answered and stored, or some more than that."""
    until = running.answered + more
    while running.answered < until:
        sampler.once(asked)
        running.settle()


def _costs(sampler: Sampler, asked: Asked = CALLS) -> dict[str, float]:
    samples = [sampler.sample(asked)["cpu_us"] for _ in range(SAMPLES)]
    return {name: statistics.median(each[name] for each in samples) for name in samples[0]}


def _in_turns(first: tuple[Sampler, Asked], second: tuple[Sampler, Asked]) -> tuple[float, float]:
    """Return the worker's costs of two, from samples in turns: a machine's speed drifts."""
    found: tuple[list[float], list[float]] = [], []
    for turn in range(TURNS):
        pairs = zip((first, second), found, strict=True)
        for (sampler, asked), costs in list(pairs)[:: 1 if turn % 2 else -1]:
            costs.append(sampler.sample(asked)["cpu_us"]["gateway"])
    return statistics.median(found[0]), statistics.median(found[1])


def _memory(running: Standpipe) -> dict[str, float]:
    time.sleep(1)
    return {name: machine.pss_mb(pids) for name, pids in running.parts().items()}


def _worker(running: Standpipe) -> float:
    return _memory(running)["gateway"]


def _add_keys(home: Path, count: int) -> None:
    """Make the store with its keys, as if they had been made an hour ago."""
    file = home / "standpipe.db"
    with closing(Store.open(f"sqlite:///{file}")) as store:
        store.migrate()
        project = store.add_project("default").id
    then = time.time_ns() // 1000 - 3_600_000_000
    rows = (
        (f"k{at:08}", project, "bench", hash_token(f"{PREFIX}{at:08}"), False, then, then)
        for at in range(count)
    )
    columns = "id, project_id, name, token_hash, read_only, created_at, updated_at"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany(
            f"INSERT INTO api_keys ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
        )


@contextmanager
def _idle(port: int, count: int) -> Iterator[None]:
    """Hold connections open, each of which has asked once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as held:
        for _ in range(count):
            each = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            each.sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
            if not each.recv(4096).startswith(b"HTTP/1.1 200"):
                raise SystemExit("an idle connection was refused")
        yield


def page(found: Json) -> str:
    """Return the table in Markdown."""
    rows = [Row(*each) for each in found["rows"]]
    lines = [
        [
            f"{row.what}, {row.unit}",
            number(row.before),
            number(row.after),
            row.each or f"{row.after / row.before - 1:+.1%}",
        ]
        for row in rows
    ]
    about = found["machine"]
    return (
        "# What stays as it is\n\n"
        f"{about['processor']}, {about['cores']} cores, {python(about)}. Load before: "
        f"{', '.join(map(str, about['load_before']))}. Made by `make bench-flat`.\n\n"
        + table(["", "before", "after", "change"], lines)
    )


PARTS = ("calls", "streams", "keys", "routes", "connections")


def main() -> None:
    """Measure each part, and write what was found as it comes."""
    parser = argparse.ArgumentParser(prog="make bench-flat", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the numbers")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "benchmarks")
    asked = parser.parse_args()
    machine.end_with_all()
    asked.write.mkdir(parents=True, exist_ok=True)
    cache = ROOT / ".cache" / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    found: Json = {"machine": machine.described(), "rows": []}
    with tempfile.TemporaryDirectory(prefix="run-", dir=cache) as folder:
        built = build(Path(folder))
        with mocks(built) as where:
            bench = Bench(built, where, *((QUICK, 1.0) if asked.quick else (WHOLE, 5.0)))
            for part in asked.only:
                for row in getattr(bench, part)():
                    print(
                        f"{row.what}: {row.before:.1f}, {row.after:.1f} {row.unit} {row.each}",
                        flush=True,
                    )
                    found["rows"].append(list(row))
                    (asked.write / "flat.json").write_text(json.dumps(found, indent=1) + "\n")
    (asked.write / "flat.md").write_text(page(found))
    print(page(found))


if __name__ == "__main__":
    main()
