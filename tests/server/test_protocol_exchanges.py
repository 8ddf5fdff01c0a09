"""Requests that are accepted: reading them, answering them, and clients that leave."""

from __future__ import annotations

import asyncio
import uuid
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
from typing_extensions import override
from uvicorn.protocols.http.flow_control import FlowControl

from standpipe.outbox import Outbox
from standpipe.server.asgi import EXTENSION, AsgiExchange, Connection
from standpipe.server.exchange import Exchange
from standpipe.server.service import Limits

CLOSE = b"Connection: close\r\n\r\n"
GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n"

ACCEPTED: dict[str, tuple[bytes, dict[str, str]]] = {
    "a plain one": (GET % b"a?b=c" + CLOSE, {"path": "/a", "query": "b=c", "method": "GET"}),
    "empty lines first": (b"\r\n\r\n" + GET % b"a" + CLOSE, {"path": "/a"}),
    "http 1.0": (b"GET /a HTTP/1.0\r\n\r\n", {"path": "/a"}),
    "a whole url": (b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\n" + CLOSE, {"path": "/b"}),
    "a url without path": (b"GET http://a HTTP/1.1\r\nHost: a\r\n" + CLOSE, {"path": "/"}),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n" + CLOSE, {"path": "*"}),
    "escapes": (GET % b"%C3%A9%20b" + CLOSE, {"path": "/\u00e9 b"}),
    "escapes that are none": (GET % b"%zz%ff" + CLOSE, {"path": "/%zz\ufffd"}),
    "a host with port": (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n" + CLOSE, {"path": "/"}),
    "an empty host": (b"GET / HTTP/1.1\r\nHost:\r\n" + CLOSE, {"path": "/"}),
    "an identical encoding": (
        GET % b"a" + b"Content-Encoding: identity\r\n" + CLOSE,
        {"path": "/a"},
    ),
    "a body": (GET % b"a" + b"Content-Length: 3\r\n" + CLOSE + b"abc", {"body": "abc"}),
    "a chunked body": (
        GET % b"a"
        + b"Transfer-Encoding: Chunked\r\n"
        + CLOSE
        + b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        {"body": "abc"},
    ),
    "an upgrade nobody wants": (
        GET % b"a" + b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Length: 3\r\n\r\nabc",
        {"path": "/a", "body": "abc"},
    ),
    "an upgrade in http 1.0": (
        b"GET /a HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        {"path": "/a"},
    ),
    "a websocket nobody wants": (
        GET % b"a" + b"Connection: Upgrade\r\nConnection: close\r\nUpgrade: websocket\r\n\r\n",
        {"path": "/a"},
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_request_is_understood(case: str) -> None:
    raw, expected = ACCEPTED[case]

    async def scenario() -> None:
        async with listening(Echo()) as server:
            (answer,) = parse(await ask(server.port, raw))
            assert answer.status == 200
            assert answer.json.items() >= expected.items()
            assert answer.headers["connection"] == "close"

    run(scenario())


PIPELINED = (
    GET % b"1"
    + b"\r\n"
    + GET % b"2"
    + b"Content-Length: 3\r\n\r\nabc"
    + GET % b"3"
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n"
    + GET % b"4"
    + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc"
    + GET % b"5"
    + CLOSE
    + GET % b"6"
    + b"\r\n"
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, len(PIPELINED)), max_size=8))
def test_pipelined_requests_are_answered_in_order_however_they_are_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(PIPELINED)]
    pieces = [PIPELINED[a:b] for a, b in pairwise(edges)]

    async def scenario() -> None:
        async with listening(Echo()) as server:
            answers = [answer.json for answer in parse(await ask(server.port, *pieces))]
        # The sixth came after "Connection: close".
        assert [answer["path"] for answer in answers] == ["/1", "/2", "/3", "/4", "/5"]
        assert [answer["body"] for answer in answers] == ["", "abc", "abc", "abc", ""]

    run(scenario())


def test_hundreds_of_pipelined_requests_are_all_answered() -> None:
    async def scenario() -> None:
        async with listening(Echo()) as server:
            raw = await ask(server.port, (GET % b"a" + b"\r\n") * 500, GET % b"b" + CLOSE)
            assert len(parse(raw)) == 501

    run(scenario())


def test_connection_is_used_again_until_it_is_idle_too_long() -> None:
    async def scenario() -> None:
        async with listening(Echo(), Limits(header_timeout=20.0, keep_alive=0.2)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for path in (b"1", b"2", b"3"):
                writer.write(GET % path + b"\r\n")
                answer = await read_answer(reader)
                assert answer.json["path"] == "/" + path.decode()
                assert "connection" not in answer.headers
            assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
            await hang_up(writer)

    run(scenario())


def test_large_body_arrives_whole() -> None:
    async def scenario() -> None:
        sizes: list[int] = []

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            body = await read_body(receive)
            assert body is not None
            sizes.append(len(body))
            await reply(send, body)

        body = b"0123456789abcdef" * 500_000
        async with listening(app) as server:
            head = GET % b"a" + b"Content-Length: %d\r\n" % len(body) + CLOSE
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(head + body)
            answer = await read_answer(reader)
            assert answer.body == body
            await hang_up(writer)
        assert sizes == [len(body)]

    run(scenario())


def test_trailers_do_not_become_headers() -> None:
    async def scenario() -> None:
        app = Echo()
        async with listening(app) as server:
            head = GET % b"a" + b"Transfer-Encoding: chunked\r\n" + CLOSE
            await ask(server.port, head + b"1\r\na\r\n0\r\nAuthorization: x\r\n\r\n")
        assert b"authorization" not in dict(app.asked[0]["headers"])

    run(scenario())


def test_continue_is_sent_before_a_body_is_read() -> None:
    async def scenario() -> None:
        async with listening(Echo()) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET % b"a" + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE)
            assert said == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            assert (await read_answer(reader)).json["body"] == "abc"
            await hang_up(writer)

    run(scenario())


async def refuse_unread(_scope: Scope, _receive: Receive, send: Send) -> None:
    await reply(send, b"{}", status=401)


def test_connection_closes_when_a_body_was_expected_and_not_wanted() -> None:
    async def scenario() -> None:
        async with listening(refuse_unread) as server:
            head = GET % b"a" + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
            (answer,) = parse(await ask(server.port, head))
            assert (answer.status, answer.headers["connection"]) == (401, "close")

    run(scenario())


def test_no_word_is_owed_once_the_answer_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    async def refuse_and_listen(scope: Scope, receive: Receive, send: Send) -> None:
        await refuse_unread(scope, receive, send)
        heard.append((await receive())["type"])

    async def scenario() -> None:
        async with listening(refuse_and_listen) as server:
            head = GET % b"a" + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
            (answer,) = parse(await ask(server.port, head))
            assert (answer.status, heard) == (401, ["http.disconnect"])

    run(scenario())
    assert caplog.text == ""


def test_connection_is_used_again_after_a_body_that_nobody_read() -> None:
    async def scenario() -> None:
        async with listening(refuse_unread) as server:
            body = b"a" * 300_000
            head = GET % b"a" + b"Content-Length: %d\r\n\r\n" % len(body)
            raw = await ask(server.port, head, body, GET % b"b" + CLOSE)
            assert [answer.status for answer in parse(raw)] == [401, 401]

    run(scenario())


def test_call_is_told_at_once_that_its_client_is_gone() -> None:
    async def scenario() -> None:
        begun, lost = asyncio.Event(), asyncio.Event()

        async def app(scope: Scope, receive: Receive, _send: Send) -> None:
            await read_body(receive)
            connection: Connection = scope["extensions"][EXTENSION]
            connection.on_lost = lost.set
            begun.set()
            await lost.wait()
            assert connection.lost
            assert await receive() == {"type": "http.disconnect"}

        async with listening(app) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET % b"a" + b"\r\n")
            await begun.wait()
            await hang_up(writer)
            await asyncio.wait_for(lost.wait(), DEADLINE)

    run(scenario())


