"""Several workers behind one port: one that dies or is replaced takes no other's call with it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from faults.playing import rows_of
from misbehaving import running
from serving import PATIENCE, Standpipe, call, kill_tree, provider, serving, start
from steady import Line, Load, Wish, request

#: Connections at a time that keep asking, and streams among them, of 1 to 5 seconds each.
CLIENTS, STREAMS = 220, 40
HI = {"messages": [{"role": "user", "content": "Hi"}]}


def workers(server: Standpipe) -> list[psutil.Process]:
    """Return the processes that are workers now, those too that come or go."""
    found = []
    for child in psutil.Process(server.process.pid).children():
        with contextlib.suppress(psutil.Error):  # gone a moment ago
            if "standpipe.worker" in child.cmdline():
                found.append(child)
    return found


def until(is_so: Callable[[], bool], why: Callable[[], object] = lambda: "") -> None:
    """Return once it is so; a guard against hangs, not a goal."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


def reload(server: Standpipe, said: str = "reloaded") -> None:
    """Let the server read its configuration again; return once it says how that went."""
    heard = server.log.read_text().count(f"\n{said}")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.log.read_text().count(f"\n{said}") > heard, server.log.read_text)


def health(server: Standpipe) -> dict[str, Any]:
    state: dict[str, Any] = call(server, "GET", "/health", root=True).json
    return state


def states(server: Standpipe) -> list[tuple[str, str]]:
    return [(worker["name"], worker["state"]) for worker in health(server)["workers"]]


def until_serving(server: Standpipe, count: int) -> None:
    """Return once so many workers serve, and no other is left."""
    wanted = [(f"worker-{n}", "serving") for n in range(count)]
    until(lambda: states(server) == wanted, server.log.read_text)


def until_written(server: Standpipe, count: int) -> None:
    """Return once the workers together have written so many records."""
    until(lambda: health(server)["records"]["written"] == count)


def configure(server: Standpipe, text: str) -> None:
    (server.home / "standpipe.toml").write_text(text)


def test_rolling_restart_under_load_refuses_and_cuts_nothing(tmp_path: Path) -> None:
    wishes = [Wish("up:ok", pause=0.4 * (1 + n % 10)) for n in range(CLIENTS - STREAMS)]
    wishes += [Wish(f"up:drip:{20 + 2 * n}+chunks:50", stream=True) for n in range(STREAMS)]

    async def scenario(server: Standpipe) -> Load:
        load = Load(server)
        asking = asyncio.create_task(load.run(wishes))
        seen = {worker.pid for worker in workers(server)}
        await load.until(lambda: load.answered >= CLIENTS)
        for _ in range(3):
            before = {worker.pid for worker in workers(server)}
            await asyncio.to_thread(reload, server)
            now = {worker.pid for worker in workers(server)}
            assert len(now - before) == 2
            seen |= now
            await load.more(STREAMS)
        load.stopped = True
        await asking
        assert len(seen) >= 8
        return load

    with running() as upstream:
        configuration = provider("up", upstream.url)
        with serving(tmp_path, configuration, SERVER_WORKERS="2", SERVER_GRACE="30") as server:
            load = asyncio.run(scenario(server))
            assert load.failures == []
            until(lambda: len(workers(server)) == 2)
            assert server.stop() == 0
    assert {row.outcome for row in rows_of(server)} == {"complete"}
    assert len(rows_of(server)) == load.answered


def test_killed_worker_takes_only_its_own_calls_with_it(tmp_path: Path) -> None:
    long = Wish("up:drip:50+chunks:50", stream=True)

    async def scenario(server: Standpipe) -> None:
        lines = [Line(server.port) for _ in range(60)]
        asked = [asyncio.create_task(line.ask(request(server, long))) for line in lines]
        await upstream.until(lambda: len(upstream.requests) == len(lines))
        served = {worker: clients_of(worker, server.port) for worker in workers(server)}
        assert len(served) == 3
        assert all(served.values())  # each has some of the connections
        victim, lost = next(iter(served.items()))
        ports = [line.writer.get_extra_info("sockname")[1] for line in lines if line.writer]
        victim.kill()
        after = Load(server)
        for _ in range(60):  # some wait in the dead one's socket, until another has it
            fresh = Line(server.port)
            await after.call(fresh, Wish("up:ok"))
            await fresh.close()
        assert (after.answered, after.failures) == (60, [])
        ends = await asyncio.gather(*asked, return_exceptions=True)
        for line in lines:
            await line.close()
        broken = {
            port for port, end in zip(ports, ends, strict=True) if isinstance(end, BaseException)
        }
        assert broken == lost

    with running() as upstream:
        configuration = provider("up", upstream.url)
        with serving(tmp_path, configuration, SERVER_WORKERS="3") as server:
            until(lambda: "worker-0, worker-1, worker-2" in server.log.read_text())
            asyncio.run(scenario(server))
            until_serving(server, 3)
            assert health(server)["status"] == "ok"


