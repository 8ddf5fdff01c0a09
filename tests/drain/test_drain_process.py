"""The drain as a process: when it ends, and that kills of it and of workers lose nothing."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from spooling import start_python

from standpipe.drain.drain import Drain
from standpipe.spool import Spool, names
from standpipe.store.rows import Row
from standpipe.store.store import Store

Frames = Callable[..., bytes]
Rows = Callable[[], dict[str, Row]]

DRAIN = "import sys; from standpipe.drain.__main__ import main; sys.exit(main())"

# Prints an id once its record is appended, and `begun <id>` once its stream is.
WORKER = """
import os, sys
from pathlib import Path
from standpipe.spool import Spool, new_boot
from standpipe.wire.ids import new_id
from standpipe.wire.record import Begin, Record, encode

spool = Spool(Path(sys.argv[1]), boot=new_boot(), worker=int(sys.argv[3]), segment_bytes=1 << 18)
project = sys.argv[2]
while True:
    call = new_id()
    spool.append(encode(Begin(id=call, project=project, key="k", requested_at=1)))
    os.write(1, f"begun {call}\\n".encode())
    record = Record(id=call, kind="chat", project=project, key="k", requested_at=1, received_at=2,
                    outcome="complete", status=200, logged=True, request=b"{}" + b" " * 500)
    spool.append(encode(record))
    os.write(1, f"{call}\\n".encode())
"""


# One long stream while others fill segment after segment; then it waits to be told to go on.
ROTATING = """
import sys
from pathlib import Path
from standpipe.spool import Spool, new_boot
from standpipe.wire.record import Begin, encode

spool = Spool(Path(sys.argv[1]), boot=new_boot(), worker=0, segment_bytes=1 << 12)
spool.append(encode(Begin(id="long", project=sys.argv[2], key="k", requested_at=1)))
for number in range(800):
    frame = Begin(id=f"{number:04}", project=sys.argv[2], key="k", requested_at=1,
                  request=b"{}" + b" " * (number * 4))
    spool.append(encode(frame))
print("all begun", flush=True)
sys.stdin.read()
"""


def start_drain(url: str, directory: Path) -> subprocess.Popen[str]:
    """Start the drain as the supervisor does; return when it is ready."""
    drain = start_python(DRAIN, stdin=subprocess.PIPE)
    assert drain.stdin is not None
    assert drain.stdout is not None
    drain.stdin.write(json.dumps({"store_url": url, "spool": str(directory)}) + "\n")
    drain.stdin.flush()
    assert json.loads(drain.stdout.readline()) == {"ready": True}
    return drain


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stop(process: subprocess.Popen[str], how: Callable[[], object]) -> int:
    how()
    code = process.wait(timeout=30)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    return code


def end(process: subprocess.Popen[str]) -> int:
    """Close its stdin, as the end of the supervisor does."""
    return stop(process, process.communicate)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_when_the_spool_is_empty(
    url: str, spool: Spool, directory: Path, record_of: Frames, rows: Rows, number: int
) -> None:
    process = start_drain(url, directory)
    spool.append(record_of("first"))
    wait_until(lambda: "first" in rows())
    spool.append(record_of("last"))
    assert stop(process, lambda: process.send_signal(number)) == 0
    assert "last" in rows()


def test_the_end_of_stdin_ends_it_when_the_spool_is_empty(
    url: str, spool: Spool, directory: Path, record_of: Frames, rows: Rows
) -> None:
    for number in range(2000):
        spool.append(record_of(f"{number:04}"))
    process = start_drain(url, directory)
    assert process.stdin is not None
    process.stdin.write("a word means nothing")
    assert end(process) == 0
    assert len(rows()) == 2000


def test_a_second_drain_waits_for_the_first(
    url: str, spool: Spool, directory: Path, record_of: Frames, rows: Rows
) -> None:
    first = start_drain(url, directory)
    spool.append(record_of("a"))
    wait_until(lambda: "a" in rows())
    second = start_drain(url, directory)
    first.kill()
    spool.append(record_of("b"))
    wait_until(lambda: "b" in rows())
    third = start_drain(url, directory)
    assert end(third) == 0
    assert end(second) == 0
    stop(first, first.kill)


def test_no_stream_is_given_up_while_its_worker_goes_from_segment_to_segment(
    directory: Path, store: Store, project: str, drain: Drain, rows: Rows
) -> None:
    worker = start_python(ROTATING, directory, project, stdin=subprocess.PIPE)
    assert worker.stdout is not None
    while not select.select([worker.stdout], [], [], 0)[0]:
        drain.step()
    while not drain.is_idle:
        drain.step()
    assert (drain.inserted, drain.lost, len(store.open_streams(None))) == (0, 0, 801)
    assert end(worker) == 0
    while len(rows()) < 801:
        drain.step()
    assert drain.lost == 801


def test_every_call_is_one_row_after_kills_of_workers_and_drains(
    url: str, directory: Path, store: Store, project: str, rows: Rows
) -> None:
    moments = random.Random(11)
    told: list[str] = []
    for kill in range(6):
        drain = start_drain(url, directory)
        workers = [start_python(WORKER, directory, project, number) for number in range(2)]
        told += killed(drain, workers, 0.1 + moments.random() * 0.2, kill)
    last = start_drain(url, directory)
    assert end(last) == 0

    found = rows()
    ended = {line for line in told if not line.startswith("begun ")}
    begun = {line.removeprefix("begun ") for line in told} - ended
    assert len(ended) > 500
    assert {found[call].outcome for call in ended} == {"complete"}
    # A stream that only began is lost, or its record was kept and the kill came before the word.
    assert begun <= found.keys()
    assert len(found) - len(ended) - len(begun) <= 12
    assert {row.outcome for row in found.values()} <= {"complete", "lost"}
    assert names.listed(directory, names.SEGMENT) == []
    assert (store.positions(), store.open_streams(None)) == ({}, [])


def killed(
    drain: subprocess.Popen[str], workers: list[subprocess.Popen[str]], after_s: float, turn: int
) -> list[str]:
    """Let them run, kill the drain and the workers in turns, and return all that was told."""
    pipes = {worker.stdout.fileno(): worker for worker in workers if worker.stdout}
    said = dict.fromkeys(pipes, b"")
    until = time.monotonic() + after_s
    while time.monotonic() < until or not all(said.values()):
        for pipe in select.select(list(pipes), [], [], 0.05)[0]:
            said[pipe] += os.read(pipe, 1 << 16)
    order = [drain, *workers] if turn % 2 else [*workers, drain]
    for process in order:
        process.kill()
    for pipe in pipes:
        while more := os.read(pipe, 1 << 16):
            said[pipe] += more
    for process in order:
        stop(process, process.kill)
    return [line.decode() for text in said.values() for line in text.split(b"\n")[:-1]]
