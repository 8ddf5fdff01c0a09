"""Measure the drain and the store with a million records: what storing takes, and what asking does.

Run it with `make bench-records`. It fills a spool, lets the drain's own process store that in a new
SQLite and in a new PostgreSQL that syncs, and asks each what users ask. Linux only.
"""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import postgres
import psutil
from questions import RUNS, ask_all
from traffic import TEAM, Traffic

from standpipe.spool import Spool, names, new_boot, progress
from standpipe.store import Store

#: Records in the store at which the drain's memory is read.
MARKS = (10_000, 100_000, 1_000_000)
#: Streams, whose answers must be folded, are drained apart from the others, so many times fewer.
FEWER_STREAMS = 20
_HEAD = "# A million records\n\nMade by `make bench-records` from [records.json](records.json).\n\n"
#: Seconds that nothing may take; a guard against hangs.
WITHIN_S = 7200

Json = dict[str, Any]


def main() -> None:
    """Measure, print the tables, and write them and the figures down if told where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--write", type=Path, help="a folder for records.md and records.json")
    asked = parser.parse_args()
    found: Json = {"machine": _machine(), "calls": asked.calls, "runs": RUNS, "databases": {}}
    with tempfile.TemporaryDirectory(prefix="standpipe-records-", dir=asked.folder) as folder:
        for kind, database in (("sqlite", sqlite), ("postgresql", postgresql)):
            if asked.only in (None, kind):
                home = Path(folder) / kind
                home.mkdir()
                with database(home) as (url, size, server):
                    found["databases"][kind] = measure(url, home, asked.calls, size, server)
    told = page(found)
    print(told)
    if asked.write is not None:
        asked.write.mkdir(exist_ok=True)
        (asked.write / "records.md").write_text(_HEAD + told)
        (asked.write / "records.json").write_text(json.dumps(found, indent=1) + "\n")


Size = Callable[[], int]
Opened = tuple[str, Size, psutil.Process | None]


@contextmanager
def sqlite(home: Path) -> Iterator[Opened]:
    """Yield a new SQLite: its URL and how to ask for its size."""
    path = home / "standpipe.db"
    yield f"sqlite:///{path}", lambda: sum(each.stat().st_size for each in home.glob("*.db*")), None


@contextmanager
def postgresql(_home: Path) -> Iterator[Opened]:
    """Yield the same of a new PostgreSQL, whose commits are on disk, and its first process."""
    with postgres.running(durable=True) as server:
        url = server.create("records")

        def size() -> int:
            with server.connect() as connection:
                row = connection.execute("SELECT pg_database_size('records')").fetchone()
            return int(row[0]) if row else 0

        first = int((server.data / "postmaster.pid").read_text().split()[0])
        yield url, size, psutil.Process(first)


def measure(url: str, home: Path, calls: int, size: Size, server: psutil.Process | None) -> Json:
    """Fill a spool, drain it and ask; then the same with streams, but for the questions."""
    with closing(Store.open(url, usage_names=(TEAM,))) as store:
        store.migrate()
        empty = size()
        traffic = Traffic(store.add_project("whole").id, calls)
        spooled = fill(home / "whole", traffic)
        drained = drain(url, home / "whole", calls, server)
        grown = size() - empty
        answers = ask_all(store, traffic)
        streams = Traffic(store.add_project("streams").id, calls // FEWER_STREAMS, streamed=True)
        fill(home / "streams", streams)
        return {
            "spool_bytes_per_record": round(spooled / calls),
            "bytes_per_record": round(grown / calls),
            "drain": drained,
            "drain_of_streams": drain(url, home / "streams", streams.calls, server),
            "questions": answers,
        }


def fill(directory: Path, traffic: Traffic) -> int:
    """Write the frames of calls to a new spool; return their bytes."""
    spool, size = Spool(directory, boot=new_boot(), worker=0), 0
    for payload in traffic.frames():
        spool.append(payload)
        size += len(payload)
    spool.close()
    return size


def drain(url: str, directory: Path, calls: int, server: psutil.Process | None) -> Json:
    """Let the drain's process store a spool; return what that took from when it was ready."""
    with _drain(url, directory) as process:
        memory = {"start": _pss(process)}
        began, used, served = time.perf_counter(), _cpu(process), _cpu_of_all(server)
        for mark in sorted({*MARKS, calls}):
            if mark <= calls:
                _wait_for(directory, mark, calls)
                memory[f"{mark}"] = _pss(process)
        took, used = time.perf_counter() - began, _cpu(process) - used
    served = _cpu_of_all(server) - served
    return {
        "records": calls,
        "seconds": round(took, 1),
        "records_per_s": round(calls / took),
        "cpu_us_per_record": round(used / calls * 1e6, 1),
        "server_cpu_us_per_record": round(served / calls * 1e6, 1),
        "pss_mb": {mark: round(size / 1e6, 1) for mark, size in memory.items()},
    }


