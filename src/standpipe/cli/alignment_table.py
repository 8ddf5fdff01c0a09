"""How far versions agree with people, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from standpipe.cli import output
from standpipe.criteria.agreement import MEASURES

Json = dict[str, Any]

_COUNTS = ("judged", "errors", "waiting")
#: Characters of the first column, and of that of a version.
_FIRST, _COLUMN = 11, 19


def show(said: Json, version: str) -> None:
    """Print the versions that judged any row, what of one there is to say, and how two compare."""
    console = output.console()
    if not said["versions"]:
        console.print(f"{said['labelled']} of {said['rows']} rows are labelled, and none is judged")
        return
    most = max(1, (console.width - _FIRST) // _COLUMN)
    console.print(_table(said["versions"][-most:]))
    if (left := len(said["versions"]) - most) > 0:
        console.print(f"{left} older versions are told by --json")
    for each in said["versions"]:
        if each["version"] == version:
            word = "is aligned" if each["aligned"] else "is not aligned"
            console.print(output.folded(f"{version} {word}: {each['reason']}."))
    if said["comparison"]:
        show_comparison(said["comparison"])


def _table(versions: Sequence[Json]) -> Table:
    """Return a table with a column for each version."""
    names = tuple(each["version"] for each in versions)
    table = output.table("", *names, right=names)
    for name in _COUNTS:
        table.add_row(*map(output.cell, (name, *(str(each[name]) for each in versions))))
    for name in MEASURES:
        table.add_row(*map(output.cell, (name, *(figure(each[name]) for each in versions))))
    marks = (("yes", "green") if each["aligned"] else ("no", "") for each in versions)
    table.add_row(output.cell("aligned"), *(output.cell(*mark) for mark in marks))
    return table


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
