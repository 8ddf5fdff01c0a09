"""One call on a page: its numbers, its attempts, what was asked and what was answered."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from standpipe.cli import output
from standpipe.cli.log_lines import milliseconds, tokens
from standpipe.store.rows import Row
from standpipe.wire.usage import dollars


def show(console: Console, row: Row, project: str) -> None:
    """Print a call."""
    console.print(_numbers(row, project))
    if row.attempts:
        console.print(Text("\nAttempts", style="bold"))
        console.print(_attempts(row))
    for title, text in (("Request", row.request), ("Response", row.response)):
        console.print()
        console.print(Rule(title, align="left", style="dim"))
        _print_text(console, text, is_logged=row.logged)


def _numbers(row: Row, project: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(row, project).items():
        if value not in (None, ""):
            grid.add_row(name, output.folded(str(value)))
    return grid


def _facts(row: Row, project: str) -> dict[str, Any]:
    first = None if row.first_byte_at is None else (row.first_byte_at - row.requested_at) / 1000
    return {
        "ID": row.id,
        "Completion": row.completion_id,
        "Kind": row.kind,
        "Project": project,
        "Key": row.key,
        "Requested": f"{output.local_time(row.requested_at):%Y-%m-%d %H:%M:%S.%f %z}",
        "Took": f"{milliseconds(row):,.1f} ms",
        "First byte": None if first is None else f"after {first:,.1f} ms",
        "Outcome": row.outcome if row.status is None else f"{row.outcome}, status {row.status}",
        "Error": row.error,
        "Model": row.model,
        "Answered by": ", ".join(filter(None, (row.provider, row.provider_model))),
        "Finish reason": row.finish_reason,
        "Streamed": "yes" if row.streamed else "no",
        "Usage": _usage(row),
        "Cost": None if row.cost is None else f"${dollars(row.cost)} ({row.price_version})",
        "Cache": "hit" if row.cache_hit else None,
        "Metadata": ", ".join(f"{name}={value}" for name, value in row.metadata.items()),
        "Fidelity": ", ".join(row.fidelity),
        "Client": row.user_agent,
        "Client's retry": row.retry_count,
        "Trace": row.traceparent,
        "Parent": row.parent,
    }


def _usage(row: Row) -> str | None:
    if row.usage is None:
        return None
    figures = msgspec.structs.asdict(row.usage).items()
    told = ", ".join(f"{name} {n:,}" for name, n in figures if n is not None)
    return f"{told} ({row.usage_source})"


def _attempts(row: Row) -> Table:
    # Of most calls there is one, which is the answer and costs what the call does.
    steps = ["For"] if any(each.step for each in row.attempts) else []
    costs = ["Cost"] if any(each.cost is not None for each in row.attempts) else []
    table = output.table(
        *("At", *steps, "Provider", "Model", "Status", "First byte", "Tokens", *costs, "Error"),
        elastic=("Error",),
    )
    for each in row.attempts:
        at = f"+{(each.started_at - row.requested_at) / 1000:,.1f} ms"
        first = "" if each.first_byte_us is None else f"{each.first_byte_us / 1000:,.1f} ms"
        status = "none" if each.status is None else str(each.status)
        step = [each.step or "answer"] if steps else []
        cost = ["" if each.cost is None else f"${dollars(each.cost)}"] if costs else []
        place = (each.provider, each.model, status, first, tokens(each.usage))
        cells = (at, *step, *place, *cost)
        table.add_row(*map(output.cell, cells), output.folded(each.error or ""))
    return table


def _print_text(console: Console, text: str | None, *, is_logged: bool) -> None:
    if text is None:
        why = "none" if is_logged else "not kept: logging did not apply to this call"
        console.print(Text(why, style="dim"))
        return
    pretty = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    console.print(JSONHighlighter()(Text(output.plain(pretty, keep="\n"))), soft_wrap=True)
