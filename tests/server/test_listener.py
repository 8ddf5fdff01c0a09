"""Sockets, start and stop of the server."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable

import pytest
from raw_http import (
    DEADLINE,
    Echo,
    ask,
    hang_up,
    listening,
    parse,
    read_answer,
    read_body,
    reply,
    run,
)
from starlette.types import Receive, Scope, Send

from standpipe.errors import ConfigError
from standpipe.server.listener import serve
from standpipe.server.service import Limits
from standpipe.server.sockets import bind, bind_beside, bind_each

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


def test_socket_that_is_added_takes_connections_once_it_is_served() -> None:
    with bind("127.0.0.1", 0) as first:
        assert bind_beside(first, -1) == []
        (second,) = bind_beside(first, 1)
        with second:
            assert second.getsockname() == first.getsockname()
            for _ in range(20):  # all come to the one that listens
                with socket.create_connection(first.getsockname(), timeout=DEADLINE):
                    first.accept()[0].close()
            first.close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(second.getsockname(), timeout=DEADLINE)
            second.listen()
            socket.create_connection(second.getsockname(), timeout=DEADLINE).close()


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


POST = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"


def test_idle_connection_of_a_replaced_server_may_ask_once_more() -> None:
    async def scenario() -> None:
        async with listening(Echo()) as server:
            fresh, used = [await connect(server.port) for _ in range(2)]
            used[1].write(GET)
            assert "connection" not in (await read_answer(used[0])).headers
            server.replace()
            await asyncio.sleep(0.1)  # longer than it takes to close what may be closed
            for reader, writer in (fresh, used):
                writer.write(POST)
                assert (await read_answer(reader)).headers["connection"] == "close"
                assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
                await hang_up(writer)
            await asyncio.wait_for(server.task, DEADLINE)

    run(scenario())


def test_connection_that_was_promised_to_stay_is_kept_for_one_request_more() -> None:
    async def scenario() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def app(_scope: Scope, receive: Receive, send: Send) -> None:
            await read_body(receive)
            length = (b"content-length", b"2")
            await send({"type": "http.response.start", "status": 200, "headers": [length]})
            await send({"type": "http.response.body", "body": b"1", "more_body": True})
            begun.set()
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"2"})

        async with listening(app) as server:
            reader, writer = await connect(server.port)
            writer.write(GET)
            await begun.wait()
            server.replace()
            await asyncio.sleep(0.1)
            go_on.set()
            assert "connection" not in (await read_answer(reader)).headers
            writer.write(GET)
            assert (await read_answer(reader)).headers["connection"] == "close"
            await asyncio.wait_for(server.task, DEADLINE)
            await hang_up(writer)

    run(scenario())


def test_requests_that_were_sent_ahead_are_answered_by_a_replaced_server() -> None:
    async def scenario() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def app(_scope: Scope, receive: Receive, send: Send) -> None:
            await read_body(receive)
            begun.set()
            await go_on.wait()
            await reply(send, b"done")

        async with listening(app) as server:
            answered = asyncio.create_task(ask(server.port, GET * 3))
            await begun.wait()
            server.replace()
            await asyncio.sleep(0.1)
            go_on.set()
            answers = parse(await answered)
            assert [answer.headers.get("connection") for answer in answers] == [None, None, "close"]

    run(scenario())


def test_idle_connection_of_a_replaced_server_closes_with_the_grace_or_the_stop() -> None:
    async def scenario(grace: float, *, stopped: bool) -> None:
        async with listening(Echo(), grace=grace) as server:
            reader, writer = await connect(server.port)
            await until(lambda: server.traffic.connections == 1)
            server.replace()
            await asyncio.sleep(0.1)
            server.is_replaced = not stopped
            assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
            await asyncio.wait_for(server.task, DEADLINE)
            await hang_up(writer)

    run(scenario(0.3, stopped=False))
    run(scenario(DEADLINE, stopped=True))


def test_traffic_is_what_goes_on_now() -> None:
    async def scenario() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def app(_scope: Scope, receive: Receive, send: Send) -> None:
            await read_body(receive)
            begun.set()
            await go_on.wait()
            await reply(send, b"done")

        async with listening(app) as server:
            _, idle = await connect(server.port)
            reader, writer = await connect(server.port)
            writer.write(GET)
            await begun.wait()
            await until(lambda: server.traffic.connections == 2)
            assert server.traffic.requests == 1
            go_on.set()
            await read_answer(reader)
            for each in (idle, writer):
                await hang_up(each)
            await until(lambda: server.traffic.connections + server.traffic.requests == 0)

    run(scenario())


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110  # no event says it
        await asyncio.sleep(0.01)


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


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


def test_connections_that_come_together_are_accepted_many_in_a_turn() -> None:
    """One in a turn would let those behind wait for as long as the others keep the loop busy."""

    async def scenario() -> None:
        async with listening(Echo()) as server:
            # Blocking, so that the loop accepts none meanwhile.
            address = "127.0.0.1", server.port
            clients = [socket.create_connection(address, DEADLINE) for _ in range(160)]
            turns = 0
            while server.traffic.connections < len(clients):
                await asyncio.sleep(0)
                turns += 1
                assert turns < len(clients) / 4
            for client in clients:
                client.close()

    run(scenario())
