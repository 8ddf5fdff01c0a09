"""How connections are kept, shared, waited for and given up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from misbehaving import Misbehaving, body_for, running

from standpipe.config import Timeouts
from standpipe.errors import ApiError, Unreachable
from standpipe.upstream import Origin, Pool, Request, connection
from standpipe.upstream.dial import Addresses

Run = Callable[[Coroutine[Any, Any, None]], None]

MANY = 100_000_000


def ask(model: str, **fields: Any) -> Request:
    return Request("POST", "/chat/completions", (), body_for(model, **fields))


async def call(pool: Pool, model: str, **fields: Any) -> int:
    with await pool.send(ask(model, **fields)) as answer:
        await answer.body(MANY)
        return answer.status


def test_connection_is_used_again(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        for _ in range(5):
            assert await call(pool, "ok") == 200
            assert await call(pool, "ok", stream=True) == 200
        assert upstream.connections == 1
        await pool.close()
        await upstream.until(lambda: upstream.open_connections == 0)

    run(main())


def test_last_used_connection_is_taken_first(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        await asyncio.gather(*(call(pool, "slow:100") for _ in range(4)))
        assert pool.idle_connections == 4
        for _ in range(5):
            await call(pool, "ok")
        assert len({request.connection for request in upstream.requests[-5:]}) == 1
        await pool.close()

    run(main())


def test_connection_that_says_close_is_not_kept(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        await call(pool, "until-close")
        await call(pool, "ok")
        assert upstream.connections == 2
        await pool.close()

    run(main())


@pytest.mark.parametrize("model", ["stale", "stale-second"])
def test_stale_connection_costs_no_call(run: Run, upstream: Misbehaving, model: str) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        for _ in range(10):
            assert await call(pool, model) == 200
        assert await call(pool, "ok") == 200
        await pool.close()
        await upstream.until(lambda: upstream.open_connections == 0)

    run(main())


def test_restarted_provider_costs_no_call(run: Run) -> None:
    async def main() -> None:
        with running() as first:
            pool = Pool(Origin.parse(first.url))
            await asyncio.gather(*(call(pool, "slow:50") for _ in range(8)))
        with running(port=first.port):
            statuses = await asyncio.gather(*(call(pool, "ok") for _ in range(8)))
            assert statuses == [200] * 8
            await pool.close()

    run(main())


def test_fresh_connection_that_dies_is_not_tried_again(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        with pytest.raises(Unreachable):
            await call(pool, "cut-head")
        assert upstream.requests_seen == 1
        await call(pool, "ok")
        # Bytes came, so the provider may have done the work: not tried again either.
        with pytest.raises(Unreachable):
            await call(pool, "cut-head")
        assert upstream.requests_seen == 3
        await pool.close()

    run(main())


def test_idle_connection_is_dropped(
    run: Run, upstream: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE", 0.2)

    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url))
        await call(pool, "ok")
        assert pool.idle_connections == 1
        await upstream.until(lambda: upstream.open_connections == 0)
        await asyncio.sleep(0)
        assert (pool.open_connections, pool.idle_connections) == (0, 0)
        await pool.close()

    run(main())


def test_callers_wait_in_order_when_all_connections_are_in_use(
    run: Run, upstream: Misbehaving
) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url), max_connections=2)
        done: list[int] = []

        async def numbered(number: int) -> None:
            await call(pool, "slow:20", user=str(number))
            done.append(number)

        await asyncio.gather(*(numbered(number) for number in range(12)))
        users = [request.json["user"] for request in upstream.requests]
        assert sorted(users[:2]) == ["0", "1"]
        assert users[2:] == [str(number) for number in range(2, 12)]
        assert upstream.connections == 2
        assert pool.waiting_calls == 0
        await pool.close()

    run(main())


def test_waiting_for_a_connection_ends_with_the_connect_timeout(
    run: Run, upstream: Misbehaving
) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url), max_connections=1, timeouts=Timeouts(connect=0.2))
        first = await pool.send(ask("drip:5000", stream=True))
        with pytest.raises(Unreachable, match="none of 1 connections was free within"):
            await pool.send(ask("ok"))
        first.close()
        assert await call(pool, "ok") == 200
        await pool.close()

    run(main())


def test_place_of_a_caller_who_left_goes_to_the_next(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url), max_connections=1)
        first = await pool.send(ask("drip:5000", stream=True))
        waiting = [asyncio.create_task(call(pool, "ok")) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first.close()
        # Let the place be handed over, then cancel the one who has it before it runs.
        for _ in range(100):
            if pool.waiting_calls != 3:
                break
            await asyncio.sleep(0)
        waiting[1].cancel()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert outcomes[2:] == [200, 200]
        await pool.close()

    run(main())


def test_nothing_leaks_after_500_mixed_calls(run: Run, upstream: Misbehaving) -> None:
    models = [
        "ok", "chunked", "until-close", "gzip", "odd-splits", "status:429", "slow:5", "drip:1",
        "cut", "reset", "cut-head", "garbage", "stale", "stale-second", "silent", "stall", "br",
        "huge:400000",
    ]  # fmt: skip
    draw = random.Random(5)

    async def one(pool: Pool) -> None:
        try:
            async with asyncio.timeout(draw.choice([0.001, 0.01, 0.05, 1])):
                await call(pool, draw.choice(models), stream=draw.random() < 0.5)
        except (ApiError, TimeoutError):
            return

    async def main() -> None:
        times = Timeouts(connect=1, first_byte=0.2, idle=0.2)
        pool = Pool(Origin.parse(upstream.url), max_connections=20, timeouts=times)
        for _ in range(5):
            await asyncio.gather(*(one(pool) for _ in range(100)))
        statuses = await asyncio.gather(*(call(pool, "ok") for _ in range(40)))
        assert statuses == [200] * 40
        await asyncio.sleep(0.05)
        assert pool.open_connections == pool.idle_connections == pool._taken <= 20
        await upstream.until(lambda: upstream.open_connections == pool.open_connections)
        await pool.close()
        assert pool._taken == 0
        await upstream.until(lambda: upstream.open_connections == 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_closing_the_pool_ends_everything(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url), max_connections=2)
        streaming = await pool.send(ask("drip:50", stream=True))
        calls = [asyncio.create_task(call(pool, "silent")) for _ in range(3)]
        await upstream.until(lambda: upstream.requests_seen == 2)
        await pool.close()
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(outcome, Unreachable)
        with pytest.raises(ApiError, match="the gateway is stopping"):
            await streaming.body(MANY)
        with pytest.raises(Unreachable, match="the pool is closed"):
            await call(pool, "ok")
        await upstream.until(lambda: upstream.open_connections == 0)

    run(main())


def test_refused_connection_is_unreachable(run: Run) -> None:
    async def main() -> None:
        with running() as gone:
            pass
        pool = Pool(Origin.parse(gone.url))
        with pytest.raises(Unreachable) as raised:
            await call(pool, "ok")
        expected = f"cannot reach 127.0.0.1:{gone.port}: Connection refused"
        assert raised.value.message == expected
        await pool.close()

    run(main())


def test_unknown_name_is_unreachable(run: Run) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse("http://nowhere.invalid/v1"))
        calls = [call(pool, "ok") for _ in range(3)]
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(outcome, Unreachable)
            assert "nowhere.invalid:80: its name was not found" in outcome.message
        assert pool._taken == 0
        await pool.close()

    run(main())


def test_name_is_looked_up_once_for_all_who_ask(run: Run) -> None:
    async def main() -> None:
        addresses = Addresses("localhost", 80)
        given_up = asyncio.create_task(addresses.get())
        asked = [asyncio.create_task(addresses.get()) for _ in range(3)]
        await asyncio.sleep(0)
        given_up.cancel()
        found = await asyncio.gather(*asked)
        again = await addresses.get()
        assert all(one is again for one in found)
        addresses.prefer(again[-1])
        assert given_up.cancelled()
        addresses.close()

    run(main())


def test_name_with_several_addresses_is_tried_to_the_last(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        # `localhost` may be ::1 first, where nobody listens.
        pool = Pool(Origin.parse(f"http://localhost:{upstream.port}/v1"))
        assert await call(pool, "ok") == 200
        await pool.close()

    run(main())


def test_2000_connections_at_once(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(upstream.url), max_connections=2000, timeouts=Timeouts(connect=20))
        statuses = await asyncio.gather(*(call(pool, "slow:1000") for _ in range(2000)))
        assert statuses == [200] * 2000
        await pool.close()
        await upstream.until(lambda: upstream.open_connections == 0)

    run(main())
