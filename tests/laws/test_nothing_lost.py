"""One call, one row: what clients saw and what the store holds are the same, whatever dies."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from laws.load import Call, Crowd, many_files, together
from local_engine import gguf
from misbehaving import running
from serving import PATIENCE, REPOSITORY, Standpipe, provider, serving, start

from standpipe.spool import names
from standpipe.store.rows import Row
from standpipe.store.store import Store


def rows_of(server: Standpipe) -> list[Row]:
    """Return every row of a server's store."""
    store = Store.open(f"sqlite:///{server.home / 'standpipe.db'}")
    try:
        return list(store.each_log(None))
    finally:
        store.close()


def wait_until(is_so: Callable[[], bool], why: Callable[[], object] = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)


# --- a burst ------------------------------------------------------------------------------------


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
        lambda: Call("up:drip:400+chunks:40", stream=True, leave="at-first-event"),
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
                asyncio.run(together(server, calls, no_wait))
        finally:
            server.stop()
    assert answers(calls) == 400


def sockets(process: psutil.Process) -> int:
    return len(process.net_connections("inet"))


# --- a client leaves ----------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["drip:50+chunks:1000", "silent"])
def test_upstream_is_cancelled_when_the_client_leaves(tmp_path: Path, model: str) -> None:
    call = Call(f"up:{model}", stream=model != "silent", leave=0.5)
    with running() as upstream, serving(tmp_path, provider("up", upstream.url)) as server:
        asyncio.run(together(server, [call], no_wait))
        # It takes milliseconds; this only guards against a call that goes on.
        upstream.wait(lambda: upstream.disconnects == 1, within=5)
        wait_until(lambda: len(rows_of(server)) == 1)
        row = rows_of(server)[0]
    assert (call.end, row.outcome) == ("left", "abandoned")
    assert call.id in (row.id, None)
    assert received(row).startswith(call.text)
    assert bool(call.text) == call.stream


async def no_wait() -> None:
    """Tell the clients that leave when told to leave at once."""


def received(row: Row) -> str:
    """Return the content of a row's answer."""
    answer = json.loads(row.response or "null")
    return str(answer["choices"][0]["message"]["content"]) if answer else ""


# --- a process dies -----------------------------------------------------------------------------


def test_streams_of_a_killed_worker_are_lost_and_the_rest_is_kept(tmp_path: Path) -> None:
    with running() as upstream, serving(tmp_path, provider("up", upstream.url)) as server:
        answered = [Call("up:ok", stream=bool(n % 2), name=f"answered-{n}") for n in range(20)]
        asyncio.run(together(server, answered, no_wait))
        running_on = [Call("up:stall", stream=True, name=f"stream-{n}") for n in range(20)]
        waiting = [Call("up:silent", name=f"whole-{n}") for n in range(20)]

        async def kill() -> None:
            await upstream.until(lambda: len(upstream.requests) == 60)
            await upstream.until(lambda: all(call.body for call in running_on))
            server.child("standpipe.worker").kill()

        asyncio.run(together(server, [*running_on, *waiting], kill))
        assert {call.end for call in running_on} == {"cut"}
        assert {call.end for call in waiting} == {"none"}
        after = [Call("up:ok", stream=bool(n % 2), name=f"after-{n}") for n in range(20)]
        asyncio.run(together(server, after, no_wait))
        assert server.stop() == 0
    calls = [*answered, *running_on, *after]
    rows = rows_of(server)
    assert {row.id: row.outcome for row in rows} == {
        call.id: "lost" if call in running_on else "complete" for call in calls
    }
    assert len(rows) == len(calls)


def any_call(chance: random.Random) -> Call:
    """Return a call of a busy day."""
    model, stream = chance.choice(
        [("ok", False), ("ok", True), ("slow:30", False), ("drip:3+chunks:20", True)]
    )
    leaves = chance.random() < 1 / 3
    return Call(f"up:{model}", stream, chance.uniform(0, 0.08) if leaves else "never")


def test_kills_of_worker_and_drain_under_load_lose_nothing(tmp_path: Path) -> None:
    async def disturb(crowd: Crowd) -> None:
        for victim in ("worker", "drain", "drain", "worker", "worker", "drain"):
            await crowd.until(lambda calls: answers(calls) >= 150)
            (await asyncio.to_thread(server.child, f"standpipe.{victim}")).kill()
        await crowd.until(lambda calls: answers(calls) >= 150)

    # Small segments, so that kills come between two of them as well.
    settings = {"SPOOL_SEGMENT_BYTES": "65536"}
    with (
        running() as upstream,
        serving(tmp_path, provider("up", upstream.url), **settings) as server,
    ):
        calls = asyncio.run(crowded(server, any_call, 48, disturb))
        assert server.stop() == 0
    check(calls, rows_of(server))
    assert segments(server) == []


def test_kill_of_the_engine_under_load_loses_nothing(tmp_path: Path) -> None:
    def say_something(chance: random.Random) -> Call:
        more = {"max_tokens": 12, "temperature": 0}
        return Call("smollm2-135m-instruct", chance.random() < 0.5, more=more)

    async def disturb(crowd: Crowd) -> None:
        for _ in range(2):
            await crowd.until(lambda calls: answers(calls) >= 8)
            (await asyncio.to_thread(server.child, "standpipe.engine.process")).kill()
            await crowd.until(lambda calls: any(call.status == 503 for call in calls))
        await crowd.until(lambda calls: answers(calls) >= 8)

    settings = {"LOCAL_ENABLED": "true", "LOCAL_GGUF": str(gguf())}
    with serving(tmp_path, **settings) as server:
        calls = asyncio.run(crowded(server, say_something, 6, disturb))
        assert server.stop() == 0
    check(calls, rows_of(server))
    assert segments(server) == []


