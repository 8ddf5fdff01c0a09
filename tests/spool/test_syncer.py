"""The thread that syncs: what is asked of it, how it ends, and what it keeps."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from standpipe.spool.syncer import Syncer

#: A guard against hangs, in seconds.
DEADLINE = 30


def run(work: Callable[[Syncer], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(syncer), DEADLINE)

    syncer = Syncer()
    try:
        asyncio.run(bounded())
    finally:
        syncer.close()


async def done(syncer: Syncer, work: Callable[[], None]) -> Exception | None:
    """Return what the work raised."""
    ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    syncer.do(work, ended.set_result)
    return await ended


def fail() -> None:
    raise ValueError("no disk")


class Payload:
    """Something large that work is about."""

    def work(self) -> None:
        """Do nothing with it."""


def test_work_is_done_in_its_order_by_one_other_thread() -> None:
    async def work(syncer: Syncer) -> None:
        did: list[tuple[int, int]] = []

        def note(number: int) -> None:
            did.append((number, threading.get_ident()))

        await asyncio.gather(*[done(syncer, partial(note, number)) for number in range(100)])
        numbers, threads = zip(*did, strict=True)
        assert numbers == tuple(range(100))
        assert len(set(threads) - {threading.get_ident()}) == 1

    run(work)


def test_who_asked_is_told_what_was_raised_and_the_next_is_done() -> None:
    async def work(syncer: Syncer) -> None:
        assert isinstance(await done(syncer, fail), ValueError)
        assert await done(syncer, lambda: None) is None

    run(work)


def test_nothing_is_kept_of_work_that_is_done() -> None:
    async def work(syncer: Syncer) -> None:
        payload = Payload()
        seen = weakref.ref(payload)
        assert await done(syncer, payload.work) is None
        del payload
        while seen() is not None:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.001)

    run(work)


def test_what_was_asked_for_is_done_before_it_closes_though_its_loop_is_gone() -> None:
    did: list[int] = []
    may_go_on = threading.Event()

    def slow() -> None:
        assert may_go_on.wait(DEADLINE)
        did.append(1)

    async def ask(syncer: Syncer) -> None:
        syncer.do(slow, lambda _: did.append(2))
        syncer.do(slow, lambda _: did.append(2))

    syncer = Syncer()
    asyncio.run(ask(syncer))
    may_go_on.set()
    syncer.close()
    syncer.close()
    assert did == [1, 1]


def test_one_that_is_closed_says_so_to_who_asks() -> None:
    async def work(syncer: Syncer) -> None:
        syncer.close()
        with pytest.raises(RuntimeError, match="closed"):
            await done(syncer, lambda: None)

    run(work)


def test_thread_that_cannot_be_started_is_told_when_it_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    with pytest.raises(RuntimeError, match="can't start"):
        Syncer()
