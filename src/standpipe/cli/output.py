"""How commands print: one console, one kind of table, and nobody's text in control of a terminal.

Colours are for terminals only, which Rich sees to. Rich's markup is never given text of others.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:  # Rich takes as long to import as all else that a command needs to begin
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

#: Columns where the output is no terminal: wide enough for whole ids.
_WIDE = 160


def console(*, stderr: bool = False) -> Console:
    """Return a console as wide as the terminal, or wide where there is none."""
    from rich.console import Console

    width = shutil.get_terminal_size((_WIDE, 24)).columns
    return Console(highlight=False, width=width, stderr=stderr, soft_wrap=False)


def table(*columns: str, right: tuple[str, ...] = (), elastic: tuple[str, ...] = ()) -> Table:
    """Return an empty table without lines.

    Columns in `right` hold figures. Those in `elastic` are cut where the terminal is too narrow
    for all; the others stay whole.
    """
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=name not in elastic,
            overflow="ellipsis",
        )
    return made


def plain(text: str, *, keep: str = "") -> str:
    """Return a text with all that steers a terminal or hides what it says made visible."""
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def cell(text: str, style: str = "") -> Text:
    """Return a cell of a table that shows the text as it is, on one line."""
    from rich.text import Text

    return Text(plain(text), style=style, no_wrap=True, overflow="ellipsis")


def folded(text: str, style: str = "") -> Text:
    """Return a cell that takes as many lines as it needs."""
    from rich.text import Text

    return Text(plain(text), style=style, overflow="fold")


def local_time(microseconds: int) -> datetime:
    """Return a time of the store, in this machine's zone."""
    return datetime.fromtimestamp(microseconds / 1e6).astimezone()


def date(microseconds: int | None) -> str:
    """Return the day of a time of the store; "" for None."""
    return "" if microseconds is None else f"{local_time(microseconds):%Y-%m-%d}"


def iso(microseconds: int) -> str:
    """Return a time of the store as ISO 8601 in UTC, to the microsecond."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06}Z"


def print_json(line: Mapping[str, Any]) -> None:
    """Print an object on a line of its own, at once."""
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()