def test_kill_of_the_supervisor_loses_nothing(tmp_path: Path) -> None:
    async def disturb(crowd: Crowd) -> None:
        await crowd.until(lambda calls: answers(calls) >= 300)
        server.process.kill()
        crowd.stopped = True

    with running() as upstream:
        configuration = provider("up", upstream.url)
        with serving(tmp_path, configuration) as server:
            children = psutil.Process(server.process.pid).children()
            calls = asyncio.run(crowded(server, any_call, 48, disturb))
            _, left = psutil.wait_procs(children, PATIENCE)
            assert left == []
        with serving(tmp_path, configuration) as again:
            assert again.stop() == 0
    assert answers(calls) >= 300
    check(calls, rows_of(server))
    assert segments(server) == []


def test_stop_drains_the_spool_although_the_drain_was_just_killed(tmp_path: Path) -> None:
    calls = [Call("up:ok", stream=bool(n % 2), name=str(n)) for n in range(40)]
    with running() as upstream, serving(tmp_path, provider("up", upstream.url)) as server:
        server.child("standpipe.drain").kill()
        asyncio.run(together(server, calls, no_wait))
        server.child("standpipe.drain").kill()
        assert server.stop() == 0
    check(calls, rows_of(server))
    assert segments(server) == []


def answers(calls: Sequence[Call]) -> int:
    """Return how many calls were answered whole."""
    return sum(call.end == "whole" and call.status == 200 for call in calls)


async def crowded(
    server: Standpipe,
    plan: Callable[[random.Random], Call],
    clients: int,
    disturb: Callable[[Crowd], Awaitable[None]],
) -> list[Call]:
    """Let a crowd call while it is disturbed; return its calls."""
    crowd = Crowd(server, plan)
    async with asyncio.TaskGroup() as group:
        group.create_task(crowd.run(clients, seed=1))
        await disturb(crowd)
        crowd.stopped = True
    return crowd.calls


#: How a call ended for its client to what its row may say. A call may be complete although its
#: client saw less: the row is written first, then the last byte goes out.
MAY_SAY = {
    "whole": {"complete"},
    "failed": {"cut"},
    "cut": {"lost", "complete"},
    "left": {"abandoned", "complete", "lost"},
    "none": {"abandoned", "complete", "lost"},
}


def check(calls: Sequence[Call], rows: Sequence[Row]) -> None:
    """Compare what the clients saw with the store: each id once, and the right outcome."""
    assert len({row.id for row in rows}) == len(rows)
    by_name = {row.metadata["call"]: row for row in rows}
    assert len(by_name) == len(rows)
    seen = {call.name: call.id for call in calls if call.id is not None}
    assert {name: row.id for name, row in by_name.items() if name in seen} == seen
    for call in calls:
        row = by_name.get(call.name)
        if row is not None and (call.status in (200, None)):
            assert row.outcome in MAY_SAY[call.end], (call, row)
        elif row is not None:
            assert row.status == call.status, (call, row)
            assert row.outcome in {"failed", "cut"}, (call, row)


def segments(server: Standpipe) -> list[str]:
    """Return what the drain has left in the spool."""
    return names.listed(server.home / "spool", names.SEGMENT)


# --- a stop -------------------------------------------------------------------------------------


def test_running_calls_finish_after_sigterm_and_no_new_one_begins(tmp_path: Path) -> None:
    calls = [Call("up:slow:2000", name=f"whole-{n}") for n in range(30)]
    calls += [Call("up:drip:100+chunks:20", stream=True, name=f"stream-{n}") for n in range(30)]
    with running() as upstream, serving(tmp_path, provider("up", upstream.url)) as server:

        async def stop() -> None:
            await upstream.until(lambda: len(upstream.requests) == len(calls))
            server.process.send_signal(signal.SIGTERM)
            await refused(server)
            assert "none" in {call.end for call in calls}

        asyncio.run(together(server, calls, stop))
        assert server.process.wait(PATIENCE) == 0
    assert {call.end for call in calls} == {"whole"}
    assert {row.id: row.outcome for row in rows_of(server)} == {
        call.id: "complete" for call in calls
    }
    assert segments(server) == []


def test_calls_that_outlast_the_grace_end_with_an_error_and_a_row(tmp_path: Path) -> None:
    calls = [Call("up:silent", name=f"whole-{n}") for n in range(10)]
    calls += [Call("up:stall", stream=True, name=f"stream-{n}") for n in range(10)]
    with running() as upstream:
        configuration = provider("up", upstream.url)
        with serving(tmp_path, configuration, SERVER_GRACE="0.2") as server:

            async def stop() -> None:
                await upstream.until(lambda: len(upstream.requests) == len(calls))
                await upstream.until(lambda: all(call.body for call in calls if call.stream))
                server.process.send_signal(signal.SIGTERM)

            asyncio.run(together(server, calls, stop))
            assert server.process.wait(PATIENCE) == 0
    assert {(call.stream, call.status, call.end) for call in calls} == {
        (False, 503, "whole"),
        (True, 200, "failed"),
    }
    assert all(b"the server is stopping" in call.body for call in calls)
    assert {row.id: (row.status, row.outcome) for row in rows_of(server)} == {
        call.id: (200, "cut") if call.stream else (503, "failed") for call in calls
    }
    assert segments(server) == []


async def refused(server: Standpipe) -> None:
    """Return once nobody takes connections any more."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except ConnectionRefusedError:
            return
        writer.close()
        await asyncio.sleep(0.01)
