"""Redis that goes away and returns, nodes that die with calls of theirs in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
import redis_server
from limits.limiting import Process, limiter, wants
from limits.test_process import asking, ended, until

from standpipe.limits.client import Limiter
from standpipe.limits.ledger import Away, Ledger, spans
from standpipe.limits.limits import Limits
from standpipe.limits.messages import End, Want
from standpipe.limits.shared import Shared

DOLLAR = 10**12


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


#: For which no call begins in a Redis that has forgotten: longer than these tests take to tell.
RECALL_S = 0.5


@pytest.fixture
def nodes(own_redis: redis_server.Server) -> Callable[[], Shared]:
    return lambda: Shared(own_redis.url, recall_s=RECALL_S)


def counted(server: redis_server.Server) -> int:
    with server.client() as client:
        (key,) = client.scan_iter("*:spent:*", _type="hash")
        return int(str(client.hget(key, "all")))


def test_redis_that_forgot_is_told_again_what_is_open_and_what_was_spent(
    own_redis: redis_server.Server, nodes: Callable[[], Shared]
) -> None:
    calls = wants(Limits(concurrent_calls=2, dollars_per_day=Decimal(10)))

    async def scene() -> None:
        first, second = nodes(), nodes()
        open_, ended_, stored = next(calls), next(calls), next(calls)
        await _know(first, open_)
        for node, want in ((first, open_), (second, ended_)):
            assert (await node.begin(want)).reason is None
        await second.end(ended_, End(ended_.call, ended_.project), 4 * DOLLAR)
        assert (await second.begin(stored)).reason is None
        await second.end(stored, End(stored.call, stored.project), 3 * DOLLAR)
        (span,) = spans(stored)
        await second.settle(span, 3 * DOLLAR, [stored.call])
        assert [*await second.ended(span)] == [ended_.call]
        own_redis.forget()
        with pytest.raises(Away):  # nobody knows what the other has to say
            await first.begin(next(calls))
        for node, there in ((first, [open_]), (second, [])):
            await node.ended(span)
            await node.keep(there)
        for unknown in await first.unknown(open_):
            await first.settle(unknown, 3 * DOLLAR, [])

        async def begins() -> bool:
            with suppress(Away):
                return (await second.begin(next(calls))).reason is None
            return False

        await until(begins)
        assert (await first.begin(next(calls))).reason == "concurrent"
        assert [*await first.ended(span)] == [ended_.call]
        assert counted(own_redis) == 7 * DOLLAR
        await first.close()
        await second.close()

    asyncio.run(scene())


def test_what_redis_forgot_is_not_counted_twice_by_who_tells_it_late(
    own_redis: redis_server.Server, nodes: Callable[[], Shared]
) -> None:
    calls = wants(Limits(dollars_per_day=Decimal(10)))

    async def scene() -> None:
        node, want = nodes(), next(calls)
        await _know(node, want)
        assert (await node.begin(want)).reason is None
        own_redis.forget()
        (span,) = spans(want)
        # It is stored already when Redis hears that it has ended.
        await node.settle(span, 4 * DOLLAR, [])
        await node.end(want, End(want.call, want.project), 4 * DOLLAR)
        assert [*await node.ended(span)] == [want.call]
        await node.settle(span, 4 * DOLLAR, [want.call])
        assert counted(own_redis) == 4 * DOLLAR
        await node.close()

    asyncio.run(scene())


def test_project_is_no_stranger_to_a_redis_that_remembers(
    own_redis: redis_server.Server, nodes: Callable[[], Shared]
) -> None:
    async def scene() -> None:
        node = nodes()
        for _ in range(3):
            assert (await node.begin(next(wants(Limits(concurrent_calls=1))))).reason is None
        await node.close()

    asyncio.run(scene())


def test_nodes_take_turns_at_asking_the_store_for_each_budget(
    nodes: Callable[[], Shared],
) -> None:
    async def scene() -> None:
        first, second = nodes(), nodes()
        one, two = (next(spans(next(wants(Limits(dollars_per_day=Decimal(1)))))) for _ in "ab")
        assert await first.our_turn([one]) == [one]
        assert await second.our_turn([one, two]) == [two]
        await first.close()
        await second.close()

    asyncio.run(scene())
