"""What a call's route and its client see of the server: the same without ASGI as over it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_http import DEADLINE, Running, ask, hang_up, listening, parse, read_answer, run

from standpipe.api.call import CallRoute
from standpipe.api.reply import AsgiReply
from standpipe.calls.callers import Caller, digest_of
from standpipe.calls.incoming import Incoming
from standpipe.calls.reply import Reply
from standpipe.config import Server
from standpipe.errors import BadRequest, Unauthorized
from standpipe.server.cors import Cors
from standpipe.server.direct import DirectExchange
from standpipe.server.door import Door, door
from standpipe.server.refusals import Refusals
from standpipe.server.service import Limits

#: How a request is written so that it goes one way or the other.
TARGETS = {"direct": b"/call", "asgi": b"/call?over=asgi"}
ADAPTERS = {"direct": DirectExchange, "asgi": AsgiReply}
CALLER = Caller(project="p", key="k", read_only=False)
CLOSE = b"Connection: close\r\n"
PAGE = "https://app.example"

Answer = Callable[[bytes, Reply], Awaitable[None]]
both_ways = pytest.mark.parametrize("way", TARGETS)


@dataclass
class Called:
    """A route that calls no model; it is its own memory of the keys."""

    answer: Answer
    way: str
    bodies: list[bytes] = field(default_factory=list)
    #: What was read of the requests' heads.
    heads: list[Incoming] = field(default_factory=list)
    cancelled: int = 0
    #: The digests of keys that are in order, where not all are.
    in_order: set[bytes] | None = None

    def seen(self, digest: bytes) -> Caller | None:
        return CALLER if self.in_order is None or digest in self.in_order else None

    async def holder(self, digest: bytes) -> Caller:
        caller = self.seen(digest)
        if caller is None:
            raise Unauthorized("UNAUTHORIZED")
        return caller

    async def call(self, incoming: Incoming, caller: Caller, body: bytes, reply: Reply) -> str:
        assert caller is CALLER
        assert isinstance(reply, ADAPTERS[self.way])
        self.bodies.append(body)
        self.heads.append(incoming)
        try:
            await self.answer(body, reply)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "id"

    def request(self, body: bytes = b"", *more: bytes, key: bytes = b"key") -> bytes:
        length = b"Content-Length: %d\r\n" % len(body)
        return self.head(length, *more, key=key) + body

    def head(self, *more: bytes, key: bytes = b"key") -> bytes:
        told = b"Authorization: Bearer %b\r\n" % key if key else b""
        line = b"POST %b HTTP/1.1\r\nHost: a\r\n" % TARGETS[self.way]
        return line + told + b"".join(more) + b"\r\n"


@asynccontextmanager
async def serving(
    called: Called,
    limits: Limits | None = None,
    *,
    door: Door | None = None,
    grace: float = DEADLINE,
) -> AsyncIterator[Running]:
    route = CallRoute(called, Refusals(), called.call)  # type: ignore[arg-type]  # all it needs
    routes = {TARGETS["direct"]: route.direct}
    async with listening(route, limits, door=door, routes=routes, grace=grace) as server:
        yield server


@asynccontextmanager
async def conversing(
    called: Called, limits: Limits | None = None, *, door: Door | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open the one connection of a server, and hang up."""
    async with serving(called, limits, door=door) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        yield reader, writer
        await hang_up(writer)


async def echo(body: bytes, reply: Reply) -> None:
    await reply.whole(200, [(b"content-type", b"text/plain"), (b"x-request-id", b"1")], body)


async def count(body: bytes, reply: Reply) -> None:
    await reply.begin(200, [(b"content-type", b"text/event-stream")])
    for number in range(int(body)):
        await reply.write(b"%d," % number)
    await reply.end(b"end")


@both_ways
def test_answer_is_the_routes_and_the_connection_is_kept(way: str) -> None:
    async def scenario() -> None:
        called = Called(echo, way)
        async with conversing(called) as (reader, writer):
            for body in (b"one", b"", b"three"):
                writer.write(called.request(body))
                answer = await read_answer(reader)
                assert (answer.status, answer.body) == (200, body)
                assert answer.headers == {
                    "content-type": "text/plain",
                    "x-request-id": "1",
                    "content-length": str(len(body)),
                }

    run(scenario())


