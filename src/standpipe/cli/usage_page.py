"""What was used as a table: a row for each time or group, a bar for what it cost, and their sum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from operator import add

from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from standpipe.cli import output
from standpipe.store.usage import LENGTHS, Sums, UsageQuery, UsageRow

_FIGURES = ("Calls", "Failed", "Prompt", "Answer", "Cached", "Cost")
_HEADS = {"day": "Day (UTC)", "hour": "Hour (UTC)"}
_TIMES = {"day": "%Y-%m-%d", "hour": "%Y-%m-%d %H:00"}
#: A bar is so wide, and a column of it is drawn in eighths.
_WIDTH = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"
#: Rows of a table in which times without a call are shown.
_MOST_FILLED = 400
#: Models that are listed by name.
_LISTED = 5


def show(
    console: Console,
    rows: Sequence[UsageRow],
    asked: UsageQuery,
    names: Mapping[str, str],
    *,
    whole: bool,
) -> None:
    """Print usage; `names` are the keys' by their ids, `whole` sums up all of the time."""
    told = _whole(rows) if whole else _filled(rows, asked)
    total = summed(rows)
    groups = _groups(asked)
    heads = [*([] if whole else [_HEADS[asked.by]]), *groups]
    table = output.table(*heads, *_FIGURES, "", right=_FIGURES, elastic=tuple(groups))
    most = max(_weight(row.sums, total) for row in told)
    for row in told:
        when = [] if whole else [Text(_time(row, asked), style="dim")]
        named = [output.cell(_name(row, group, names)) for group in groups]
        bar = _bar(_weight(row.sums, total), most, ascii_only=console.options.ascii_only)
        table.add_row(*when, *named, *_cells(row.sums), Text(bar, style="cyan"))
    rest = [Text("")] * (len(heads) - 1)
    table.add_row(Text("total", style="bold"), *rest, *_cells(total, "bold"), Text(""))
    console.print(table)


def show_unpriced(console: Console, rows: Iterable[UsageRow]) -> None:
    """Say which models have no price, and what to do; `rows` are those of each model."""
    models = sorted({row.model or "(none)" for row in rows if row.sums.unpriced})
    if not models:
        return
    calls = sum(row.sums.unpriced for row in rows)
    listed = ", ".join(map(output.plain, models[:_LISTED])) + (" …" if models[_LISTED:] else "")
    console.print(
        Text(
            f"{calls:,} of these calls used a model without a price, and are in no cost: {listed}. "
            'From now on they are if standpipe.toml has [prices."provider/model"].',
            style="yellow",
        )
    )


def summed(rows: Iterable[UsageRow]) -> Sums:
    """Return the sum of all rows."""
    return reduce(add, (row.sums for row in rows), Sums())


def _whole(rows: Iterable[UsageRow]) -> list[UsageRow]:
    """Return a row for each group, the dearest first."""
    found: dict[tuple[str | None, ...], UsageRow] = {}
    for row in rows:
        place = (row.model, row.key, row.value)
        known = found.get(place)
        found[place] = row if known is None else replace(known, sums=known.sums + row.sums)
    return sorted(
        found.values(), key=lambda row: (row.sums.cost_pico, row.sums.calls), reverse=True
    )


def _filled(rows: Sequence[UsageRow], asked: UsageQuery) -> list[UsageRow]:
    """Return the rows, those of the times in between without a call too where there are few."""
    length = LENGTHS[asked.by]
    times = range(rows[0].start, asked.until, length)
    if _groups(asked) or len(times) > _MOST_FILLED:
        return list(rows)
    there = {row.start: row for row in rows}
    return [there.get(start) or UsageRow(start, None, None, None, Sums()) for start in times]


def _groups(asked: UsageQuery) -> list[str]:
    """Return the names of the columns that rows are told apart by."""
    given = {"Model": asked.by_model, "Key": asked.by_key, asked.by_name: asked.by_name is not None}
    return [name for name, is_given in given.items() if name and is_given]


def _name(row: UsageRow, group: str, names: Mapping[str, str]) -> str:
    if group == "Model":
        return row.model or "(none)"
    if group == "Key":
        return names.get(row.key or "", row.key) or "(none)"
    return "(none)" if row.value is None else row.value


def _time(row: UsageRow, asked: UsageQuery) -> str:
    return f"{datetime.fromtimestamp(row.start / 1e6, UTC):{_TIMES[asked.by]}}"


def _cells(sums: Sums, style: str = "") -> list[Text]:
    cost = "" if sums.cost is None else f"${sums.cost:,.4f}"
    counts = (sums.calls, sums.failed, sums.prompt_tokens, sums.completion_tokens)
    figures = [*(f"{count:,}" for count in (*counts, sums.cached_tokens)), cost]
    return [Text(figure, style=style) for figure in figures]


def _weight(sums: Sums, total: Sums) -> int:
    """Return what the bars show: the cost, or the calls where nothing has one."""
    return sums.cost_pico if total.cost_pico else sums.calls


def _bar(weight: int, most: int, *, ascii_only: bool) -> str:
    eighths = -(-weight * _WIDTH * 8 // most) if most else 0
    if ascii_only:
        return "#" * -(-eighths // 8)
    return _FULL * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