def test_call_is_told_though_its_client_reads_nothing_of_a_long_answer() -> None:
    async def scenario() -> None:
        lost = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await read_body(receive)
            scope["extensions"][EXTENSION].on_lost = lost.set
            await send({"type": "http.response.start", "status": 200})
            while not lost.is_set():
                chunk = {"type": "http.response.body", "body": b"a" * 65536, "more_body": True}
                await send(chunk)

        async with listening(app) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            writer.write(GET % b"a" + b"\r\n")
            await reader.readline()
            await hang_up(writer)
            await asyncio.wait_for(lost.wait(), DEADLINE)

    run(scenario())


def test_hook_of_one_request_is_not_called_for_the_next() -> None:
    async def scenario() -> None:
        lost: list[str] = []
        second = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await read_body(receive)
            path: str = scope["path"]
            scope["extensions"][EXTENSION].on_lost = lambda: lost.append(path)
            if path == "/1":
                await reply(send, b"")
            else:
                second.set()
                await receive()

        async with listening(app) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET % b"1" + b"\r\n" + GET % b"2" + b"\r\n" + GET % b"3" + b"\r\n")
            await second.wait()
            await hang_up(writer)
        assert lost == ["/2"]

    run(scenario())


class Written(asyncio.Transport):
    """A transport that keeps what it is given, write by write, and the line that it is."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.transport: asyncio.Transport = self
        self.flow = FlowControl(self)
        self.tasks: set[asyncio.Task[None]] = set()
        self.outbox = Outbox()
        self.answered: list[Exchange] = []

    def completed(self, exchange: Exchange) -> None:
        self.answered.append(exchange)

    @override
    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    @override
    def is_closing(self) -> bool:
        return False


def test_head_and_body_leave_in_one_write() -> None:
    async def scenario() -> None:
        transport = Written()
        scope = {"method": "GET", "http_version": "1.1", "path": "/"}
        exchange = AsgiExchange(transport, (), True, refuse_unread, scope, False)
        await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
        assert transport.writes == []
        await exchange.send({"type": "http.response.body", "body": b"a", "more_body": True})
        await exchange.send({"type": "http.response.body", "body": b"b"})
        transport.outbox.flush()
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        assert transport.writes == [head + b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n"]
        assert transport.answered == [exchange]

    run(scenario())


async def answer_without_length(_scope: Scope, receive: Receive, send: Send) -> None:
    await read_body(receive)
    chunked = [(b"Transfer-Encoding", b"chunked")]
    await send({"type": "http.response.start", "status": 200, "headers": chunked})
    await send({"type": "http.response.body", "body": b"ab", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    await send({"type": "http.response.body", "body": b"c"})


def test_stream_is_chunked_in_http_1_1_and_ends_with_the_connection_in_1_0() -> None:
    async def scenario() -> None:
        async with listening(answer_without_length) as server:
            head, _, body = (await ask(server.port, GET % b"a" + CLOSE)).partition(b"\r\n\r\n")
            assert head.count(b"transfer-encoding: chunked") == 1
            assert body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
            raw = await ask(server.port, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            head, _, body = raw.partition(b"\r\n\r\n")
            assert b"transfer-encoding" not in head
            assert body == b"abc"

    run(scenario())


def test_head_request_has_no_body() -> None:
    async def scenario() -> None:
        async with listening(answer_without_length) as server:
            raw = await ask(server.port, b"HEAD / HTTP/1.1\r\nHost: a\r\n" + CLOSE)
            assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
            assert raw.endswith(b"\r\n\r\n")

    run(scenario())


async def raise_at_once(_scope: Scope, receive: Receive, _send: Send) -> None:
    await read_body(receive)
    raise ValueError("boom")


async def return_silently(_scope: Scope, receive: Receive, _send: Send) -> None:
    await read_body(receive)


async def break_a_header(_scope: Scope, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await reply(send, b"", (b"x", b"a\r\nset-cookie: b"))


async def raise_before_the_body(_scope: Scope, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ValueError("boom")


@pytest.mark.parametrize(
    "app", [raise_at_once, return_silently, break_a_header, raise_before_the_body]
)
def test_failure_is_a_500_that_the_log_finds(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with listening(app) as server:
            secret = b"Authorization: Bearer sp_secret\r\nContent-Length: 6\r\n"
            (answer,) = parse(await ask(server.port, GET % b"a" + secret + b"\r\nsecret"))
        assert (answer.status, answer.json["code"]) == (500, "INTERNAL_SERVER_ERROR")
        assert answer.json["error"]["type"] == "server_error"
        assert "boom" not in answer.body.decode()
        request_id = answer.headers["x-request-id"]
        assert uuid.UUID(request_id).version == 7
        assert request_id in caplog.text
        assert "secret" not in caplog.text

    run(scenario())


def test_failure_in_a_stream_is_a_visible_cut(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise ValueError("boom")

    async def scenario() -> None:
        async with listening(app) as server:
            raw = await ask(server.port, GET % b"a" + b"\r\n")
        assert raw.endswith(b"\r\n\r\n1\r\na\r\n")
        assert "boom" in caplog.text

    run(scenario())


@pytest.mark.parametrize("length", [2, 5])
def test_answer_of_another_length_than_announced_is_a_failure(
    length: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        headers = [(b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"abc"})

    async def scenario() -> None:
        async with listening(app) as server:
            (answer,) = parse(await ask(server.port, GET % b"a" + b"\r\n"))
        assert answer.status == 500
        assert "Content-Length" in caplog.text

    run(scenario())