@both_ways
def test_each_request_of_a_connection_is_held_to_the_rules_however_alike_they_are(way: str) -> None:
    async def scenario() -> None:
        called = Called(echo, way)
        async with conversing(called, Limits(body_bytes=100)) as (reader, writer):
            for body, key, status in (
                (b"one", b"key", 200),
                (b"three", b"key", 200),
                (b"three", b"", 401),
                (b"a" * 100, b"key", 200),
                (b"a" * 100, b"kez", 200),
                (b"", b"kez", 200),
                (b"a" * 101, b"kez", 413),
            ):
                writer.write(called.request(body, key=key))
                answer = await read_answer(reader)
                assert answer.status == status
                assert status != 200 or answer.body == body
            assert await asyncio.wait_for(reader.read(), DEADLINE) == b""

    run(scenario())


@both_ways
def test_key_is_asked_for_anew_however_often_its_request_has_come(way: str) -> None:
    async def scenario() -> None:
        called = Called(echo, way)
        async with conversing(called) as (reader, writer):
            for in_order, status in ((True, 200), (True, 200), (False, 401), (True, 200)):
                called.in_order = {digest_of(b"Bearer key")} if in_order else set()
                writer.write(called.request(b"one"))
                assert (await read_answer(reader)).status == status

    run(scenario())


@both_ways
def test_each_request_of_a_connection_has_its_own_headers_however_alike_they_are(way: str) -> None:
    async def scenario() -> None:
        called = Called(echo, way)
        async with conversing(called) as (reader, writer):
            # More than are remembered in vain, then some in which nothing changes, then others.
            told = [b"%d" % number for number in (*range(40), *[40] * 5, *range(5))]
            for each in told:
                trace = b"Traceparent: %b\r\n" % each
                writer.write(called.request(b"b" * int(each), trace, key=b"key-" + each))
                assert (await read_answer(reader)).body == b"b" * int(each)
        assert [each.traceparent for each in called.heads] == told
        assert [each.token for each in called.heads] == [b"key-" + each for each in told]
        assert [each.told.traceparent for each in called.heads] == [each.decode() for each in told]

    run(scenario())


#: What stands before a request, and what its head has, of which the parser keeps no header.
LEFT_OUT = {
    "an empty line": (b"\r\n", ()),
    "an offer of HTTP/2": (b"", (b"Connection: Upgrade\r\n", b"Upgrade: h2c\r\n")),
}


@both_ways
@pytest.mark.parametrize("case", LEFT_OUT)
def test_head_of_which_something_is_left_out_may_be_a_connections_first(
    way: str, case: str
) -> None:
    before, more = LEFT_OUT[case]
    length = b"Content-Length: 2\r\n"

    async def scenario() -> None:
        called = Called(echo, way)
        async with conversing(called) as (reader, writer):
            for pieces in (
                (before + called.head(*more, length) + b"ab",),
                (called.head(*more, length, key=b"other") + b"bc",),
                (before + called.head(*more, length), b"cd"),
                (called.request(b"de"),),
            ):
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0.01)  # so that they come one by one
                assert (await read_answer(reader)).body == pieces[-1][-2:]
        assert [each.token for each in called.heads] == [b"key", b"other", b"key", b"key"]

    run(scenario())


@both_ways
def test_page_of_another_origin_is_told_so_on_a_connection_that_others_had(way: str) -> None:
    async def scenario() -> None:
        called = Called(echo, way)
        cors = Cors([PAGE])
        async with conversing(called, door=Door(cors=cors)) as (reader, writer):
            for origin in (PAGE, PAGE, "https://other.example", PAGE, "https://other.example"):
                writer.write(called.request(b"b", b"Origin: %b\r\n" % origin.encode()))
                allowed = (await read_answer(reader)).headers.get("access-control-allow-origin")
                assert allowed == (PAGE if origin == PAGE else None)

    run(scenario())


