"""Processes that die or are told to stop while calls are under way, to the exact row."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from faults.clients import Call, together
from faults.playing import rows_of, segments
from misbehaving import running
from serving import PATIENCE, Standpipe, provider, serving


def test_streams_of_a_killed_worker_are_lost_and_the_rest_is_kept(tmp_path: Path) -> None:
    with running() as upstream, serving(tmp_path, provider("up", upstream.url)) as server:
        answered = [Call("up:ok", stream=bool(n % 2), name=f"answered-{n}") for n in range(20)]
        asyncio.run(together(server, answered))
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
        asyncio.run(together(server, after))
        assert server.stop() == 0
    calls = [*answered, *running_on, *after]
    rows = rows_of(server)
    assert {row.id: row.outcome for row in rows} == {
        call.id: "lost" if call in running_on else "complete" for call in calls
    }
    assert len(rows) == len(calls)


def test_stop_drains_the_spool_although_the_drain_was_just_killed(tmp_path: Path) -> None:
    calls = [Call("up:ok", stream=bool(n % 2), name=str(n)) for n in range(40)]
    with running() as upstream, serving(tmp_path, provider("up", upstream.url)) as server:
        server.child("standpipe.drain").kill()
        asyncio.run(together(server, calls))
        server.child("standpipe.drain").kill()
        assert server.stop() == 0
    assert {row.id: row.outcome for row in rows_of(server)} == {
        call.id: "complete" for call in calls
    }
    assert len(rows_of(server)) == len(calls)
    assert segments(server) == []


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
