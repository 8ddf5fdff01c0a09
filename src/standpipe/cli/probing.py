"""Judges probed: asked again, and of answers that are longer and say no more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from standpipe.cli import alignment_rows, output
from standpipe.cli.alignment_table import figure
from standpipe.config import Settings
from standpipe.criteria import alignment, alignment_report, probes
from standpipe.criteria.case import Case
from standpipe.errors import ConfigError
from standpipe.store.alignment import AlignmentRow

Json = dict[str, Any]

_PLAIN, _PADDED = "the plain answers", "the padded answers"


def run(settings: Settings, name: str, rows: Sequence[AlignmentRow], passes: float | None) -> Json:
    """Return what came of both probes; ConfigError where the judge fails at a row."""
    least = alignment.PASSES if passes is None else passes
    cases = [alignment.case(row) for row in rows]
    free = asyncio.Semaphore(alignment_rows.PARALLEL)

    async def judge(case: Case) -> bool:
        async with free:
            answer = await asyncio.to_thread(alignment_rows.asked, settings, name, case)
        if answer.status != 200:
            raise ConfigError(str(answer.said.get("message")))
        return float(answer.said["score"]) >= least

    async def both() -> Json:
        again = await probes.retest(cases, judge)
        longer = await probes.length_of_one(cases, judge)
        padding = alignment_report.shown(longer, _PLAIN, _PADDED)
        return {"retest": alignment_report.figures(again), "padding": padding}

    return asyncio.run(both())


def show(said: Json) -> None:
    """Print what came of both probes."""
    padding = said["padding"]
    rows = padding["rows"]
    again = f"Asked twice of {rows} rows, it says the same of {figure(said['retest'])}."
    change = f"With padding, {padding['gained']} more pass and {padding['lost']} more fail: "
    word = "length sways it" if padding["real"] else "that may well be chance"
    console = output.console()
    console.print(output.folded(again))
    console.print(output.folded(f"{change}{word} (p = {padding['p_value']:.2g})."))