@both_ways
def test_stream_is_sent_in_chunks(way: str) -> None:
    async def scenario() -> None:
        called = Called(count, way)
        async with serving(called) as server:
            raw = await ask(server.port, called.request(b"2", CLOSE))
        head, _, body = raw.partition(b"\r\n\r\n")
        assert head.split(b"\r\n") == [
            b"HTTP/1.1 200 OK",
            b"content-type: text/event-stream",
            b"transfer-encoding: chunked",
            b"connection: close",
        ]
        assert body == b"2\r\n0,\r\n2\r\n1,\r\n3\r\nend\r\n0\r\n\r\n"

    run(scenario())


@both_ways
def test_head_leaves_with_the_first_piece_even_if_that_is_empty(way: str) -> None:
    async def answer(_: bytes, reply: Reply) -> None:
        await reply.begin(200, [])
        await reply.write(b"")
        await reply.end(b"")

    async def scenario() -> None:
        called = Called(answer, way)
        async with serving(called) as server:
            raw = await ask(server.port, called.request(b"", CLOSE))
        assert raw.endswith(b"\r\nconnection: close\r\n\r\n0\r\n\r\n")

    run(scenario())


@pytest.mark.parametrize("way", TARGETS)
@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 500), max_size=6))
def test_pipelined_requests_are_answered_in_order_however_they_are_cut(
    way: str, cuts: list[int]
) -> None:
    async def scenario() -> None:
        called = Called(echo, way)
        chunked = called.head(b"Transfer-Encoding: chunked\r\n")
        sent = called.request(b"one") + chunked + b"2\r\ntw\r\n1\r\no\r\n0\r\nX: y\r\n\r\n"
        sent += called.request(b"three", CLOSE) + called.request(b"never")
        edges = [0, *sorted(cuts), len(sent)]
        async with serving(called) as server:
            pieces = [sent[a:b] for a, b in pairwise(edges)]
            answers = parse(await ask(server.port, *pieces))
        assert [answer.body for answer in answers] == [b"one", b"two", b"three"]

    run(scenario())


@both_ways
@pytest.mark.parametrize("last", [b"", CLOSE], ids=["kept", "closed"])
def test_calls_of_one_turn_are_each_answered_whole_whatever_follows(way: str, last: bytes) -> None:
    """Their answers leave together; a refusal or the connection's end comes behind its own."""
    together = asyncio.Barrier(8)

    async def at_once(body: bytes, reply: Reply) -> None:
        await together.wait()
        await echo(body, reply)

    async def scenario() -> None:
        called = Called(at_once, way)
        async with serving(called) as server:
            for size in (0, 5, 20_000, 70_000):
                body = bytes(size)
                rest = b"" if last else b"nonsense\r\n\r\n"
                asked = called.request(body, last) + rest
                raw = await asyncio.gather(*[ask(server.port, asked) for _ in range(8)])
                for first, *others in map(parse, raw):
                    assert (first.status, first.body) == (200, body)
                    assert [each.status for each in others] == ([] if last else [400])

    run(scenario())


@both_ways
def test_answer_that_was_sent_before_its_client_closed_its_side_arrives(way: str) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        async def answer(body: bytes, reply: Reply) -> None:
            await echo(body, reply)
            client.shutdown(socket.SHUT_WR)  # seen before this turn of the loop is over

        called = Called(answer, way)
        async with serving(called) as server:
            with socket.socket() as client:
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", server.port))
                await loop.sock_sendall(client, called.request(b"body"))
                raw = b""
                while data := await asyncio.wait_for(loop.sock_recv(client, 65536), DEADLINE):
                    raw += data
            (answered,) = parse(raw)
            assert (answered.status, answered.body) == (200, b"body")

    run(scenario())


@both_ways
def test_large_body_is_waited_for(way: str) -> None:
    async def scenario() -> None:
        called = Called(echo, way)
        body = b"0123456789abcdef" * 200_000
        async with conversing(called) as (reader, writer):
            writer.write(called.request(body))
            assert (await read_answer(reader)).body == body

    run(scenario())


