"""What becomes of each kind of answer, asked for over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from itertools import cycle
from typing import Any

import pytest
from misbehaving import Misbehaving, body_for

from standpipe.config import Timeouts
from standpipe.errors import Cut, NotACompletion, Silent, Unreachable, UpstreamError
from standpipe.upstream import Origin, Pool, Request
from standpipe.upstream.answer import Answer
from standpipe.upstream.connection import BUFFER_BYTES

Run = Callable[[Coroutine[Any, Any, None]], None]

MANY = 100_000_000


def ask(model: str, **fields: Any) -> Request:
    headers = ((b"Content-Type", b"application/json"), (b"Authorization", b"Bearer sk-secret"))
    return Request("POST", "/chat/completions", headers, body_for(model, **fields))


def content_of(body: bytes) -> str:
    if body.startswith(b"{"):
        return str(json.loads(body)["choices"][0]["message"]["content"])
    lines = [line[6:] for line in body.splitlines() if line.startswith(b"data: {")]
    choices = [choice for line in lines for choice in json.loads(line)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


WHOLE = [
    "ok",
    "chunked",
    "until-close",
    "odd-splits",
    "gzip",
    "deflate",
    "early",
    "slow:20",
    "drip:1",
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [*WHOLE, "gzip+odd-splits+chunked", "drip:1+until-close+deflate"])
def test_arrives_whole(run: Run, upstream: Misbehaving, model: str, stream: bool) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        with await pool.send(ask(model, stream=stream)) as answer:
            body = await answer.body(MANY)
            assert answer.status == 200
            assert answer.header(b"x-vendor-header") == b"1"
            assert answer.header(b"content-encoding") is None
            assert answer.header(b"absent") is None
            assert answer.first_byte_us > 0
            assert await answer.read() == b""
        assert content_of(body).startswith("Hello there, how can I")
        assert body.rstrip().endswith(b"data: [DONE]" if stream else b"}")
        await pool.close()

    run(main())


@pytest.mark.parametrize("says", [[True], [False], [True, False, False]])
@pytest.mark.parametrize("model", ["drip:1", "drip:1+until-close", "drip:1+gzip", "odd-splits"])
def test_taker_and_reader_together_have_the_whole_in_order(
    run: Run, upstream: Misbehaving, model: str, says: list[bool]
) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        had: list[bytes] = []
        turns = cycle(says)

        def take(data: bytes) -> bool:
            if not next(turns):
                return False
            had.append(data)
            return True

        with await pool.send(ask(model, stream=True)) as answer:
            answer.taker = take
            while data := await answer.read():
                had.append(data)
            assert not answer.unread
        body = b"".join(had)
        assert content_of(body).startswith("Hello there, how can I")
        assert body.rstrip().endswith(b"data: [DONE]")
        await pool.close()

    run(main())


def test_taker_is_asked_only_while_the_reader_waits() -> None:
    async def main() -> None:
        answer = Answer(Unsourced(), asyncio.get_running_loop())
        taken: list[bytes] = []
        answer.taker = lambda data: not taken.append(data)  # type: ignore[func-returns-value]

        answer.on_body(b"a")
        assert await answer.read() == b"a"
        reading = asyncio.ensure_future(answer.read())
        await asyncio.sleep(0)
        answer.on_body(b"b")
        answer.on_body(b"c")
        assert (taken, answer.unread) == ([b"b", b"c"], 0)
        answer.wake()
        answer.on_body(b"d")  # the reader is on its way
        answer.on_body(b"e")
        assert await reading == b"de"
        assert taken == [b"b", b"c"]

    asyncio.run(main())


class Unsourced:
    """A source of nothing."""

    def resume(self) -> None:
        pass

    def abandon(self) -> None:
        pass


def test_request_arrives_as_it_was_made(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url + "/"))
        request = ask("ok", temperature=0.5)
        traced = Request(
            request.method,
            request.path,
            request.headers,
            request.body,
            ((b"traceparent", b"00-1"),),
        )
        for each in (request, traced):
            with await pool.send(each) as answer:
                await answer.body(MANY)
        await pool.close()
        plain, with_trace = upstream.requests
        assert plain.path == "/v1/chat/completions"
        assert plain.body == request.body
        assert plain.headers == {
            "host": f"127.0.0.1:{upstream.port}",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "authorization": "Bearer sk-secret",
            "content-length": str(len(request.body)),
        }
        assert with_trace.headers == {**plain.headers, "traceparent": "00-1"}

    run(main())


def test_get_has_no_body(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        with await pool.send(Request("GET", "/models", ())) as answer:
            assert json.loads(await answer.body(MANY))["object"] == "list"
        await pool.close()

    run(main())


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_error_status_is_an_answer(run: Run, upstream: Misbehaving, status: int) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        with await pool.send(ask(f"status:{status}")) as answer:
            assert answer.status == status
            assert (answer.header(b"retry-after") == b"2") == (status in {429, 503})
            assert b"error" in await answer.body(MANY)
        assert pool.idle_connections == 1
        await pool.close()

    run(main())


def test_redirect_is_not_followed(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        with await pool.send(ask("redirect")) as answer:
            assert answer.status == 307
            assert answer.header(b"location") == b"https://elsewhere.invalid/"
        await pool.close()

    run(main())


BAD: list[tuple[str, bool, type[UpstreamError], str]] = [
    ("cut", False, Cut, "ended before its end"),
    ("cut", True, Cut, "ended before its end"),
    ("cut+chunked", False, Cut, "ended before its end"),
    ("cut+gzip+until-close", True, Cut, "encoded answer ended before its end"),
    ("reset", False, Cut, "ended before its end: Connection reset by peer"),
    ("reset", True, Cut, "ended before its end: Connection reset by peer"),
    ("cut-head", False, Unreachable, "closed the connection before its answer began"),
    ("garbage", True, Unreachable, "answered with something that is not HTTP"),
    ("silent", False, Silent, "did not begin to answer within timeouts.first_byte, 0.3 seconds"),
    ("stall", False, Silent, "sent nothing more within timeouts.idle, 0.2 seconds"),
    ("stall", True, Silent, "sent nothing more within timeouts.idle, 0.2 seconds"),
    ("drip:30+chunks:500", True, Silent, "did not finish its answer within timeouts.total, 1 sec"),
    ("br", False, NotACompletion, "encoded its answer as 'br'"),
    ("br", True, NotACompletion, "encoded its answer as 'br'"),
]


@pytest.mark.parametrize(("model", "stream", "error", "message"), BAD)
def test_bad_answer_is_named(
    run: Run,
    upstream: Misbehaving,
    model: str,
    stream: bool,
    error: type[UpstreamError],
    message: str,
) -> None:
    async def main() -> None:
        times = Timeouts(first_byte=0.3, idle=0.2, total=1)
        pool = Pool(Origin.parse(upstream.url), timeouts=times)
        with pytest.raises(error) as raised, await pool.send(ask(model, stream=stream)) as answer:
            await answer.body(MANY)
        assert message in raised.value.message
        assert pool.address in raised.value.message or "encoded" in message
        assert "sk-secret" not in raised.value.message
        await upstream.until(lambda: upstream.open_connections == pool.open_connections)
        await pool.close()

    run(main())


def test_what_came_before_a_cut_is_read_first(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        answer = await pool.send(ask("reset", stream=True))
        await asyncio.sleep(0.2)
        assert b"Hello" in await answer.read()
        for _ in range(2):
            with pytest.raises(Cut):
                await answer.read()
        await pool.close()

    run(main())


def test_body_over_the_limit_is_refused_and_not_read(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        answer = await pool.send(ask("huge:50000000", stream=True))
        with pytest.raises(NotACompletion, match="more than 1000000 bytes"):
            await answer.body(1_000_000)
        await upstream.until(lambda: upstream.open_connections == 0)
        await pool.close()

    run(main())


def test_small_encoded_body_does_not_become_a_huge_one(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        answer = await pool.send(ask("huge:30000000+gzip"))
        pieces = [await answer.read() for _ in range(3)]
        assert max(map(len, pieces)) <= 1 << 20
        with pytest.raises(NotACompletion):
            await answer.body(10_000_000)
        await pool.close()

    run(main())


def test_slow_reader_slows_the_provider_down(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url), timeouts=Timeouts(idle=0.2))
        answer = await pool.send(ask("huge:50000000", stream=True))
        await upstream.until(lambda: answer.unread > BUFFER_BYTES)
        # Longer than `idle`: it is not the provider who is silent.
        await asyncio.sleep(0.5)
        assert answer.unread < BUFFER_BYTES + 2_000_000
        assert upstream.bytes_sent < 50_000_000
        assert content_of(await answer.body(MANY)) == "x" * 50_000_000
        assert pool.idle_connections == 1
        with await pool.send(ask("ok")) as second:
            assert await second.body(MANY)
        assert upstream.connections == 1
        await pool.close()

    run(main())


def test_closing_an_unfinished_answer_closes_the_connection(
    run: Run, upstream: Misbehaving
) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        answer = await pool.send(ask("drip:50", stream=True))
        await answer.read()
        answer.close()
        answer.close()
        with pytest.raises(RuntimeError, match="closed"):
            await answer.read()
        await upstream.until(lambda: upstream.disconnects == 1)
        assert pool.open_connections == 0
        await pool.close()

    run(main())


@pytest.mark.parametrize("model", ["silent", "stall", "slow:60000", "drip:60000"])
def test_cancelled_task_closes_the_connection(run: Run, upstream: Misbehaving, model: str) -> None:
    async def call(pool: Pool) -> None:
        # No `async with`: the cancelled read closes it.
        answer = await pool.send(ask(model, stream=True))
        await answer.body(MANY)

    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        task = asyncio.create_task(call(pool))
        await upstream.until(lambda: upstream.requests_seen == 1)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await upstream.until(lambda: upstream.disconnects == 1)
        assert (pool.open_connections, pool.idle_connections) == (0, 0)
        await pool.close()

    run(main())


def test_finished_answer_is_readable_after_its_connection_went_on(
    run: Run, upstream: Misbehaving
) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        first = await pool.send(ask("ok", user="first"))
        await upstream.until(lambda: pool.idle_connections == 1)
        second = await pool.send(ask("status:500"))
        assert content_of(await first.body(MANY)).startswith("Hello")
        assert (await second.body(MANY)).startswith(b'{"error"')
        assert upstream.connections == 1
        await pool.close()

    run(main())
