"""Options that set limits, and limits in words."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from standpipe.errors import BadRequest, ConfigError

if TYPE_CHECKING:
    from standpipe.limits.limits import Limits

#: What takes a limit away.
NONE = "none"
_AHEAD = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

RequestsOption = Annotated[
    str | None,
    typer.Option(
        "--requests-per-minute", metavar="N", help="Calls in any minute.", show_default=False
    ),
]
TokensOption = Annotated[
    str | None,
    typer.Option(
        "--tokens-per-minute",
        metavar="N",
        help="Tokens of the calls of any minute.",
        show_default=False,
    ),
]
ConcurrentOption = Annotated[
    str | None,
    typer.Option(
        "--concurrent-calls", metavar="N", help="Calls at the same time.", show_default=False
    ),
]
DayOption = Annotated[
    str | None,
    typer.Option(
        "--dollars-per-day", metavar="D", help="US dollars of a day, UTC.", show_default=False
    ),
]
MonthOption = Annotated[
    str | None,
    typer.Option(
        "--dollars-per-month", metavar="D", help="US dollars of a month, UTC.", show_default=False
    ),
]


def given(**options: str | None) -> dict[str, Any]:
    """Return what options say that are named as the limits, but for those not given."""
    return {
        name: None if text == NONE else int(text) if text.isdigit() else text
        for name, text in options.items()
        if text is not None
    }


def changed(text: str | None, changes: dict[str, Any]) -> str | None:
    """Return the store's JSON of limits with changes; ConfigError names what cannot be one."""
    from standpipe.limits import limits

    try:
        return limits.text_of(limits.changed(limits.parsed(text), changes))
    except BadRequest as error:
        raise ConfigError(f"{error.message}, or `{NONE}`") from error


def as_json(text: str | None) -> dict[str, Any]:
    """Return limits for programs; {} for none."""
    found: dict[str, Any] = msgspec.json.decode(text) if text else {}
    return found


def in_words(text: str | None) -> str:
    """Return limits on one line; "" for none."""
    from standpipe.limits import limits

    return ", ".join(_words(limits.parsed(text)))


def patterns(text: str) -> str | None:
    """Return the store's JSON of `gpt-*,claude-*`; None for `none`."""
    found = [each for part in text.split(",") if (each := part.strip())]
    return None if found == [NONE] or not found else msgspec.json.encode(found).decode()


def moment(text: str, now: datetime) -> int | None:
    """Return the microseconds since the Unix epoch of `30d` ahead or of a date; None for `none`."""
    if text == NONE:
        return None
    try:
        if ahead := _AHEAD.fullmatch(text):
            when = now + timedelta(**{_UNITS[ahead[2]]: int(ahead[1])})
        else:
            when = datetime.fromisoformat(text).astimezone()
        return round(when.timestamp() * 1e6)
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(
            f"--expires {text!r}: say 12h or 30d, a date such as 2027-01-31, or `{NONE}`"
        ) from error


def _words(limits: Limits) -> list[str]:
    told = {
        "{} requests a minute": limits.requests_per_minute,
        "{} tokens a minute": limits.tokens_per_minute,
        "{} calls at a time": limits.concurrent_calls,
        "{} dollars a day": limits.dollars_per_day,
        "{} dollars a month": limits.dollars_per_month,
    }
    return [words.format(value) for words, value in told.items() if value is not None]
