"""Many calls at once, and clients that leave: a row each, and nothing is kept of them but that."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from faults.clients import AT_FIRST_EVENT, Call, many_files, together
from faults.playing import rows_of, wait_until
from misbehaving import running
from serving import PATIENCE, REPOSITORY, Standpipe, provider, serving, start

from standpipe.store.rows import Row


class Slow:
    """The misbehaving provider as a program of its own."""

    def __init__(self) -> None:
        argv = [sys.executable, str(REPOSITORY / "tests" / "misbehaving.py"), "--port", "0"]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.url: str = json.loads(self.process.stdout.readline())["url"]
        self._asked = 0

    def calls_seen(self) -> int:
        """Return how many requests have come, those of this very method left out."""
        self._asked += 1
        with urlopen(self.url.removesuffix("/v1") + "/stats") as answer:
            seen: int = json.load(answer)["requests_seen"]
            return seen - self._asked

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def slow() -> Iterator[Slow]:
    upstream = Slow()
    try:
        yield upstream
    finally:
        upstream.stop()


BURST = 2000


def burst(prefix: str) -> list[Call]:
    """Return the calls of a burst: whole and streamed, and of each a third that leave early."""
    kinds = (
        lambda: Call("up:slow:3000"),
        lambda: Call("up:slow:3000"),
        lambda: Call("up:silent", leave="when-told"),
        lambda: Call("up:slow:1000+drip:100+chunks:20", stream=True),
        lambda: Call("up:slow:1000+drip:100+chunks:20", stream=True),
        lambda: Call("up:drip:400+chunks:40", stream=True, leave=AT_FIRST_EVENT),
    )
    calls = [kinds[number % len(kinds)]() for number in range(BURST)]
    for number, call in enumerate(calls):
        call.name = f"{prefix}{number}"
    return calls


def send_burst(server: Standpipe, slow: Slow, prefix: str) -> list[Call]:
    """Send a burst and return its calls once all have ended and are in the store."""
    calls = burst(prefix)
    seen = slow.calls_seen()

    async def all_asked() -> None:
        await asyncio.to_thread(wait_until, lambda: slow.calls_seen() - seen >= BURST)

    stored = len(rows_of(server))
    asyncio.run(together(server, calls, all_asked))
    wait_until(lambda: len(rows_of(server)) >= stored + BURST, lambda: len(rows_of(server)))
    return calls


OUTCOMES = {"whole": "complete", "left": "abandoned"}


def test_two_thousand_calls_at_once_leave_a_row_each(tmp_path: Path, slow: Slow) -> None:
    settings = {"SERVER_HEADER_TIMEOUT": "60"}
    configuration = provider("up", slow.url, max_connections="4000")
    with many_files(), serving(tmp_path, configuration, **settings) as server:
        worker = server.child("standpipe.worker")
        quiet = sockets(worker)
        calls = send_burst(server, slow, "first-")
        memory = worker.memory_full_info().uss
        calls += send_burst(server, slow, "second-")
        # Once warm, a worker takes no more; the rest is what the allocator may keep or give back.
        assert worker.memory_full_info().uss < memory * 1.15 + 10e6
        assert Counter(call.end for call in calls) == {"whole": 2668, "left": 1332}
        rows = rows_of(server)
        slow.stop()  # and with it the connections that are kept for a next call
        wait_until(lambda: sockets(worker) <= quiet, lambda: sockets(worker))

    assert len(rows) == len(calls)
    by_name = {row.metadata["call"]: row for row in rows}
    assert by_name.keys() == {call.name for call in calls}
    seen = {call.name: call.id for call in calls if call.id is not None}
    assert {name: by_name[name].id for name in seen} == seen
    assert {call.name: OUTCOMES[call.end] for call in calls} == {
        name: row.outcome for name, row in by_name.items()
    }


def test_worker_has_more_connections_than_the_soft_limit(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running() as upstream:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        server = start(tmp_path, provider("up", upstream.url))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        try:
            server.wait()
            calls = [Call("up:slow:500", name=str(n)) for n in range(400)]
            with many_files():
                asyncio.run(together(server, calls))
        finally:
            server.stop()
    assert sum(call.is_answered for call in calls) == 400


def sockets(process: psutil.Process) -> int:
    return len(process.net_connections("inet"))


# --- a client leaves ----------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["drip:50+chunks:1000", "silent"])
def test_upstream_is_cancelled_when_the_client_leaves(tmp_path: Path, model: str) -> None:
    call = Call(f"up:{model}", stream=model != "silent", leave=0.5)
    with running() as upstream, serving(tmp_path, provider("up", upstream.url)) as server:
        asyncio.run(together(server, [call]))
        # It takes milliseconds; this only guards against a call that goes on.
        upstream.wait(lambda: upstream.disconnects == 1, within=5)
        wait_until(lambda: len(rows_of(server)) == 1)
        row = rows_of(server)[0]
    assert (call.end, row.outcome) == ("left", "abandoned")
    assert call.id in (row.id, None)
    assert received(row).startswith(call.text)
    assert bool(call.text) == call.stream


def received(row: Row) -> str:
    """Return the content of a row's answer."""
    answer = json.loads(row.response or "null")
    return str(answer["choices"][0]["message"]["content"]) if answer else ""
