"""Labelling: rows are shown one by one, and a key says what a person thinks of each.

What a judge says of a row is not shown: who sees it is swayed by it.
"""

from __future__ import annotations

import sys
from typing import Any

import typer
from rich.console import Console

from standpipe.cli import output
from standpipe.cli.criteria import fields_of
from standpipe.criteria import alignment
from standpipe.criteria.case import Case
from standpipe.store.alignment import AlignmentRow
from standpipe.store.criteria import Criterion
from standpipe.store.store import Store

_JUDGEMENTS = {"p": "PASS", "f": "FAIL"}
_STYLES = {"p": "green", "f": "red"}
_LINES = "\n"
_HELP = "p passes, f fails, s skip, u undo, d take out, q quit"
#: Of what was asked, so many of the last messages are shown, each so long.
_MESSAGES = 4
_LONGEST = 4000


def run(store: Store, criterion: Criterion, *, again: bool) -> None:
    """Show the rows that are not labelled, or all, until the last or until somebody quits."""
    project_id, slug = criterion.project, criterion.slug
    found = store.alignment_rows(project_id, slug) or []
    rows = [each for each in found if again or each.judgement is None]
    console = output.console()
    if rows:
        _say_by_what(console, criterion)
    labelled = _labelled(console, store, criterion, rows)
    now = store.alignment_rows(project_id, slug, cases=False) or []
    count = sum(each.judgement is not None for each in now)
    typer.echo(f"{labelled} rows were labelled; of {len(now)}, {count} are")


def _say_by_what(console: Console, criterion: Criterion) -> None:
    """Show what the latest version judges by, so that people judge by the same."""
    for field, text in fields_of(criterion.latest):
        if field != "model":
            console.print(output.folded(f"{field}: {output.plain(text, keep=_LINES)}", "dim"))


def _labelled(
    console: Console, store: Store, criterion: Criterion, rows: list[AlignmentRow]
) -> int:
    """Take keys; return how many rows were labelled."""
    project_id, slug = criterion.project, criterion.slug
    before: dict[int, str | None] = {}
    place, fresh = 0, True
    while place < len(rows):
        row = rows[place]
        if fresh:
            _show(console, row, f"{place + 1} of {len(rows)}")
        key, fresh = _key(), True
        if key in _JUDGEMENTS:
            before[place] = row.judgement
            store.judge_alignment_row(project_id, slug, row.id, _JUDGEMENTS[key])
            console.print(_JUDGEMENTS[key], style=_STYLES[key])
            place += 1
        elif key == "s":
            place += 1
        elif key == "d":
            store.remove_alignment_row(project_id, slug, row.id)
            del rows[place]
        elif key == "u" and before:
            place, judgement = before.popitem()
            store.judge_alignment_row(project_id, slug, rows[place].id, judgement)
        elif key in ("q", ""):
            break
        else:
            fresh = False
            console.print(_HELP, style="dim")
    return len(before)


def _show(console: Console, row: AlignmentRow, where: str) -> None:
    case = alignment.case(row)
    console.rule(where)
    for message in case.messages[-_MESSAGES:]:
        console.print(output.folded(f"{message['role']}:", "bold"))
        console.print(output.folded(_text(message)))
    console.print(output.folded("answer:", "bold green"))
    console.print(output.folded(_text(case.output)))
    console.print(_HELP, style="dim")


def _text(message: dict[str, Any]) -> str:
    text = Case(output=message).text
    return output.plain(text[:_LONGEST], keep=_LINES) + ("…" if len(text) > _LONGEST else "")


def _key() -> str:
    """Return the next key; of what is no terminal, the next character that is not white."""
    if sys.stdin.isatty():
        return typer.getchar().lower()
    while (char := sys.stdin.read(1)).isspace():
        pass
    return char.lower()
