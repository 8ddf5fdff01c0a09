"""Every choice of an answer judged by every criterion, at the same time and within a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from standpipe.criteria.asking import OnBehalf
from standpipe.criteria.case import Case
from standpipe.criteria.judging import Judging
from standpipe.criteria.ranking import ranked
from standpipe.criteria.selection import Selected
from standpipe.criteria.verdict import Failure, Verdict

Json = dict[str, Any]

#: Judges of one call that are asked at a time.
PARALLEL = 16
_TOO_LATE = 504
_BUG = 500

log = logging.getLogger(__name__)


class Panel:
    """Judges whole answers."""

    def __init__(self, judging: Judging) -> None:
        self._judging = judging

    async def judge(
        self,
        completion: Json,
        cases: Sequence[Case],
        selected: Sequence[Selected],
        whose: OnBehalf,
        *,
        timeout: float,
    ) -> Json:
        """Return a completion with its choices judged and ranked; `cases` has one for each.

        After `timeout` seconds those judges that have not answered are given up. No error of a
        judge is raised: it is a result.
        """
        free = asyncio.Semaphore(PARALLEL)

        async def rule(each: Selected, case: Case) -> Verdict:
            async with free:
                return (await self._judging.rule(each, case, whose)).verdict

        tasks = [[asyncio.create_task(rule(each, case)) for each in selected] for case in cases]
        await _within(timeout, [task for some in tasks for task in some])
        verdicts = [
            {each.slug: _verdict(task, timeout) for each, task in zip(selected, some, strict=True)}
            for some in tasks
        ]
        choices = ranked(completion["choices"], verdicts)
        return _with_usage({**completion, "choices": choices}, verdicts)


async def _within(timeout: float, tasks: list[asyncio.Task[Verdict]]) -> None:
    """Wait for the tasks, and end those that take longer; however this is left, none goes on."""
    if not tasks:
        return
    try:
        await asyncio.wait(tasks, timeout=timeout)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _verdict(task: asyncio.Task[Verdict], timeout: float) -> Verdict:
    if task.cancelled():
        return Failure(_TOO_LATE, f"there was no verdict within {timeout:g} s")
    if error := task.exception():
        log.error("a criterion: a bug", exc_info=error)
        return Failure(_BUG, "internal error")
    return task.result()


def _with_usage(completion: Json, verdicts: Sequence[dict[str, Verdict]]) -> Json:
    """Add the tokens of the judges, where the answer tells its own."""
    usage = completion.get("usage")
    totals: dict[str, int] = {}
    for of_choice in verdicts:
        for name, verdict in of_choice.items():
            if verdict.tokens is not None:
                totals[name] = totals.get(name, 0) + verdict.tokens
    if not isinstance(usage, dict) or not totals:
        return completion
    told = {name: {"total_tokens": total} for name, total in totals.items()}
    return {**completion, "usage": {**usage, "criteria": told}}