@both_ways
def test_request_without_a_key_is_refused_before_its_body_and_the_connection_kept(way: str) -> None:
    async def scenario() -> None:
        called = Called(echo, way)
        refused = called.request(b"a" * 300_000, key=b"")
        async with serving(called) as server:
            raw = await ask(server.port, refused, refused, called.request(b"b", CLOSE))
        assert [answer.status for answer in parse(raw)] == [401, 401, 200]
        assert called.bodies == [b"b"]

    run(scenario())


@both_ways
def test_error_of_the_call_is_answered(way: str) -> None:
    async def refuse(_: bytes, _reply: Reply) -> None:
        raise BadRequest("no such thing")

    async def scenario() -> None:
        called = Called(refuse, way)
        async with serving(called) as server:
            (answer,) = parse(await ask(server.port, called.request(b"{}", CLOSE)))
        assert (answer.status, answer.json["message"]) == (400, "no such thing")

    run(scenario())


SMALL = Limits(body_bytes=100, body_timeout=0.2)
BROKEN: dict[str, tuple[bytes, bytes, int]] = {
    "announced": (b"Content-Length: 101\r\n", b"", 413),
    "chunks": (b"Transfer-Encoding: chunked\r\n", b"65\r\n" + b"a" * 101, 413),
    "slow": (b"Content-Length: 3\r\n", b"a", 408),
    "no chunk": (b"Transfer-Encoding: chunked\r\n", b"zz\r\n", 400),
    "compressed": (b"Content-Encoding: gzip\r\nContent-Length: 3\r\n", b"abc", 415),
}


@both_ways
@pytest.mark.parametrize("case", BROKEN)
def test_body_that_is_refused_never_comes_to_the_call(way: str, case: str) -> None:
    framing, body, status = BROKEN[case]

    async def scenario() -> None:
        called = Called(echo, way)
        async with serving(called, SMALL) as server:
            first, refusal = parse(
                await ask(server.port, called.request(b"ok"), called.head(framing), body)
            )
        assert (first.status, first.body) == (200, b"ok")
        assert (refusal.status, refusal.headers["connection"]) == (status, "close")
        assert called.bodies == [b"ok"]
        assert not server.traffic.requests

    run(scenario())


async def never(_: bytes, _reply: Reply) -> None:
    await asyncio.Event().wait()


async def endless(_: bytes, reply: Reply) -> None:
    await reply.begin(200, [])
    while True:
        await reply.write(b"a" * 65536)
        await asyncio.sleep(0)


@both_ways
@pytest.mark.parametrize("answer", [never, endless])
def test_client_that_leaves_cancels_its_call_and_what_it_sent_behind(
    way: str, answer: Answer
) -> None:
    async def scenario() -> None:
        called = Called(answer, way)
        async with serving(called) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            writer.write(called.request(b"1") + called.request(b"2"))
            await until(lambda: bool(called.bodies))
            await hang_up(writer)
            await until(lambda: not server.traffic.requests)
        assert (called.bodies, called.cancelled) == ([b"1"], 1)

    run(scenario())


@both_ways
def test_client_that_leaves_before_its_body_makes_no_call(way: str) -> None:
    async def scenario() -> None:
        called = Called(echo, way)
        async with serving(called) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(called.head(b"Content-Length: 3\r\n") + b"a")
            await until(lambda: server.traffic.requests == 1)
            await hang_up(writer)
            await until(lambda: not server.traffic.requests)
        assert called.bodies == []

    run(scenario())


@both_ways
def test_what_is_done_behind_the_answer_is_not_cancelled(way: str) -> None:
    async def scenario() -> None:
        gone, done = asyncio.Event(), asyncio.Event()

        async def answer(body: bytes, reply: Reply) -> None:
            await echo(body, reply)
            await gone.wait()
            assert not reply.gone
            done.set()

        called = Called(answer, way)
        async with serving(called) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(called.request(b"a"))
            await read_answer(reader)
            await hang_up(writer)
            await until(lambda: not server.traffic.connections)
            gone.set()
            await asyncio.wait_for(done.wait(), DEADLINE)
        assert called.cancelled == 0

    run(scenario())


