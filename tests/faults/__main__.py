"""The long form: every scenario on every database with every durability; `make faults` runs it.

It writes the tables of docs/durability.md anew, unless only some scenarios were asked for or
something was not as it must be.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import postgres
from faults.nodes import EACH_KILLED, FORGOTTEN, LONG_AWAY, REDIS_AWAY, Nodes, play_nodes
from faults.parity import Parity
from faults.playing import play
from faults.scenarios import LEDGER, SCENARIOS, Scenario
from faults.scene import DURABILITIES, Durability, Scale
from rich.console import Console
from rich.table import Table

from standpipe import __version__

PAGE = Path(__file__).parents[2] / "docs" / "durability.md"
BEGIN, END = "<!-- results -->\n", "<!-- /results -->\n"
#: The ledger comes last, since it has a table of its own.
PLAYED: tuple[Scenario | Nodes, ...] = (
    *SCENARIOS,
    *(EACH_KILLED, LONG_AWAY, FORGOTTEN, REDIS_AWAY),
    LEDGER,
)
LONG = Scale(answers=200, away=30.0, calls=10_000)

_RUN = ("what goes wrong", "database", "durability")
_COLUMNS = (
    *_RUN,
    *("calls", "answered", "rows", "doubled", "answered, lost", "`lost` rows"),
    "cost off by, $",
)
_LEDGER = (*_RUN[1:], "calls", "rows", "by row, $", "by hour, $", "as billed, $")
#: What is printed is as wide as this, whatever the terminal: lines are for looking back at.
_WIDTHS = (40, 10, 10, 6, 8, 6, 7, 14, 6, 13)


@dataclass(frozen=True)
class Run:
    """A scenario somewhere, and what came of it."""

    scenario: Scenario | Nodes
    database: str
    durability: Durability
    parity: Parity

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table of results says of it."""
        parity = self.parity
        unkept = f"{parity.missing}, counted" if parity.counted else str(parity.missing)
        counts = (parity.calls, parity.answered, parity.rows, parity.doubled)
        difference = max(abs(parity.cost - parity.cost_due), abs(parity.cost - parity.cost_by_hour))
        named = (self.scenario.name, self.database, self.durability)
        return (*named, *map(str, counts), unkept, str(parity.lost), f"{difference.normalize():f}")

    @property
    def sums(self) -> tuple[str, ...]:
        """What the table of the ledger says of it."""
        parity = self.parity
        sums = (parity.cost, parity.cost_by_hour, parity.cost_due)
        counts = (parity.calls, parity.rows)
        return (self.database, self.durability, *map(str, counts), *map(str, sums))


def main() -> int:
    """Play, tell as it goes, and write the page; 1 if anything was not as it must be."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", help="scenarios with this in their names")
    only = parser.parse_args().only
    console = Console(width=sum(_WIDTHS) + len(_WIDTHS))
    console.print(_grid(_COLUMNS, "bold"))
    wrong, runs = 0, []
    with postgres.running(durable=True) as server, tempfile.TemporaryDirectory() as folder:
        for number, (scenario, database, durability) in enumerate(_plan(only or "")):
            where = server if database == "PostgreSQL" else None
            home = Path(folder) / str(number)
            with console.status(f"{scenario.name}, {database}, {durability}"):
                parity = _played(scenario, home, where, durability)
            run = Run(scenario, database, durability, parity)
            console.print(_grid(run.cells, "green" if parity.is_exact else "red"))
            for line in parity.wrong:
                console.print(f"  {line}", style="red", markup=False, highlight=False)
            wrong += not parity.is_exact
            runs.append(run)
    if wrong or only:
        console.print(f"{len(runs)} runs, {wrong} not as they must be; the page is as it was")
        return int(wrong > 0)
    page = PAGE.read_text()
    PAGE.write_text(page[: page.index(BEGIN)] + results(runs) + page[page.index(END) + len(END) :])
    console.print(f"{len(runs)} runs, all as they must be; {PAGE.name} is written")
    return 0


def _played(
    scenario: Scenario | Nodes, home: Path, server: postgres.Server | None, durability: Durability
) -> Parity:
    if not isinstance(scenario, Nodes):
        return play(scenario, home, LONG, server=server, durability=durability)
    assert server is not None
    return play_nodes(scenario, home, LONG, server=server, durability=durability)


def _plan(only: str) -> Iterator[tuple[Scenario | Nodes, str, Durability]]:
    for scenario in PLAYED:
        if only in scenario.name:
            yield from itertools.product([scenario], scenario.databases, DURABILITIES)


def results(runs: Sequence[Run]) -> str:
    """Return the tables in Markdown, their markers included."""
    machine = f"{os.cpu_count()} cores, {platform.system()} on {platform.machine()}"
    head = (
        f"Standpipe {__version__}, {datetime.now(UTC):%Y-%m-%d}; {machine}, "
        f"Python {platform.python_version()}; a database was away for {LONG.away:.0f} s.\n"
    )
    ledger = [run for run in runs if run.scenario is LEDGER]
    others = [run for run in runs if run.scenario is not LEDGER]
    parts = (
        head,
        _markdown(_COLUMNS, [run.cells for run in others]),
        "## The ledger\n",
        _markdown(_LEDGER, [run.sums for run in ledger]),
    )
    return BEGIN + "\n".join(parts) + END


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _grid(cells: Sequence[str], style: str) -> Table:
    """Return one line of a table that grows while it is printed."""
    grid = Table.grid(padding=(0, 1))
    for place, width in enumerate(_WIDTHS):
        grid.add_column(width=width, justify="left" if place < len(_RUN) else "right")
    grid.add_row(*cells, style=style)
    return grid


if __name__ == "__main__":
    sys.exit(main())
