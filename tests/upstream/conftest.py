from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import misbehaving
import pytest
import uvloop

Run = Callable[[Coroutine[Any, Any, None]], None]

_LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=list(_LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on each kind of event loop; 30 s guard against hangs."""

    async def guarded(main: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(30):
            await main

    def on_loop(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=_LOOPS[request.param]) as runner:
            runner.run(guarded(main))

    return on_loop


@pytest.fixture
def upstream() -> Iterator[misbehaving.Misbehaving]:
    with misbehaving.running() as state:
        yield state