@both_ways
def test_stream_waits_while_its_client_does_not_read(way: str) -> None:
    async def scenario() -> None:
        written = 0

        async def answer(_body: bytes, reply: Reply) -> None:
            nonlocal written
            await reply.begin(200, [])
            for _ in range(1000):
                await reply.write(b"a" * 65536)
                written += 1
            await reply.end(b"")

        called = Called(answer, way)
        async with serving(called) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            writer.write(called.request(b"", CLOSE))
            await until(lambda: written > 0)
            seen = -1
            while seen != written:  # until it stands still
                seen = written
                await asyncio.sleep(0.05)
            assert written < 1000
            await asyncio.wait_for(reader.read(), DEADLINE)
            assert written == 1000
            await hang_up(writer)

    run(scenario())


@both_ways
def test_piece_is_passed_on_behind_the_head_and_while_the_client_reads(way: str) -> None:
    async def scenario() -> None:
        passed: list[bytes] = []
        stuck = asyncio.Event()

        async def answer(_body: bytes, reply: Reply) -> None:
            await reply.begin(200, [])
            assert not reply.pass_on(b"never")
            for number in range(1000):
                passed.append(b"%d," % number + b"a" * 65536)
                if not reply.pass_on(passed[-1]):
                    stuck.set()
                    await reply.write(passed[-1])
            await reply.end(b"end")
            assert not reply.pass_on(b"never")

        called = Called(answer, way)
        async with serving(called) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            writer.write(called.request(b"", CLOSE))
            await asyncio.wait_for(stuck.wait(), DEADLINE)
            raw = await asyncio.wait_for(reader.read(), DEADLINE)
            framed = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*passed, b"end", b""]]
            assert raw.partition(b"\r\n\r\n")[2] == b"".join(framed)
            await hang_up(writer)

    run(scenario())


async def raise_at_once(_: bytes, _reply: Reply) -> None:
    raise ValueError("boom")


async def return_silently(_: bytes, _reply: Reply) -> None:
    pass


async def break_a_header(_: bytes, reply: Reply) -> None:
    await reply.whole(200, [(b"x-model", b"a\r\nx-other: b")], b"")


async def answer_twice(body: bytes, reply: Reply) -> None:
    await reply.begin(200, [])
    await echo(body, reply)


async def write_without_head(_: bytes, reply: Reply) -> None:
    await reply.write(b"a")


FAILURES = [raise_at_once, return_silently, break_a_header, answer_twice, write_without_head]


