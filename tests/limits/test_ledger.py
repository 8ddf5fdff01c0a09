"""What is counted, in memory and in Redis: the same scenes for both."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal

import pytest
from limits.conftest import Clock, MakeLedger
from msgspec.structs import replace

from standpipe.limits.ledger import Crossing, Ledger, spans
from standpipe.limits.limits import Limits, checked
from standpipe.limits.messages import End, Reason, Subject, Want
from standpipe.wire.ids import new_id

DOLLAR = 10**12
#: In microseconds: 14 November 2023.
AT = 1_700_000_000_000_000

Play = Callable[[Ledger], Awaitable[None]]


def play(make: MakeLedger, scene: Play) -> None:
    async def whole() -> None:
        ledger = make()
        try:
            await scene(ledger)
        finally:
            await ledger.close()

    asyncio.run(whole())


class Caller:
    """Somebody who is held to limits, with a project that may be too."""

    def __init__(self, ledger: Ledger, limits: Limits, project: Limits | None = None) -> None:
        self.ledger = ledger
        self.project = new_id()
        self.subjects = [Subject("key", new_id(), limits)]
        if project is not None:
            self.subjects.append(Subject("project", self.project, project))

    def want(self, tokens: int = 0, cost: int = 0, at: int = AT, *, begun: bool = False) -> Want:
        return Want(
            new_id(), self.project, tuple(self.subjects), at, tokens, cost=cost, has_begun=begun
        )

    async def begin(self, want: Want) -> Reason | None:
        for span in await self.ledger.unknown(want):
            await self.ledger.settle(span, 0, [])
        return (await self.ledger.begin(want)).reason

    async def take(self, tokens: int = 0, cost: int = 0) -> Want:
        want = self.want(tokens, cost)
        assert await self.begin(want) is None
        return want

    async def end(
        self, want: Want, tokens: int = 0, cost: int = 0, *, counts: bool = True
    ) -> list[Crossing]:
        end = End(want.call, self.project, tokens, counts=counts)
        return await self.ledger.end(want, end, cost)


def test_no_more_requests_than_the_limit_begin_in_any_minute(
    make_ledger: MakeLedger, clock: Clock
) -> None:
    async def scene(ledger: Ledger) -> None:
        caller, rng, began = Caller(ledger, Limits(requests_per_minute=10)), random.Random(7), []
        for _ in range(150):
            clock.now += rng.random() * 6
            want = caller.want()
            if await caller.begin(want) is None:
                began.append(clock.now)
                await caller.end(want)
        for first in began:
            assert sum(first <= each < first + 60 for each in began) <= 10
        assert len(began) > 60  # and no fewer than it should

    play(make_ledger, scene)


def test_refused_call_may_begin_after_the_told_wait(make_ledger: MakeLedger, clock: Clock) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(requests_per_minute=2, tokens_per_minute=100))
        await caller.end(await caller.take(60), 60)
        clock.now += 10.5
        await caller.end(await caller.take(30), 30)
        for _ in range(3):
            verdict = await ledger.begin(caller.want(50))
            if verdict.reason is None:
                break
            assert verdict.wait
            clock.now += verdict.wait + 0.001
        else:
            raise AssertionError("the wait was too short")
        assert verdict.requests is not None
        assert verdict.tokens is not None
        assert (verdict.requests.limit, verdict.requests.remaining) == (2, 0)
        assert (verdict.tokens.limit, verdict.tokens.remaining) == (100, 20)
        assert 60 <= verdict.requests.reset <= 61

    play(make_ledger, scene)


def test_tokens_count_as_estimated_and_then_as_used(make_ledger: MakeLedger, clock: Clock) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(tokens_per_minute=100))
        first = await caller.take(90)
        assert await caller.begin(caller.want(20)) == "tokens"
        await caller.end(first, 10)
        second = await caller.take(90)
        clock.now += 30
        await caller.end(second, 95)
        # What was more than estimated counts from when it was known.
        clock.now += 31.5
        assert await caller.begin(caller.want(96)) == "tokens"
        assert await caller.begin(caller.want(95)) is None
        assert (await ledger.begin(caller.want(101))).wait is None

    play(make_ledger, scene)


def test_calls_at_a_time_are_those_that_have_not_ended(make_ledger: MakeLedger) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(concurrent_calls=2))
        first, _ = await caller.take(), await caller.take()
        assert await caller.begin(caller.want()) == "concurrent"
        await caller.end(first)
        await caller.end(first)  # told twice
        await caller.take()
        assert await caller.begin(caller.want()) == "concurrent"

    play(make_ledger, scene)


def test_failed_call_gives_its_request_back(make_ledger: MakeLedger) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(requests_per_minute=1, tokens_per_minute=50))
        for _ in range(3):
            await caller.end(await caller.take(50), counts=False)
        await caller.end(await caller.take(50), 1)
        assert await caller.begin(caller.want(1)) == "requests"

    play(make_ledger, scene)


@pytest.mark.parametrize("period", ["day", "month"])
def test_budget_is_held_by_open_calls_and_spent_by_ended_ones(
    make_ledger: MakeLedger, period: str
) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, checked({f"dollars_per_{period}": "1.00"}))
        first = await caller.take(cost=DOLLAR * 6 // 10)
        second = await caller.take(cost=DOLLAR * 6 // 10)
        assert await caller.begin(caller.want()) == "held"
        assert await caller.end(first, cost=DOLLAR // 2) == []
        crossed = await caller.end(second, cost=DOLLAR // 2)
        assert [each.threshold for each in crossed] == [80, 100]
        assert {each.spent for each in crossed} == {DOLLAR}
        assert await caller.begin(caller.want()) == period
        # The next period is another.
        assert await caller.begin(caller.want(at=AT + 40 * 86_400_000_000)) is None

    play(make_ledger, scene)


def test_each_call_is_counted_once_whoever_tells_of_it_first(make_ledger: MakeLedger) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(dollars_per_day=Decimal(100)))
        wants = [await caller.take() for _ in range(3)]
        (span,) = spans(wants[0])
        for want in wants[:2]:
            await caller.end(want, cost=3 * DOLLAR)
        assert {*await ledger.ended(span)} == {wants[0].call, wants[1].call}
        # The first is stored; so is a call of five dollars that nobody has told.
        await ledger.settle(span, 8 * DOLLAR, [wants[0].call])
        assert [*await ledger.ended(span)] == [wants[1].call]
        assert await spent(caller) == 11 * DOLLAR
        # Who has read less has read earlier.
        await ledger.settle(span, 0, [])
        assert await spent(caller) == 11 * DOLLAR
        await ledger.settle(span, 11 * DOLLAR, [wants[1].call])
        await caller.end(wants[2], cost=2 * DOLLAR)
        assert await spent(caller) == 13 * DOLLAR
        assert [*await ledger.ended(span)] == [wants[2].call]

    play(make_ledger, scene)


async def spent(caller: Caller) -> int:
    """Return what a caller has spent: the least budget that is not there any more."""
    subject, low, high = caller.subjects[0], 0, 100
    while low < high:
        budget = (low + high + 1) // 2
        caller.subjects[0] = Subject("key", subject.id, Limits(dollars_per_day=Decimal(budget)))
        is_over = (await caller.ledger.begin(caller.want())).reason == "day"
        low, high = (budget, high) if is_over else (low, budget - 1)
    caller.subjects[0] = subject
    return low * DOLLAR


def test_what_ended_before_the_store_was_asked_is_counted_with_what_it_has(
    make_ledger: MakeLedger,
) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(dollars_per_day=Decimal(100)))
        wants = [caller.want(begun=True) for _ in range(2)]
        (span,) = spans(wants[0])
        for want in wants:
            await ledger.begin(want)
            assert await caller.end(want, cost=4 * DOLLAR) == []
        assert await ledger.unknown(wants[0]) == [span]
        await ledger.settle(span, 9 * DOLLAR, [wants[0].call])
        assert await ledger.unknown(wants[0]) == []
        assert await spent(caller) == 13 * DOLLAR

    play(make_ledger, scene)


def test_threshold_that_is_passed_by_what_the_store_has_is_told(make_ledger: MakeLedger) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(dollars_per_day=Decimal(10)))
        (span,) = spans(await caller.take())
        (crossed,) = await ledger.settle(span, 9 * DOLLAR, [])
        assert (crossed.threshold, crossed.spent) == (80, 9 * DOLLAR)
        assert await ledger.settle(span, 9 * DOLLAR, []) == []

    play(make_ledger, scene)


def test_key_and_project_must_both_have_room(make_ledger: MakeLedger) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(requests_per_minute=5), Limits(requests_per_minute=3))
        other = Caller(ledger, Limits(requests_per_minute=5), Limits(requests_per_minute=3))
        other.project, other.subjects[1] = caller.project, caller.subjects[1]
        for _ in range(2):
            await caller.take()
        await other.take()
        verdict = await ledger.begin(caller.want())
        assert (verdict.reason, verdict.kind, verdict.limit) == ("requests", "project", "3")
        # What the project refuses is not counted for the key.
        assert verdict.requests is not None
        assert verdict.requests.remaining == 0
        assert await other.begin(other.want()) == "requests"

    play(make_ledger, scene)


def test_call_that_has_begun_is_counted_whatever_its_limits(make_ledger: MakeLedger) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(concurrent_calls=1))
        want = caller.want(begun=True)
        for _ in range(3):
            assert (await ledger.begin(want)).reason is None
        await ledger.begin(caller.want(begun=True))
        assert await caller.begin(caller.want()) == "concurrent"
        await caller.end(want)
        assert await caller.begin(caller.want()) == "concurrent"

    play(make_ledger, scene)


def test_parts_of_a_call_take_no_place_and_what_they_take_counts(
    make_ledger: MakeLedger,
) -> None:
    async def scene(ledger: Ledger) -> None:
        limits = Limits(concurrent_calls=1, requests_per_minute=5, dollars_per_day=Decimal(1))
        caller = Caller(ledger, limits, Limits(concurrent_calls=1))
        whole = await caller.take()
        parts = [replace(caller.want(cost=DOLLAR // 2), is_part=True) for _ in range(3)]
        found = [await caller.begin(want) for want in parts]
        assert found == [None, None, "held"]
        assert await caller.begin(caller.want()) == "held"
        await caller.end(parts[0])
        assert await caller.begin(caller.want()) == "concurrent"
        # Once more makes no difference.
        await caller.end(parts[0])
        await caller.end(whole)
        next_one = await caller.take()
        await caller.end(parts[1])
        assert await caller.begin(caller.want()) == "concurrent"
        await caller.end(next_one)
        await caller.take()
        assert await caller.begin(replace(caller.want(), is_part=True)) == "requests"

    play(make_ledger, scene)


def test_large_sums_are_exact(make_ledger: MakeLedger) -> None:
    async def scene(ledger: Ledger) -> None:
        caller = Caller(ledger, Limits(dollars_per_day=Decimal(9_000_000)))
        want = caller.want(cost=1)
        (span,) = spans(want)
        # Redis adds with 64 bits and compares with 53: it may be wrong by a billionth of a dollar.
        await ledger.settle(span, 9_000_000 * DOLLAR - 3003, [])
        assert await caller.begin(want) is None
        assert await caller.end(want, cost=2) == []
        (crossed,) = await caller.end(await caller.take(cost=1), cost=3001)
        assert (crossed.threshold, crossed.spent) == (100, 9_000_000 * DOLLAR)

    play(make_ledger, scene)


async def end_somehow(caller: Caller, want: Want, rng: random.Random) -> int:
    """Let a call end, fail or be lost; return what it cost, whether or not that is told."""
    kind = rng.choice(("settled", "failed", "worker gone"))
    cost = 0 if kind == "failed" else rng.randint(0, want.cost)
    if kind == "worker gone":
        await caller.ledger.lose(want)
    else:
        await caller.end(want, rng.randint(0, 40), cost, counts=kind == "settled")
    return cost


async def store(caller: Caller, stored: int, calls: Iterable[str]) -> None:
    """Let all that a caller spent be known to be stored."""
    for span in spans(caller.want()):
        await caller.ledger.settle(span, stored, list(calls))


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_nothing_leaks_and_no_budget_is_exceeded_by_more_than_a_call(
    make_ledger: MakeLedger, clock: Clock, seed: int
) -> None:
    rng = random.Random(seed)
    most = DOLLAR // 50

    async def scene(ledger: Ledger) -> None:
        limits = Limits(concurrent_calls=5, tokens_per_minute=500, dollars_per_day=Decimal("0.5"))
        caller = Caller(ledger, limits, Limits(concurrent_calls=6, dollars_per_month=Decimal(1)))
        there: list[Want] = []
        #: What the store has, and what it will have of which calls.
        stored, noted = 0, dict[str, int]()
        for _ in range(250):
            clock.now += rng.choice((0.0, 0.4, 3.0))
            if rng.random() < 0.05:
                stored += sum(noted.values())
                await store(caller, stored, noted)
                noted.clear()
            elif there and rng.random() < 0.5:
                want = there.pop(rng.randrange(len(there)))
                noted[want.call] = await end_somehow(caller, want, rng)
            else:
                want = caller.want(rng.randint(0, 60), rng.randint(0, most))
                if await caller.begin(want) is None:
                    there.append(want)
            assert len(there) <= 5
            assert stored + sum(noted.values()) <= DOLLAR // 2 + most
        for want in there:
            await caller.end(want, counts=False)
        await store(caller, stored + sum(noted.values()), noted)
        assert [await ledger.ended(span) for span in spans(caller.want())] == [{}, {}]
        clock.now += 61
        free = caller.subjects[0] = Subject(
            "key", caller.subjects[0].id, Limits(concurrent_calls=1)
        )
        del free
        wants = [caller.want() for _ in itertools.repeat(None, 2)]
        assert [await caller.begin(want) for want in wants] == [None, "concurrent"]

    play(make_ledger, scene)
