"""HTTP/1.1 as a provider may speak it: each answer byte for byte, from a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving import serving

from standpipe.config import Timeouts
from standpipe.errors import Cut, Unreachable, UpstreamError
from standpipe.upstream import Answer, Origin, Pool, Request

Run = Callable[[Coroutine[Any, Any, None]], None]

OK = b"HTTP/1.1 200 OK\r\n"
ASK = Request("POST", "/x", (), b"{}")


@contextlib.asynccontextmanager
async def answering(*answers: bytes, then_close: bool = True) -> AsyncIterator[Pool]:
    """A pool to a server that gives these answers one after the other on each connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(answer)
        if not then_close:
            await reader.read()

    async with serving(serve) as port:
        times = Timeouts(first_byte=5, idle=5)
        pool = Pool(Origin.parse(f"http://127.0.0.1:{port}"), timeouts=times)
        try:
            yield pool
        finally:
            await pool.close()


async def call(pool: Pool) -> tuple[Answer, bytes]:
    with await pool.send(ASK) as answer:
        return answer, await answer.body(10_000_000)


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi"),
        (OK + b"content-length:2\r\n\r\nhi", 200, b"hi"),
        (OK + b"Content-Length: 0\r\n\r\n", 200, b""),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\n\r\n", 200, b"hi"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nTrailer: 1\r\n\r\n", 200, b"hi"),
        (OK + b"\r\nhi", 200, b"hi"),
        (b"HTTP/1.0 200 OK\r\n\r\nhi", 200, b"hi"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
        (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", 304, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi"),
        (
            b"HTTP/1.1 103 Hints\r\nX: early\r\n\r\n" * 3 + OK + b"Content-Length: 0\r\n\r\n",
            200,
            b"",
        ),
        (OK + b"Content-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    ],
)
def test_answer_is_understood(run: Run, raw: bytes, status: int, body: bytes) -> None:
    async def main() -> None:
        async with answering(raw) as pool:
            answer, got = await call(pool)
            assert (answer.status, got) == (status, body)
            assert answer.header(b"x") is None

    run(main())


def test_headers_are_kept_in_order_and_with_their_bytes(run: Run) -> None:
    raw = (
        OK
        + b"X-Empty:\r\nSet-Cookie: a\r\nX-Byte: \xff\r\nSET-COOKIE: b\r\nContent-Length: 0\r\n\r\n"
    )

    async def main() -> None:
        async with answering(raw) as pool:
            answer, _ = await call(pool)
            assert answer.headers == [
                (b"x-empty", b""),
                (b"set-cookie", b"a"),
                (b"x-byte", b"\xff"),
                (b"set-cookie", b"b"),
                (b"content-length", b"0"),
            ]
            assert answer.header(b"set-cookie") == b"a"

    run(main())


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", Unreachable),
        (b"\r\n\r\n", Unreachable),
        (b"HTTP/1.1 2000 OK\r\n\r\n", Unreachable),
        (b"HTTP/9.9 200 OK\r\n\r\n", Unreachable),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw", Unreachable),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Unreachable),
        (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", Unreachable),
        (OK + b"Content-Length: -2\r\n\r\nhi", Unreachable),
        (
            OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            Unreachable,
        ),
        (OK + b"Bad Name: 1\r\n\r\n", Unreachable),
        (OK + b"X: 1\r\n" * 400 + b"\r\n", Unreachable),
        (OK + b"X: " + b"x" * 300_000, Unreachable),
        (OK + b"Content-Length: 3\r\n\r\nhi", Cut),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", Cut),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", Cut),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nnonsense\r\n", Cut),
    ],
)
def test_answer_is_refused(run: Run, raw: bytes, error: type[UpstreamError]) -> None:
    async def main() -> None:
        async with answering(raw) as pool:
            with pytest.raises(error):
                await call(pool)
            await asyncio.sleep(0)
            assert pool.idle_connections == 0

    run(main())


@pytest.mark.parametrize(
    "extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"junk", b"H"]
)
def test_answer_that_nobody_asked_for_reaches_nobody(run: Run, extra: bytes) -> None:
    raw = OK + b"Content-Length: 2\r\n\r\nhi"

    async def main() -> None:
        async with answering(raw + extra, then_close=False) as pool:
            for _ in range(3):
                _, body = await call(pool)
                assert body == b"hi"
                assert pool.idle_connections == 0

    run(main())


def test_bytes_on_an_idle_connection_close_it(run: Run) -> None:
    more = asyncio.Event()
    noticed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(OK + b"Content-Length: 2\r\n\r\nhi")
        await more.wait()
        writer.write(OK + b"Content-Length: 4\r\n\r\nevil")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        noticed.set()

    async def main() -> None:
        async with serving(serve) as port:
            pool = Pool(Origin.parse(f"http://127.0.0.1:{port}"))
            await call(pool)
            assert pool.idle_connections == 1
            more.set()
            await noticed.wait()
            await asyncio.sleep(0)
            assert pool.idle_connections == 0
            _, body = await call(pool)
            assert body == b"hi"
            await pool.close()

    run(main())


def test_answer_before_the_whole_request_is_read_and_not_kept(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.Event().wait()

    async def main() -> None:
        async with serving(serve) as port:
            pool = Pool(Origin.parse(f"http://127.0.0.1:{port}"))
            with await pool.send(Request("POST", "/x", (), bytes(30_000_000))) as answer:
                assert (answer.status, await answer.body(10)) == (413, b"no")
            assert pool.idle_connections == 0
            await pool.close()

    run(main())


def test_provider_that_takes_a_large_request_slowly_is_not_silent(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = 30_000_000
        await reader.readuntil(b"\r\n\r\n")
        while left > 0:
            left -= len(await reader.read(1_000_000))
            # Slow for longer than first_byte, while the kernel's buffers cannot hold the rest.
            await asyncio.sleep(0.01 if left > 20_000_000 else 0)
        writer.write(OK + b"Content-Length: 2\r\n\r\nhi")
        await reader.read()

    async def main() -> None:
        async with serving(serve) as port:
            times = Timeouts(first_byte=0.4)
            pool = Pool(Origin.parse(f"http://127.0.0.1:{port}"), timeouts=times)
            with await pool.send(Request("POST", "/x", (), bytes(30_000_000))) as answer:
                assert await answer.body(10) == b"hi"
            await pool.close()

    run(main())


PIECES = st.sampled_from(
    [
        OK, b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Length: 2\r\n", b"\r\n", b"hi",
        b"0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n", b"2\r\nhi\r\n", b"Content-Encoding: gzip\r\n",
        b"Content-Encoding: deflate\r\n", b"Connection: close\r\n", b"HTTP/1.0 500 No\r\n",
    ]
)  # fmt: skip


@given(st.lists(PIECES | st.binary(max_size=8), max_size=8))
@settings(max_examples=200, deadline=None)
def test_no_bytes_are_anything_but_an_answer_or_an_upstream_error(pieces: list[bytes]) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), answering(b"".join(pieces)) as pool:
            with contextlib.suppress(UpstreamError):
                answer, _ = await call(pool)
                assert 200 <= answer.status <= 999
            await asyncio.sleep(0)

    asyncio.run(main())
