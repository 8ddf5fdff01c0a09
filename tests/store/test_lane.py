"""Questions to a store that hangs: each is answered in time, and other lanes go on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from standpipe.errors import StoreUnavailable
from standpipe.store import lane
from standpipe.store.lane import Lane


def test_question_to_a_store_that_hangs_is_given_up_and_others_go_on() -> None:
    async def ask() -> None:
        hanging, free = (Lane(name, threads=1, patience=0.2) for name in ("hanging", "free"))
        waits = [asyncio.create_task(hanging.ask(held.wait)) for _ in range(20)]
        assert await free.ask(lambda: "an answer") == "an answer"
        for wait in waits:
            with pytest.raises(StoreUnavailable, match="did not answer"):
                await wait
        held.set()
        assert await Lane("more", threads=1, patience=60.0).ask(int, "7") == 7

    held = threading.Event()
    asyncio.run(asyncio.wait_for(ask(), 60))


def test_what_a_verb_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(Lane("one", threads=1, patience=60.0).ask(int, "no number"))


def test_too_many_questions_are_answered_at_once() -> None:
    async def ask() -> None:
        full = Lane("full", threads=1, patience=60.0)
        waits = [asyncio.create_task(full.ask(held.wait)) for _ in range(lane.MOST)]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="too many"):
            await full.ask(held.wait)
        held.set()
        assert all(await asyncio.gather(*waits))
        assert await full.ask(held.wait)

    held = threading.Event()
    asyncio.run(asyncio.wait_for(ask(), 60))
