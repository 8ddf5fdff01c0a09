"""Calls of whose end nobody tells: their money counts until it is known what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest
import redis_server
from limits.conftest import Clock, MakeLedger
from limits.limiting import wants
from limits.test_ledger import AT, DOLLAR, Caller, play, spent
from msgspec.structs import replace

from standpipe.limits.ledger import Ledger, spans
from standpipe.limits.limits import Limits
from standpipe.limits.messages import End, Want
from standpipe.limits.shared import LEASE_S, Shared

A_HUNDRED = Limits(dollars_per_day=Decimal(100))
BY = "there/worker"


async def lost(caller: Caller, cost: int) -> Want:
    """Begin a call, and lose it."""
    want = replace(caller.want(cost=cost), by=BY)
    assert await caller.begin(want) is None
    await caller.ledger.lose(want)
    return want


def test_what_a_lost_call_held_is_spent_until_the_store_has_it(make_ledger: MakeLedger) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, A_HUNDRED)
        want = await lost(caller, 5 * DOLLAR)
        (span,) = spans(want)
        assert await ledger.ended(span) == {want.call: BY}
        assert await spent(caller) == 5 * DOLLAR
        await ledger.lose(want)  # told twice
        await ledger.settle(span, 3 * DOLLAR, [want.call])
        assert await ledger.ended(span) == {}
        assert await spent(caller) == 3 * DOLLAR

    play(make_ledger, scene)


def test_what_a_lost_call_held_comes_back_if_it_will_never_be_stored(
    make_ledger: MakeLedger,
) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, A_HUNDRED)
        one, other = await lost(caller, 5 * DOLLAR), await lost(caller, 7 * DOLLAR)
        (span,) = spans(one)
        await ledger.settle(span, 0, [one.call])
        assert await ledger.ended(span) == {other.call: BY}
        assert await spent(caller) == 7 * DOLLAR

    play(make_ledger, scene)


def test_all_else_of_a_lost_call_comes_back_at_once(make_ledger: MakeLedger) -> None:
    async def scene(ledger: Ledger) -> None:
        limits = Limits(concurrent_calls=1, requests_per_minute=1, tokens_per_minute=10)
        caller = Caller(ledger, limits)
        for _ in range(3):
            await ledger.lose(await caller.take(tokens=10))
        await caller.take(tokens=10)

    play(make_ledger, scene)


def test_lost_call_that_is_told_to_have_ended_counts_with_what_it_cost(
    make_ledger: MakeLedger,
) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, A_HUNDRED)
        cheap, free = await lost(caller, 5 * DOLLAR), await lost(caller, 5 * DOLLAR)
        (span,) = spans(cheap)
        await caller.end(cheap, cost=2 * DOLLAR)
        await caller.end(free)
        assert await ledger.ended(span) == {cheap.call: ""}
        assert await spent(caller) == 2 * DOLLAR

    play(make_ledger, scene)


def test_lost_call_that_is_there_again_counts_once(make_ledger: MakeLedger) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(dollars_per_day=Decimal(8)))
        want = await lost(caller, 5 * DOLLAR)
        (span,) = spans(want)
        await ledger.begin(replace(want, has_begun=True))
        assert await ledger.ended(span) == {}
        # Five dollars are held, and not spent: there is room for one more, and then not.
        second = await caller.take(cost=5 * DOLLAR)
        assert await caller.begin(caller.want()) == "held"
        for each in (want, second):
            await caller.end(each, cost=2 * DOLLAR)
        assert await spent(caller) == 4 * DOLLAR

    play(make_ledger, scene)


def test_call_that_was_lost_before_the_store_was_asked_counts_beside_what_it_has(
    make_ledger: MakeLedger,
) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, A_HUNDRED)
        want = replace(caller.want(cost=5 * DOLLAR, begun=True), by=BY)
        await ledger.begin(want)
        await ledger.lose(want)
        (span,) = spans(want)
        assert await ledger.unknown(want) == [span]
        await ledger.settle(span, 4 * DOLLAR, [])
        assert await spent(caller) == 9 * DOLLAR

    play(make_ledger, scene)


def test_alert_is_sent_for_what_a_lost_call_cost_and_not_for_what_it_held(
    make_ledger: MakeLedger,
) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(dollars_per_day=Decimal(10)))
        cheap = await lost(caller, 9 * DOLLAR)
        (span,) = spans(cheap)
        assert await ledger.settle(span, DOLLAR, [cheap.call]) == []
        dear = await lost(caller, 9 * DOLLAR)
        crossed = await ledger.settle(span, 9 * DOLLAR, [dear.call])
        assert [(each.threshold, each.spent) for each in crossed] == [(80, 9 * DOLLAR)]

    play(make_ledger, scene)


@pytest.fixture
def new_node(redis_run: redis_server.Server, clock: Clock) -> Callable[[], Shared]:
    """Return what makes nodes of one Redis and one clock."""
    return lambda: Shared(redis_run.url, clock=clock)


def test_money_of_a_node_that_says_nothing_counts_in_the_day_of_its_call(
    new_node: Callable[[], Shared], clock: Clock
) -> None:
    async def scene() -> None:
        dead, node = new_node(), new_node()
        limits = Limits(concurrent_calls=1, dollars_per_day=Decimal(1))
        today = replace(next(wants(limits, at=AT, cost=DOLLAR // 2)), by=BY)
        tomorrow = replace(today, call=today.call[::-1], at=AT + 86_400_000_000, cost=0)
        for want in (today, tomorrow):
            (span,) = await node.unknown(want)
            await node.settle(span, 0, [])
        assert (await dead.begin(today)).reason is None
        await dead.close()
        assert (await node.begin(tomorrow)).reason == "concurrent"
        clock.now += LEASE_S + 1
        assert (await node.begin(tomorrow)).reason is None
        assert [await node.ended(next(spans(each))) for each in (today, tomorrow)] == [
            {today.call: BY},
            {},
        ]
        await node.close()

    asyncio.run(scene())


def test_node_that_was_only_held_up_counts_its_calls_once(
    new_node: Callable[[], Shared], clock: Clock
) -> None:
    async def scene() -> None:
        paused, node = new_node(), new_node()
        calls = wants(Limits(dollars_per_day=Decimal(1)), cost=DOLLAR * 2 // 5)
        first, second = replace(next(calls), by=BY), next(calls)
        (span,) = await node.unknown(first)
        await node.settle(span, 0, [])
        assert (await paused.begin(first)).reason is None
        clock.now += LEASE_S + 1
        assert (await node.begin(second)).reason is None
        assert await node.ended(span) == {first.call: BY}
        await paused.keep([first])
        assert await node.ended(span) == {}
        # Two calls hold less than all of it, and nothing is spent.
        assert (await node.begin(next(calls))).reason is None
        await paused.end(first, End(first.call, first.project), DOLLAR // 10)
        assert await node.ended(span) == {first.call: ""}
        await paused.close()
        await node.close()

    asyncio.run(scene())
