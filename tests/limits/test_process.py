"""The limiter as a process: workers that ask it, die and come back, and its own end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from limits import worker_process
from limits.limiting import Process, limiter, wants

from standpipe.drain.prices import Used
from standpipe.errors import Unavailable
from standpipe.limits import client
from standpipe.limits.client import Limiter
from standpipe.limits.limits import Limits
from standpipe.limits.messages import End, Verdict, Want
from standpipe.limits.service import SETTLE_S
from standpipe.store import Store
from standpipe.store.rows import Batch, Row
from standpipe.wire.record import Usage

Ask = Callable[[Limiter], Awaitable[None]]
PRICES = {"there/model": {"input": "1000", "output": "1000"}}


@pytest.fixture(params=["memory", "redis"])
def spec(request: pytest.FixtureRequest) -> dict[str, str]:
    return {} if request.param == "memory" else {"redis": request.getfixturevalue("redis_run").url}


@pytest.fixture
def process(tmp_path: Path, spec: dict[str, str]) -> Iterator[Process]:
    with limiter(tmp_path, prices=PRICES, **spec) as running:
        yield running


def asking(process: Process, ask: Ask) -> None:
    async def whole() -> None:
        worker = Limiter(process.socket)
        try:
            await ask(worker)
        finally:
            worker.close()

    asyncio.run(whole())


def ended(want: Want, tokens: int = 0, **fields: object) -> End:
    return msgspec.structs.replace(End(want.call, want.project, tokens), **fields)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 (another process's doing)
            await asyncio.sleep(0.02)


def test_no_more_calls_begin_than_may_however_many_workers_ask(process: Process) -> None:
    calls = wants(Limits(requests_per_minute=100, concurrent_calls=10))
    there = most = 0

    async def one(worker: Limiter, want: Want) -> Verdict:
        nonlocal there, most
        while (verdict := await worker.begin(want)).reason == "concurrent":  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        if verdict.reason is None:
            there += 1
            most = max(there, most)
            await asyncio.sleep(0.001)
            there -= 1
            worker.end(ended(want))
        return verdict

    async def ask(first: Limiter) -> None:
        second = Limiter(process.socket)
        workers = [first, second] * 100
        verdicts = await asyncio.gather(*map(one, workers, calls))
        second.close()
        assert Counter(each.reason for each in verdicts) == {None: 100, "requests": 100}
        assert most <= 10

    asking(process, ask)


def test_calls_of_a_killed_worker_come_back(process: Process) -> None:
    calls = wants(Limits(concurrent_calls=3))
    like = msgspec.msgpack.encode(next(calls)).hex()
    argv = [sys.executable, worker_process.__file__, str(process.socket), "5", like]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"3\n"
        asked = 0

        async def ask(worker: Limiter) -> None:
            nonlocal asked
            assert (await worker.begin(next(calls))).reason == "concurrent"
            other.kill()

            async def begins() -> bool:
                return (await worker.begin(next(calls))).reason is None

            for _ in range(3):
                await until(begins)
            assert not await begins()

        asking(process, ask)


def test_new_limiter_learns_what_is_there_and_counts_what_ended_meanwhile(
    process: Process,
) -> None:
    calls = wants(Limits(concurrent_calls=3))

    async def ask(worker: Limiter) -> None:
        there = [next(calls) for _ in range(3)]
        for want in there:
            assert (await worker.begin(want)).reason is None
        process.kill()
        worker.end(ended(there[0]))
        await asyncio.to_thread(process.start)
        last = next(calls)
        assert (await worker.begin(last)).reason is None
        assert (await worker.begin(next(calls))).reason == "concurrent"
        for want in (*there[1:], last):
            worker.end(ended(want))
        assert (await worker.begin(next(calls))).reason is None

    asking(process, ask)


def test_calls_are_refused_while_there_is_no_limiter(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 0.2)
    calls = wants(Limits(concurrent_calls=1))

    async def ask(worker: Limiter) -> None:
        process.kill()
        for _ in range(3):
            with pytest.raises(Unavailable):
                await worker.begin(next(calls))
        await asyncio.to_thread(process.start)
        assert (await worker.begin(next(calls))).reason is None
        assert (await worker.begin(next(calls))).reason == "concurrent"

    asking(process, ask)


def test_call_that_gives_up_before_its_verdict_holds_nothing(process: Process) -> None:
    calls = wants(Limits(concurrent_calls=1))

    async def ask(worker: Limiter) -> None:
        for _ in range(20):
            asked = asyncio.create_task(worker.begin(next(calls)))
            await asyncio.sleep(0)
            asked.cancel()
            await asyncio.wait([asked])
        want = next(calls)
        await until(lambda: begins(worker, want))
        worker.end(ended(want))

    asking(process, ask)


async def begins(worker: Limiter, want: Want) -> bool:
    return (await worker.begin(want)).reason is None


def test_money_is_counted_as_the_reports_have_it(process: Process) -> None:
    process.make_store()
    calls = wants(
        Limits(dollars_per_day=Decimal(1)),
        prompt_tokens=100,
        answer_tokens=400,
        targets=(("there", "model"),),
    )
    usage = Usage(prompt_tokens=100, completion_tokens=150)
    answers = (Used("there", ("model",), usage, None),)

    async def ask(worker: Limiter) -> None:
        # Half a dollar each at most, a quarter in the end.
        first, second = next(calls), next(calls)
        assert await begins(worker, first)
        assert await begins(worker, second)
        assert (await worker.begin(next(calls))).reason == "held"
        for want in (first, second):
            worker.end(ended(want, 250, answers=answers))
        for _ in range(2):
            want = next(calls)
            assert await begins(worker, want)
            worker.end(ended(want, 250, answers=answers))
        refused = await worker.begin(next(calls))
        assert (refused.reason, refused.limit, refused.wait) == ("day", "1", None)

    asking(process, ask)


def test_what_was_spent_is_read_from_the_store(process: Process) -> None:
    calls = wants(Limits(dollars_per_month=Decimal(2)))
    want = next(calls)
    process.make_store()
    with closing(Store.open(process.store_url)) as store:
        spent = (Decimal("1.5"), Decimal("0.5"))
        store.add(Batch(rows=[row(each, cost) for each, cost in zip(calls, spent, strict=False)]))

    async def ask(worker: Limiter) -> None:
        assert (await worker.begin(want)).reason == "month"

    asking(process, ask)


def test_what_is_stored_is_counted_once_whether_or_not_a_worker_told_of_it(
    process: Process,
) -> None:
    limits = Limits(dollars_per_day=Decimal(2))
    calls = wants(limits, prompt_tokens=100, targets=(("there", "model"),))
    answers = (Used("there", ("model",), Usage(prompt_tokens=250), None),)
    process.make_store()

    async def ask(worker: Limiter) -> None:
        told, untold = next(calls), next(calls)
        assert await begins(worker, told)
        worker.end(ended(told, 250, answers=answers))
        with closing(Store.open(process.store_url)) as store:
            await asyncio.to_thread(store.add, Batch(rows=[row(told, Decimal("0.25"))]))

            async def is_spent() -> bool:
                want = next(calls)
                verdict = await worker.begin(want)
                if verdict.reason is None:
                    worker.end(ended(want, counts=False))
                return verdict.reason == "day"

            assert not await is_spent()
            await asyncio.to_thread(store.add, Batch(rows=[row(untold, Decimal("1.5"))]))
            await asyncio.sleep(SETTLE_S)
            assert not await is_spent()
            await asyncio.to_thread(store.add, Batch(rows=[row(next(calls), Decimal("0.25"))]))
            await until(is_spent)

    asking(process, ask)


def test_budget_is_not_believed_to_be_unspent_while_the_store_is_away(process: Process) -> None:
    calls = wants(Limits(dollars_per_month=Decimal(2)))

    async def ask(worker: Limiter) -> None:
        assert (await worker.begin(next(calls))).reason == "away"
        await asyncio.to_thread(process.make_store)
        assert await begins(worker, next(calls))

    asking(process, ask)


@pytest.mark.parametrize(("unpriced", "refusal"), [("allow", None), ("refuse", "unpriced")])
def test_unknown_price_counts_nothing_unless_it_is_refused(
    tmp_path: Path, unpriced: str, refusal: str | None
) -> None:
    calls = wants(Limits(dollars_per_day=Decimal(1)), targets=(("there", "unheard-of"),))

    async def ask(worker: Limiter) -> None:
        assert (await worker.begin(next(calls))).reason == refusal

    with limiter(tmp_path, unpriced=unpriced) as process:
        process.make_store()
        asking(process, ask)


def test_end_of_its_input_ends_it(process: Process) -> None:
    assert process.stop() == 0


def test_path_may_be_longer_than_a_socket_can_have(tmp_path: Path) -> None:
    calls = wants(Limits(concurrent_calls=1))

    async def ask(worker: Limiter) -> None:
        assert await begins(worker, next(calls))

    with limiter(tmp_path / ("long" * 30)) as process:
        asking(process, ask)


def test_redis_that_cannot_be_is_told_without_its_password(tmp_path: Path) -> None:
    process = Process(tmp_path, {"redis": "redis://:secret-canary@host:port"})
    with pytest.raises(AssertionError) as told:
        process.start()
    assert "limits.redis" in str(told.value)
    assert "secret-canary" not in str(told.value)
    process.kill()


def row(want: Want, cost: Decimal) -> Row:
    return Row(
        id=want.call,
        kind="chat",
        project=want.project,
        key=want.subjects[0].id,
        requested_at=want.at,
        received_at=want.at,
        outcome="complete",
        status=200,
        logged=False,
        updated_at=want.at,
        usage=Usage(prompt_tokens=1),
        cost=cost,
    )