@contextmanager
def _drain(url: str, directory: Path) -> Iterator[psutil.Process]:
    """Run the drain as the supervisor does."""
    words = [sys.executable, "-m", "standpipe.drain"]
    spec = {"store_url": url, "spool": str(directory), "usage_names": [TEAM]}
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(spec) + "\n")
        process.stdin.flush()
        process.stdout.readline()
        yield psutil.Process(process.pid)
        process.terminate()
    assert process.returncode == 0


def _wait_for(directory: Path, mark: int, calls: int) -> None:
    """Wait until so many are stored; of the last, until nothing is left, which is seen at once."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if mark == calls and not names.listed(directory, names.SEGMENT):
            return
        told = progress.told(directory)
        if mark < calls and told is not None and told.inserted >= mark:
            return
        time.sleep(0.05)
    raise TimeoutError(mark)


def _cpu(process: psutil.Process) -> float:
    """Return the seconds of a processor that a process has taken, its own and the kernel's."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _cpu_of_all(server: psutil.Process | None) -> float:
    """Return the same of a server's processes, those that have ended too."""
    if server is None:
        return 0.0
    ended = server.cpu_times()
    alive = sum(_cpu(each) for each in (server, *server.children()))
    return alive + float(ended.children_user + ended.children_system)


def _pss(process: psutil.Process) -> int:
    return int(process.memory_full_info().pss)


def _machine() -> Json:
    return {
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_before": round(psutil.getloadavg()[0], 1),
        "packages": {name: version(name) for name in ("sqlalchemy", "psycopg", "zstandard")},
    }


def page(found: Json) -> str:
    """Return the figures as tables in Markdown."""
    kinds = list(found["databases"])
    measured = [found["databases"][kind] for kind in kinds]
    lines = [f"| {found['calls']:,} records | {' | '.join(kinds)} |", "|---|" + "---|" * len(kinds)]
    for name, value in _FIGURES.items():
        lines.append(f"| {name} | " + " | ".join(str(value(each)) for each in measured) + " |")
    for mark in measured[0]["drain"]["pss_mb"]:
        told = [f"{each['drain']['pss_mb'][mark]}" for each in measured]
        at = mark if mark == "start" else f"{int(mark):,} records"
        lines.append(f"| memory of the drain at {at}, MB | {' | '.join(told)} |")
    lines += ["", f"| median (and 95th percentile) of {RUNS}, ms | {' | '.join(kinds)} |"]
    lines.append("|---|" + "---|" * len(kinds))
    for name in measured[0]["questions"]:
        times = [each["questions"][name] for each in measured]
        told = [f"{each['median_ms']} ({each['p95_ms']})" for each in times]
        lines.append(f"| {name} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


_FIGURES: dict[str, Callable[[Json], object]] = {
    "stored a second": lambda each: f"{each['drain']['records_per_s']:,}",
    "processor time of the drain, µs a record": lambda each: each["drain"]["cpu_us_per_record"],
    "processor time of the server, µs a record": (
        lambda each: each["drain"]["server_cpu_us_per_record"] or "none"
    ),
    "the same of a stream, drain, µs": (lambda each: each["drain_of_streams"]["cpu_us_per_record"]),
    "in the spool, bytes a record": lambda each: f"{each['spool_bytes_per_record']:,}",
    "in the database, bytes a record": lambda each: f"{each['bytes_per_record']:,}",
}


if __name__ == "__main__":
    main()
