"""How far versions agree with people, as tables."""

from __future__ import annotations

from typing import Any

from standpipe.cli import output
from standpipe.criteria.agreement import MEASURES

Json = dict[str, Any]

_HEADS = ("Version", "Rows", "Errors", "Waiting", "Agreement", "Precision", "Recall", "F1", "Kappa")


def show(said: Json) -> None:
    """Print each version that judged any row, and how the last two compare."""
    console = output.console()
    if not said["versions"]:
        console.print(f"{said['labelled']} of {said['rows']} rows are labelled, and none is judged")
        return
    table = output.table(*_HEADS, "", right=_HEADS[1:])
    for each in said["versions"]:
        counts = (str(each[name]) for name in ("judged", "errors", "waiting"))
        cells = (each["version"], *counts, *(figure(each[name]) for name in MEASURES))
        aligned = output.cell("aligned", "green") if each["aligned"] else output.cell("")
        table.add_row(*map(output.cell, cells), aligned)
    console.print(table)
    last = said["versions"][-1]
    word = "is aligned" if last["aligned"] else "is not aligned"
    console.print(output.folded(f"{last['version']} {word}: {last['reason']}."))
    if said["comparison"]:
        show_comparison(said["comparison"])


def show_comparison(said: Json) -> None:
    """Print how two versions compare."""
    difference = said["difference"]
    figures = (
        f"Of {said['rows']} rows, {said['later']} alone is right of {said['gained']} and "
        f"{said['earlier']} alone of {said['lost']}: "
        f"{difference['low']:+.2f} to {difference['high']:+.2f} (95 %)."
    )
    output.console().print(output.folded(said["in_words"]))
    output.console().print(output.folded(figures))


def figure(measure: Json) -> str:
    """Return a figure and its interval, which is all there is where the figure is open."""
    between = f"{measure['low']:.2f}..{measure['high']:.2f}"
    return f"? ({between})" if measure["value"] is None else f"{measure['value']:.2f} ({between})"
