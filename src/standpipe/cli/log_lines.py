"""A call on one line, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from standpipe.cli import output
from standpipe.store.rows import Row
from standpipe.wire.record import Usage
from standpipe.wire.usage import dollars

#: From this many columns on, ids are whole.
_WIDE_ENOUGH = 130
#: The first 48 bits of a UUIDv7 are the time, in milliseconds: "0199f3a2-1b2c" of 36 characters.
_SHORT_ID = 13
_LONGER_IDS = (_SHORT_ID, 18, 23, 36)

_COLUMNS = ("Time", "ID", "Model", "Status", "Tokens", "Cost", "ms", "Metadata")
_TEXTS = ("request", "response")
_TIMES = ("requested_at", "first_byte_at", "received_at", "updated_at")
_STYLES = {"complete": "green", "refused": "yellow", "abandoned": "yellow"}

#: How wide each column is where lines come one by one; the last takes what is left.
TAIL_WIDTHS = (14, _SHORT_ID, 24, 9, 11, 9, 8)


def table(rows: Sequence[Row], width: int) -> Table:
    """Return the calls as a table that fits `width` columns."""
    made = output.table(*_COLUMNS, right=("Tokens", "Cost", "ms"), elastic=("Model", "Metadata"))
    length = 36 if width >= _WIDE_ENOUGH else _id_length(rows)
    for row in rows:
        made.add_row(*cells(row, length))
    return made


def line(row: Row) -> Text:
    """Return a call as a line whose columns stand under those of the others."""
    *first, last = cells(row, _SHORT_ID)
    text = Text()
    for part, wide in zip(first, TAIL_WIDTHS, strict=True):
        part.truncate(wide, overflow="ellipsis", pad=True)
        text.append_text(part).append(" ")
    return text.append_text(last)


def cells(row: Row, id_length: int) -> list[Text]:
    """Return time, id, model, how it ended, tokens in and out, cost, milliseconds, metadata."""
    is_short = has_time_of_id(row)
    labels = ", ".join(f"{name}={value}" for name, value in row.metadata.items())
    return [
        Text(_time(row.requested_at), style="dim"),
        output.cell(row.id[:id_length] if is_short else row.id, "cyan"),
        output.cell(row.model or ""),
        Text(ending(row), style=_STYLES.get(row.outcome, "red")),
        Text(tokens(row.usage)),
        Text("" if row.cost is None else f"${row.cost:.6f}"),
        Text(f"{milliseconds(row):,.0f}"),
        output.cell(labels, "dim"),
    ]


def ending(row: Row) -> str:
    """Return the HTTP status where it says how the call ended, and its outcome where not."""
    if row.outcome in ("complete", "refused") and row.status is not None:
        return str(row.status)
    return row.outcome


def tokens(usage: Usage | None) -> str:
    """Return tokens in and out; "" where nobody counted."""
    if usage is None:
        return ""
    figures = (usage.prompt_tokens, usage.completion_tokens)
    return "/".join("?" if figure is None else str(figure) for figure in figures)


def milliseconds(row: Row) -> float:
    """Return how long the call took."""
    return (row.received_at - row.requested_at) / 1000


def numbers(row: Row) -> dict[str, Any]:
    """Return all of a call but its text, times in ISO 8601."""
    fields: dict[str, Any] = msgspec.to_builtins(row)
    for name in _TEXTS:
        del fields[name]
    fields["cost"] = None if row.cost is None else dollars(row.cost)
    for name in _TIMES:
        fields[name] = None if fields[name] is None else output.iso(fields[name])
    for attempt, kept in zip(fields["attempts"], row.attempts, strict=True):
        attempt["started_at"] = output.iso(attempt["started_at"])
        if kept.cost is not None:
            attempt["cost"] = dollars(kept.cost)
    return fields


def whole(row: Row) -> dict[str, Any]:
    """Return all of a call, its text as the JSON that it is."""
    return {**numbers(row), "request": raw(row.request), "response": raw(row.response)}


def raw(text: str | None) -> msgspec.Raw:
    """Return JSON text to put into JSON, on one line."""
    return msgspec.Raw(b"null" if text is None else msgspec.json.format(text.encode(), indent=-1))


def has_time_of_id(row: Row) -> bool:
    """Tell whether the id's beginning finds the call: a reported one may have another time."""
    try:
        return abs(row.requested_at - time_of(row.id)) < SLACK_US
    except ValueError:
        return False


def time_of(call: str) -> int:
    """Return when a call was made by its id, to the millisecond; ValueError for an id of others."""
    return int(call.replace("-", "")[:12], 16) * 1000


#: How far a call's time may be from its id's, in microseconds.
SLACK_US = 1_000_000


def _id_length(rows: Iterable[Row]) -> int:
    """Return how much of an id it takes to tell these calls apart."""
    ids = {row.id for row in rows}
    return next(n for n in _LONGER_IDS if n == 36 or len({i[:n] for i in ids}) == len(ids))


def _time(microseconds: int) -> str:
    when = output.local_time(microseconds)
    today = datetime.now().astimezone().date()
    return f"{when:%H:%M:%S}" if when.date() == today else f"{when:%y-%m-%d %H:%M}"
