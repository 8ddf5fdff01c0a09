"""Judges probed: asked again, and of answers that are longer and say no more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from standpipe.cli import alignment_rows, output, own_server
from standpipe.cli.alignment_table import figure
from standpipe.config import Settings
from standpipe.criteria import alignment, alignment_report, pairwise, probes
from standpipe.criteria.case import Case
from standpipe.criteria.definition import Judged
from standpipe.criteria.probes import Choice
from standpipe.errors import ConfigError
from standpipe.store.alignment import AlignmentRow

Json = dict[str, Any]

_CHAT = "/api/v1/chat/completions"
_SWAYS = {True: "sways it", False: "may not sway it"}
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


def run_pairs(
    settings: Settings, name: str, definition: Judged, rows: Sequence[AlignmentRow], most: int
) -> Json:
    """Return what came of both probes of a judge that chooses; ConfigError where it does not.

    It is shown at most `most` pairs of rows that answer the same, and as many rows with padding.
    """
    cases = [alignment.case(row) for row in rows]
    pairs = pairwise.pairs(cases, most)
    free = asyncio.Semaphore(alignment_rows.PARALLEL)

    async def choose(first: Case, second: Case) -> Choice:
        body = {**pairwise.request(definition, first, second), "metadata": {"criterion": name}}
        async with free:
            said = await asyncio.to_thread(own_server.post, settings, _CHAT, body)
        choice = pairwise.choice(said)
        if choice is None:
            raise ConfigError("the judge named neither of two answers, and no tie")
        return choice

    async def both() -> Json:
        places = await probes.places(pairs, choose)
        lengths = await probes.lengths(cases[:most], choose)
        figures = alignment_report.figures
        same, first = figures(places.consistent), figures(places.first)
        shown = {"pairs": len(pairs), "consistent": same, "first": first}
        padding = {"rows": len(cases[:most]), "decided": lengths.decided}
        return {
            "places": {**shown, "real": places.is_biased},
            "padding": {**padding, "padded": figures(lengths.padded), "real": lengths.is_biased},
        }

    return asyncio.run(both())


def show_pairs(said: Json) -> None:
    """Print what came of both probes of a judge that chooses."""
    places, padding = said["places"], said["padding"]
    same, first, padded = map(figure, (places["consistent"], places["first"], padding["padded"]))
    console = output.console()
    again = f"Shown {places['pairs']} pairs in both orders, it chooses the same of {same}."
    if not places["pairs"]:
        again = "No two rows answer the same, so there are no pairs to show."
    console.print(output.folded(again))
    if places["first"]["value"] is not None:
        where = f"Of the others it chooses what is shown first of {first}: the place "
        console.print(output.folded(f"{where}{_SWAYS[places['real']]}."))
    told = f"Of {padding['rows']} answers it tells {padding['decided']} from the same with padding"
    which = f", and chooses the padded one of {padded}: length {_SWAYS[padding['real']]}"
    console.print(output.folded(f"{told}{which if padding['decided'] else ''}."))


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
