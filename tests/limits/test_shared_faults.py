"""Redis that goes away and returns, nodes that die with calls of theirs in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import redis_server
from limits.limiting import Process, limiter, wants
from limits.test_process import asking, ended, until

from standpipe.limits.client import Limiter
from standpipe.limits.ledger import Ledger
from standpipe.limits.limits import Limits
from standpipe.limits.messages import End, Want
from standpipe.limits.shared import Shared


@pytest.fixture
def own_redis() -> Iterator[redis_server.Server]:
    with redis_server.running(durable=True) as server:
        yield server


def refusing(process: Process, server: redis_server.Server) -> None:
    calls = wants(Limits(concurrent_calls=2))

    async def ask(worker: Limiter) -> None:
        there = [next(calls), next(calls)]
        for want in there:
            assert (await worker.begin(want)).reason is None
        server.stop()
        worker.end(ended(there[0]))
        assert (await worker.begin(next(calls))).reason == "away"
        server.start()

        async def begins() -> bool:
            return (await worker.begin(next(calls))).reason is None

        # What ended meanwhile is counted, once, and what was there is there.
        await until(begins)
        assert (await worker.begin(next(calls))).reason == "concurrent"

    asking(process, ask)


def test_calls_are_refused_while_redis_is_away_and_all_is_well_when_it_is_back(
    tmp_path: Path, own_redis: redis_server.Server
) -> None:
    with limiter(tmp_path, redis=own_redis.url) as process:
        refusing(process, own_redis)


def test_redis_that_hangs_is_one_that_is_away(
    tmp_path: Path, own_redis: redis_server.Server
) -> None:
    calls = wants(Limits(concurrent_calls=1))

    async def ask(worker: Limiter) -> None:
        own_redis.pause()
        assert (await worker.begin(next(calls))).reason == "away"
        own_redis.go_on()

        async def is_there() -> bool:
            return (await worker.begin(next(calls))).reason != "away"

        await until(is_there)

    with limiter(tmp_path, redis=own_redis.url) as process:
        asking(process, ask)


def test_node_may_count_by_itself_while_redis_is_away(
    tmp_path: Path, own_redis: redis_server.Server
) -> None:
    calls = wants(Limits(concurrent_calls=1))

    async def ask(worker: Limiter) -> None:
        own_redis.stop()
        want = next(calls)
        assert (await worker.begin(want)).reason is None
        assert (await worker.begin(next(calls))).reason == "concurrent"
        worker.end(ended(want))
        own_redis.start()

        async def is_shared() -> bool:
            shared = Shared(own_redis.url)
            other = next(calls)
            begun = (await worker.begin(other)).reason is None
            seen = (await shared.begin(next(calls))).reason == "concurrent"
            if begun:
                worker.end(ended(other))
            await shared.close()
            return begun and seen

        await until(is_shared)

    with limiter(tmp_path, redis=own_redis.url, when_away="local") as process:
        asking(process, ask)


def test_calls_of_a_node_that_died_come_back_and_those_that_are_kept_do_not(
    redis_run: redis_server.Server,
) -> None:
    calls = wants(Limits(concurrent_calls=2))

    async def scene() -> None:
        dead, node = Shared(redis_run.url, lease_s=0.6), Shared(redis_run.url, lease_s=0.6)
        kept = next(calls)
        assert (await dead.begin(next(calls))).reason is None
        await dead.close()
        assert (await node.begin(kept)).reason is None
        assert (await node.begin(next(calls))).reason == "concurrent"

        async def begins() -> bool:
            await node.keep([kept])
            return (await node.begin(next(calls))).reason is None

        await until(begins)
        await node.keep([kept])
        assert (await node.begin(next(calls))).reason == "concurrent"
        await node.close()

    asyncio.run(scene())


def test_end_that_is_told_twice_is_counted_once(redis_run: redis_server.Server) -> None:
    async def scene() -> None:
        first, second = Shared(redis_run.url), Shared(redis_run.url)
        calls = wants(Limits(dollars_per_day=Decimal(1)))
        want = next(calls)
        await _know(first, want)
        assert (await first.begin(want)).reason is None
        for node in (first, second, first):
            await node.end(want, End(want.call, want.project), 10**12 // 2)
        verdict = await second.begin(next(calls))
        assert verdict.reason is None
        await first.close()
        await second.close()

    asyncio.run(scene())


async def _know(ledger: Ledger, want: Want) -> None:
    for span in await ledger.unknown(want):
        await ledger.settle(span, 0, [])
