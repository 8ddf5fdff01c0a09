"""The page of a run: tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from speed.figures import Figures
from speed.goals import GOALS
from speed.rows import DIRECT, OURS, TARGETS

Json = dict[str, Any]
NONE = "-"


class Column(NamedTuple):
    """A figure of each target."""

    head: str
    measure: str
    figure: str
    #: Told beside what the provider alone takes.
    is_added: bool = False


def _each(
    measures: Sequence[str], told: str, figure: str, *, is_added: bool = False
) -> list[Column]:
    return [Column(told.format(x.partition("/")[2]), x, figure, is_added) for x in measures]


_CLOSED = ("closed/1", "closed/32", "closed/64", "closed/1024")
_OPEN = ("open/100", "open/500", "open/1000")
_BODIES = ("bodies/32 KB", "bodies/1 MB")
_STREAMS = ("streams/16", "streams/256")
TABLES: dict[str, list[Column]] = {
    "As many calls as it can take, by connections": [
        *_each(_CLOSED, "calls/s, {}", "rate"),
        *_each(_CLOSED, "µs of processor a call, {}", "cpu_us"),
    ],
    "How long calls take meanwhile, and memory": [
        *_each(("closed/1", "closed/32"), "p50 ms, {}", "p50_ms"),
        *_each(("closed/1", "closed/32"), "p99 ms, {}", "p99_ms"),
        *_each(("closed/64", "closed/1024"), "MB, {}", "pss_mb"),
    ],
    "Milliseconds added at a fixed rate of calls, by calls/s": [
        *_each(_OPEN, "p50, {}", "p50_ms", is_added=True),
        *_each(_OPEN, "p99, {}", "p99_ms", is_added=True),
    ],
    "Larger requests (32 KB on 32 connections, 1 MB on 8)": [
        *_each(_BODIES, "calls/s, {}", "rate"),
        *_each(_BODIES, "µs of processor a call, {}", "cpu_us"),
    ],
    "Streams of 64 chunks, 5 ms apart, by streams at a time": [
        *_each(_STREAMS, "chunks/s, {}", "rate"),
        *_each(_STREAMS, "µs of processor a chunk, {}", "cpu_us"),
        *_each(_STREAMS, "ms to the first chunk, added, {}", "first_ms", is_added=True),
        *_each(_STREAMS, "p99 ms of a chunk, added, {}", "chunk_p99_ms", is_added=True),
    ],
}


def page(found: Json) -> str:
    """Return all that is to be told of a run."""
    figures = Figures(found)
    parts = [
        "# Speed\n",
        _machine(found),
        "## What it is to show\n",
        _goals(figures),
        *(f"## {title}\n\n{_table(figures, columns)}" for title, columns in TABLES.items()),
        "## The drain beside it\n",
        _drain(figures),
        "## Until the first answer\n",
        _starts(found),
        "## What each does for a call\n",
        _does(figures),
        _trouble(found),
    ]
    return "\n".join(part for part in parts if part)


def _machine(found: Json) -> str:
    machine = found["machine"]
    load = ", ".join(map(str, machine["load_before"]))
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
        f"{machine['system']}, {python(machine)}, node {machine['node'] or 'none'}. "
        f"Load before: {load}.\n"
        f"Medians of {found['rounds']} rounds of {found['seconds']:g} s{_longer(found)}; made by "
        "`make bench` from [speed.json](speed.json), which has every sample and who else was "
        "busy.\n"
    )


def python(machine: Json) -> str:
    """Return which Python a machine has, and how it was built where that is known."""
    built = machine.get("python_built")
    return f"Python {machine['python']}" + (f" ({built})" if built else "")


def _longer(found: Json) -> str:
    """Return which samples had seconds of their own."""
    told = {
        f"{each['target']}, {each['measure']}: {each['seconds']:g} s": None
        for each in found["samples"]
        if each["seconds"] != found["seconds"]
    }
    return f" ({'; '.join(told)})" if told else ""


def _table(figures: Figures, columns: Sequence[Column]) -> str:
    rows = []
    for target in figures.targets:
        values = [_value(figures, target, column) for column in columns]
        if any(value is not None for value in values):
            rows.append([target, *map(number, values)])
    return table(["", *(column.head for column in columns)], rows)


def _value(figures: Figures, target: str, column: Column) -> float | None:
    if not column.is_added:
        return figures.get(target, column.measure, column.figure)
    if target == DIRECT:
        return None
    return figures.added(target, column.measure, column.figure)


def _goals(figures: Figures) -> str:
    rows = []
    for goal in GOALS:
        value = goal.read(figures)
        met = NONE if value is None else "yes" if goal.is_met(value) else "no"
        rows.append([goal.what, goal.told, number(value), met])
    return table(["", "goal", "found", "met"], rows)


def _drain(figures: Figures) -> str:
    costs = [
        [
            f"{target}, {measure.partition('/')[2]} connections",
            *(number(each) for each in (worker, drain, worker + drain)),
        ]
        for target in figures.targets
        for measure in ("closed/32", "closed/64")
        if (worker := figures.get(target, measure, "cpu_us"))
        and (drain := figures.get(target, measure, "drain_us")) is not None
    ]
    told = table(["µs of processor a call", "worker", "drain", "sum"], costs)
    found = figures.found
    for each in found["drain"]:
        lag, seconds = each["lag_ms"], each["saturated"]["seconds"]
        told += (
            f"\nAt 1,000 calls/s the last record stored was {lag['p50']:g} ms old (median; most "
            f"{lag['max']:g} ms). After {seconds:g} s at saturation {each['backlog']:,} records "
            f"waited, and were stored {each['backlog_s']:g} s later."
        )
    for each in found["rounds_told"]:
        if "stored" in each and each["target"] == OURS:
            told += f"\n{each['answered']:,} calls were answered, {each['stored']:,} are stored."
    return told + "\n"


def _starts(found: Json) -> str:
    rows = [[each["target"], number(each["first_answer_s"])] for each in found["starts"]]
    return table(["second start, all cores", "s to the first answer of a call"], rows)


def _does(figures: Figures) -> str:
    rows = [[target, TARGETS[target].does] for target in figures.targets]
    return table(["", "for each call"], rows)


def _trouble(found: Json) -> str:
    lines = [f"- {name} is left out: {why}" for name, why in found["left_out"].items()]
    lines += [f"- {each['target']}, {each['what']}: {each['why']}" for each in found["failed"]]
    return "## What was not measured\n\n" + "\n".join(lines) + "\n" if lines else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---|" * (len(head) - 1)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    """Return a figure with three digits that matter, or more before the point."""
    if value is None:
        return NONE
    if abs(value) >= 100:
        return f"{value:,.0f}"
    places = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{places}f}"