@both_ways
@pytest.mark.parametrize("answer", FAILURES)
def test_bug_is_answered_500_and_logged_under_its_id(
    way: str, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        called = Called(answer, way)
        async with serving(called) as server:
            (failed,) = parse(await ask(server.port, called.request(b"secret")))
        assert (failed.status, failed.json["code"]) == (500, "INTERNAL_SERVER_ERROR")
        assert failed.headers["x-request-id"] in caplog.text
        assert "secret" not in caplog.text

    run(scenario())


@both_ways
def test_bug_in_a_stream_is_a_visible_cut(way: str, caplog: pytest.LogCaptureFixture) -> None:
    async def answer(_: bytes, reply: Reply) -> None:
        await reply.begin(200, [])
        await reply.write(b"a")
        raise ValueError("boom")

    async def scenario() -> None:
        called = Called(answer, way)
        async with serving(called) as server:
            raw = await ask(server.port, called.request(b""))
        assert raw.endswith(b"\r\n\r\n1\r\na\r\n")
        assert "boom" in caplog.text

    run(scenario())


@both_ways
def test_server_that_stops_finishes_a_call_and_cancels_one_that_outlives_the_grace(
    way: str,
) -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def answer(body: bytes, reply: Reply) -> None:
            await (go.wait() if body == b"quick" else never(body, reply))
            await echo(body, reply)

        called = Called(answer, way)
        async with serving(called, grace=0.3) as server:
            asked = [
                asyncio.create_task(ask(server.port, called.request(body)))
                for body in (b"quick", b"slow")
            ]
            await until(lambda: len(called.bodies) == 2)
            server.stop.set()
            go.set()
            (quick,), (slow,) = map(parse, await asyncio.gather(*asked))
        assert (quick.status, quick.headers["connection"]) == (200, "close")
        assert (slow.status, slow.headers["connection"]) == (503, "close")
        assert called.cancelled == 1

    run(scenario())


@both_ways
def test_replaced_server_answers_once_more_and_says_that_it_is_the_last_time(way: str) -> None:
    async def scenario() -> None:
        called = Called(echo, way)
        async with serving(called) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(called.request(b"1"))
            assert "connection" not in (await read_answer(reader)).headers
            server.replace()
            await asyncio.sleep(0.05)
            writer.write(called.request(b"2"))
            assert (await read_answer(reader)).headers["connection"] == "close"
            assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
            await hang_up(writer)

    run(scenario())


@both_ways
def test_page_is_told_that_it_may_read_answers_and_errors(way: str) -> None:
    async def scenario() -> None:
        called = Called(echo, way)
        origin = b"Origin: %b\r\n" % PAGE.encode()
        async with serving(called, door=Door(cors=Cors([PAGE]))) as server:
            raw = await ask(
                server.port,
                called.request(b"a", origin),
                called.request(b"a", origin, key=b""),
                called.request(b"a", origin, b"Content-Encoding: gzip\r\n"),
            )
        answers = parse(raw)
        assert [answer.status for answer in answers] == [200, 401, 415]
        assert {each.headers["access-control-allow-origin"] for each in answers} == {PAGE}

    run(scenario())


@both_ways
def test_call_is_answered_behind_tls(way: str) -> None:
    async def scenario() -> None:
        files = Path(__file__).parents[1] / "upstream" / "tls"
        pem, key = str(files / "server.pem"), str(files / "server.key")
        behind = door(Server(tls_certificate=pem, tls_key=key))
        called = Called(count, way)
        async with serving(called, door=behind) as server:
            trusting = ssl.create_default_context(cafile=files / "ca.pem")
            reader, writer = await asyncio.open_connection("localhost", server.port, ssl=trusting)
            for number in (1, 0, 2, 10):
                writer.write(called.request(b"%d" % number))
                raw = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), DEADLINE)
                assert raw.count(b",\r\n") == number
            await hang_up(writer)

    run(scenario())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 (it is told by no event)
            await asyncio.sleep(0.005)


def test_client_that_waits_for_a_word_has_it_and_is_answered_over_asgi() -> None:
    async def scenario() -> None:
        called = Called(echo, "direct")
        waiting = called.head(b"Expect: 100-continue\r\nContent-Length: 3\r\n")
        called.way = "asgi"
        async with conversing(called) as (reader, writer):
            writer.write(waiting)
            said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE)
            assert said == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            assert (await read_answer(reader)).body == b"abc"

    run(scenario())


def test_other_methods_of_a_calls_target_are_the_applications() -> None:
    async def scenario() -> None:
        called = Called(echo, "asgi")
        async with serving(called) as server:
            head = b"GET /call HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key\r\n"
            (answer,) = parse(await ask(server.port, head + CLOSE + b"\r\n"))
            assert answer.status == 200
            old = b"POST /call HTTP/1.0\r\nAuthorization: Bearer key\r\nContent-Length: 1\r\n\r\na"
            (answer,) = parse(await ask(server.port, old))
            assert answer.body == b"a"

    run(scenario())


def test_upgrade_that_nobody_wants_is_a_call_all_the_same() -> None:
    async def scenario() -> None:
        called = Called(echo, "direct")
        upgrade = b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n"
        async with serving(called) as server:
            (answer,) = parse(await ask(server.port, called.request(b"abc", upgrade)))
        assert answer.body == b"abc"

    run(scenario())
