"""What a project has used and what that cost, from the sums that the drain keeps."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from operator import add
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from standpipe.api.freshness import Freshness
from standpipe.api.http import Json, convert, reader
from standpipe.api.usage_form import figures, shown
from standpipe.calls.callers import Callers
from standpipe.errors import BadRequest
from standpipe.store.store import Store
from standpipe.store.usage import DAY_US, Sums, UsageQuery, UsageRow

#: Rows of an answer, at most.
MOST = 10_000
#: Days that are told of where nobody says how many, this one among them.
DAYS = 30

_LABEL = "metadata."
_SECOND_US = 1_000_000
#: The last second that can be written as a date.
_LATEST_S = 253_402_300_799


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from"}):
    """The query, but for conditions on metadata."""

    since: str | None = None
    to: str | None = None
    by: Literal["hour", "day"] = "day"
    group: str = ""
    model: str | None = None
    key: str | None = None


class UsageReports:
    """The handler."""

    def __init__(
        self, callers: Callers, store: Store, freshness: Freshness, *, names: Collection[str]
    ) -> None:
        self._callers = callers
        self._store = store
        self._freshness = freshness
        #: Names of the metadata that usage is summed up by.
        self._names = names

    async def report(self, request: Request) -> Response:
        """GET /usage."""
        caller = await reader(request, self._callers)
        asked = query(request.query_params, self._names)
        await self._freshness.wait()
        rows = await self._freshness.ask(self._store.usage, caller.project, asked, limit=MOST + 1)
        return Json(reported(rows, asked))


def reported(rows: Sequence[UsageRow], asked: UsageQuery) -> dict[str, Any]:
    """Return the report; BadRequest if it would have too many rows."""
    if len(rows) > MOST:
        raise BadRequest(
            f"by, group: the answer has more than {MOST} rows; ask for a shorter time, for "
            "days, or for fewer groups",
            param="group",
        )
    total = reduce(add, (row.sums for row in rows), Sums())
    data = [shown(row, asked) for row in rows]
    return {"object": "list", "data": data, "total": figures(total)}


def query(given: Mapping[str, str], names: Collection[str]) -> UsageQuery:
    """Return what a query asks for; BadRequest naming what cannot be asked for.

    `names` are those of the metadata that usage is summed up by.
    """
    plain = {name: value for name, value in given.items() if not name.startswith(_LABEL)}
    asked = convert(plain, Asked)
    label = _label({name: given[name] for name in given if name not in plain}, names)
    words = [word for word in asked.group.split(",") if word]
    by_name = _grouped(words, names)
    if by_name and label and by_name != label[0]:
        raise BadRequest(
            f"group: {by_name!r} cannot be told apart where {_LABEL}{label[0]} is a condition",
            param="group",
        )
    since, until = _time_span(asked)
    return UsageQuery(
        since=since,
        until=until,
        by=asked.by,
        by_model="model" in words,
        by_key="key" in words,
        by_name=by_name,
        model=asked.model,
        key=asked.key,
        label=label,
    )


def _label(given: Mapping[str, str], names: Collection[str]) -> tuple[str, str] | None:
    labels = [(name.removeprefix(_LABEL), value) for name, value in given.items()]
    for name, _ in labels:
        _check_name(name, f"{_LABEL}{name}", names)
    if len(labels) > 1:
        raise BadRequest(
            f"{_LABEL}{labels[1][0]}: usage is summed up by one name of metadata at a time",
            param=f"{_LABEL}{labels[1][0]}",
        )
    return labels[0] if labels else None


def _grouped(words: list[str], names: Collection[str]) -> str | None:
    """Return the name of metadata that is grouped by."""
    found = [word.removeprefix(_LABEL) for word in words if word not in ("model", "key")]
    for name in found:
        _check_name(name, "group", names)
    if len(found) > 1:
        raise BadRequest(
            f"group: {found[1]!r}: usage is summed up by one name of metadata at a time",
            param="group",
        )
    return found[0] if found else None


def _check_name(name: str, param: str, names: Collection[str]) -> None:
    if name not in names:
        known = ", ".join(map(repr, names)) or "none"
        raise BadRequest(
            f"{param}: {name!r} is no name of metadata that usage is summed up by; those of the "
            f"setting usage.metadata are: {known}",
            param=param,
        )


def _time_span(asked: Asked) -> tuple[int, int]:
    until = _time(asked.to, "to") if asked.to else time.time_ns() // 1000
    first = until // DAY_US * DAY_US - (DAYS - 1) * DAY_US
    since = _time(asked.since, "from") if asked.since else first
    if since >= until:
        raise BadRequest(f"from: {asked.since!r} is not before `to`", param="from")
    return since, until


def _time(text: str, param: str) -> int:
    """Return microseconds since the Unix epoch of seconds since then, or of a date and time.

    One without a zone is in UTC.
    """
    try:
        if text.isdecimal():
            return min(int(text), _LATEST_S) * _SECOND_US
        when = datetime.fromisoformat(text)
        when = when.replace(tzinfo=when.tzinfo or UTC)
        return round(when.timestamp()) * _SECOND_US
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            f"{param}: {text!r}: say seconds since the Unix epoch, or a date and time such as "
            "2026-01-31T12:00:00Z",
            param=param,
        ) from error
