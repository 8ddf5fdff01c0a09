"""The process that checks JSON: it answers the question that was asked, whatever went before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from standpipe.calls.emulation.checker import Checker

SCHEMA: dict[str, Any] = {"type": "integer"}
ENDLESS: dict[str, Any] = {"type": "string", "pattern": "^(a+)+$"}
TEXT = '"' + "a" * 60 + '!"'


@pytest.mark.parametrize("pause", [0.0, 0.05, 1.0])
def test_a_check_that_is_left_does_not_answer_for_the_next(pause: float) -> None:
    async def scenario() -> None:
        checker = Checker()
        try:
            left = asyncio.create_task(checker.faults(ENDLESS, TEXT))
            await asyncio.sleep(pause)
            left.cancel()
            await asyncio.wait([left])
            assert await checker.faults(SCHEMA, "1") == []
        finally:
            await checker.close()

    asyncio.run(scenario())


def test_checks_wait_for_one_another() -> None:
    async def scenario() -> None:
        checker = Checker()
        try:
            texts = [str(n) if n % 2 else f'"{n}"' for n in range(20)]
            found = await asyncio.gather(*(checker.faults(SCHEMA, text) for text in texts))
            assert [bool(faults) for faults in found] == [n % 2 == 0 for n in range(20)]
        finally:
            await checker.close()

    asyncio.run(scenario())


def test_a_process_that_died_is_started_again() -> None:
    async def scenario() -> None:
        checker = Checker()
        assert await checker.schema_fault(SCHEMA) is None
        await checker.close()
        assert await checker.schema_fault({"type": "objekt"}) is not None
        await checker.close()

    asyncio.run(scenario())
