"""Which calls are meant: the text of options as the store's filters."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from standpipe.errors import ConfigError
from standpipe.wire.record import Outcome

if TYPE_CHECKING:
    from standpipe.store import LogFilters

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def filters(
    *,
    model: str | None,
    status: int | None,
    outcome: Outcome | None,
    metadata: list[str] | None,
    since: str | None,
    until: str | None,
) -> LogFilters:
    """Return the filters that options ask for; ConfigError names an option that can't be read."""
    now = datetime.now().astimezone()
    return {
        "model": model,
        "status": status,
        "outcome": outcome,
        "metadata": labels(metadata),
        "since": None if since is None else moment("--since", since, now),
        "until": None if until is None else moment("--until", until, now),
    }


def labels(texts: list[str] | None) -> dict[str, str]:
    """Return what `--metadata` options say; ConfigError for one that can't be read."""
    return dict(_pair(text) for text in texts or ())


def moment(option: str, text: str, now: datetime) -> int:
    """Return the microseconds since the Unix epoch of `15m` ago or of a date and time.

    A time without a zone is in this machine's.
    """
    try:
        if ago := _AGO.fullmatch(text):
            when = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            when = datetime.fromisoformat(text).astimezone()
        return round(when.timestamp() * 1e6)
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(
            f"{option} {text!r}: say 15m, 24h or 7d, or a date and time such as 2026-01-31T12:00"
        ) from error


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise ConfigError(f"--metadata {text!r}: say NAME=VALUE")
    return name, value