def clients_of(worker: psutil.Process, port: int) -> set[int]:
    """Return the ports of the clients that a worker serves."""
    return {
        each.raddr.port
        for each in worker.net_connections("tcp")
        if each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port
    }


def test_configuration_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    with running() as upstream:
        good = provider("up", upstream.url)
        with serving(tmp_path, good, SERVER_WORKERS="2") as server:
            before = {worker.pid for worker in workers(server)}
            for wrong, named in (
                ("[server\n", "is not TOML"),
                ("[server]\nprot = 1\n", "did you mean 'port'?"),
                ('[store]\nurl = "sqlite:////elsewhere.db"\n', "store.url cannot change"),
            ):
                configure(server, good + wrong)
                reload(server, "not reloaded, all stays as it is")
                assert named in server.log.read_text()
            # One that dies meanwhile comes back with the configuration that was checked.
            for worker in workers(server):
                worker.kill()
            until(lambda: not before & {worker.pid for worker in workers(server)})
            assert call(server, "POST", "/chat/completions", {"model": "up:ok", **HI}).status == 200
            # This one is found out only by who would use it.
            configure(server, good + provider("tls", "https://127.0.0.1:1/v1", ca_file='"/no"'))
            before = {worker.pid for worker in workers(server)}
            reload(server, "not reloaded as a whole")
            assert {worker.pid for worker in workers(server)} == before
            assert call(server, "POST", "/chat/completions", {"model": "up:ok", **HI}).status == 200


def test_reload_has_new_settings_and_more_workers_or_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(str(tmp_path / "notify"))
    notified.settimeout(PATIENCE)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with running() as upstream, notified:
        configuration = provider("up", upstream.url)
        with serving(tmp_path / "home", configuration, SERVER_GRACE="1") as server:
            assert notified.recv(99) == b"READY=1"
            assert states(server) == [("worker-0", "serving")]
            asked = {"model": "more:ok", **HI}
            assert call(server, "POST", "/chat/completions", asked).status == 400
            drain = server.child("standpipe.drain").pid
            for count in (3, 1, 2):
                text = f"[server]\nworkers = {count}\n" + configuration
                configure(server, text + provider("more", upstream.url))
                reload(server)
                assert re.match(rb"RELOADING=1\nMONOTONIC_USEC=\d+$", notified.recv(99))
                assert notified.recv(99) == b"READY=1"
                until_serving(server, count)
                written = health(server)["records"]["written"]
                for _ in range(20):
                    assert call(server, "POST", "/chat/completions", asked).status == 200
                # The sum of all workers, whichever is asked.
                until_written(server, written + 20)
            # The drain knows the providers' places, for their prices: it was replaced just once.
            assert server.child("standpipe.drain").pid != drain
            configure(server, f"[server]\nworkers = 2\nhost = '0.0.0.0'\n{configuration}")
            reload(server, "not reloaded, all stays as it is: server.host cannot change")
            for worker in workers(server):
                worker.kill()
            assert server.stop() == 0
        assert [notified.recv(99)[:9] for _ in range(3)] == [b"RELOADING", b"READY=1", b"STOPPING="]
    assert len(rows_of(server)) == 61


def test_workers_of_the_command_line_beat_the_settings_at_every_reload(tmp_path: Path) -> None:
    server = start(tmp_path, "", "--workers", "2", SERVER_WORKERS="1")
    try:
        server.wait()
        until_serving(server, 2)
        reload(server)
        until_serving(server, 2)
        assert server.stop() == 0
    finally:
        kill_tree(server.process.pid)
        server.process.kill()
