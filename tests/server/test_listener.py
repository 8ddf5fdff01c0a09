"""Sockets, start and stop of the server."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading

import pytest
from raw_http import DEADLINE, Echo, ask, hang_up, listening, parse, read_body, reply, run
from starlette.types import Receive, Scope, Send

from standpipe.errors import ConfigError
from standpipe.server.listener import serve
from standpipe.server.protocol import Limits
from standpipe.server.sockets import bind, bind_each

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def test_taken_port_is_named_with_its_setting() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"{port} .*server\.port .*STANDPIPE_SERVER_PORT"):
            bind("127.0.0.1", port)


def test_port_can_be_had_again_at_once() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            first.accept()[0].close()
    bind("127.0.0.1", port).close()


def test_workers_share_a_port() -> None:
    sockets = bind_each("127.0.0.1", 0, 3)
    try:
        assert len({bound.getsockname() for bound in sockets}) == 1
        assert all(bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for bound in sockets)
    finally:
        for bound in sockets:
            bound.close()


@pytest.mark.parametrize(
    ("host", "named"), [("192.0.2.1", r"192\.0\.2\.1"), ("no such host", "no such host")]
)
def test_host_that_is_not_ours_is_named_with_its_setting(host: str, named: str) -> None:
    with pytest.raises(ConfigError, match=rf"{named}.*server\.host"):
        bind(host, 0)


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="needs IPv6 on the loopback")
def test_every_address_is_both_families() -> None:
    with bind("::", 0) as bound:
        port = bound.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=DEADLINE).close()


def test_running_call_finishes_and_idle_connections_close() -> None:
    async def scenario() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def app(_scope: Scope, receive: Receive, send: Send) -> None:
            await read_body(receive)
            begun.set()
            await go_on.wait()
            await reply(send, b"done")

        async with listening(app) as server:
            idle_reader, idle = await asyncio.open_connection("127.0.0.1", server.port)
            answered = asyncio.create_task(ask(server.port, GET))
            await begun.wait()
            server.stop.set()
            assert await asyncio.wait_for(idle_reader.read(), DEADLINE) == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server.port)
            go_on.set()
            (answer,) = parse(await answered)
            assert answer.body == b"done"
            await asyncio.wait_for(server.task, DEADLINE)
            await hang_up(idle)

    run(scenario())


def test_half_read_request_is_still_answered_when_the_server_stops() -> None:
    async def scenario() -> None:
        begun = asyncio.Event()

        async def app(_scope: Scope, receive: Receive, send: Send) -> None:
            begun.set()
            await reply(send, await read_body(receive) or b"")

        async with listening(app) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
            await begun.wait()
            server.stop.set()
            await asyncio.sleep(0)
            writer.write(b"bc")
            (answer,) = parse(await asyncio.wait_for(reader.read(), DEADLINE))
            assert answer.body == b"abc"
            assert answer.headers["connection"] == "close"
            await hang_up(writer)

    run(scenario())


def test_call_that_outlives_the_grace_is_cancelled_and_waited_for() -> None:
    async def scenario() -> None:
        begun = asyncio.Event()
        written: list[str] = []

        async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
            await read_body(receive)
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                written.append("record")

        async with listening(app, grace=0.1) as server:
            answered = asyncio.create_task(ask(server.port, GET))
            await begun.wait()
            server.stop.set()
            (answer,) = parse(await answered)
            assert (answer.status, answer.json["code"]) == (503, "SERVICE_UNAVAILABLE")
            assert int(answer.headers["retry-after"]) >= 1
            await asyncio.wait_for(server.task, DEADLINE)
        assert written == ["record"]

    run(scenario())


def test_application_that_cannot_start_stops_the_server(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise OSError("the spool is not writable")

    async def scenario() -> None:
        with bind("127.0.0.1", 0) as bound, pytest.raises(SystemExit):
            await serve(app, [bound], limits=Limits(), stop=asyncio.Event())
        assert "the spool is not writable" in caplog.text

    run(scenario())


def test_signals_stay_with_who_had_them() -> None:
    async def scenario() -> None:
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        assert threading.current_thread() is threading.main_thread()
        async with listening(Echo()):
            assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before

    run(scenario())
