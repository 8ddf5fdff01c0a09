"""How long a project's records are kept: read from options, and said in words."""

from __future__ import annotations

import math

from standpipe.config import Retention
from standpipe.errors import ConfigError
from standpipe.store.rows import Project

#: What an option says to go back to what the configuration says.
AS_CONFIGURED = "default"

_LARGEST = {"content_days": 1e6, "records_days": 1e6, "content_bytes": 1 << 60}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def changes(**given: str | None) -> dict[str, float | None]:
    """Return what options say that are named as the fields of `Project`, but for those not given.

    Raises ConfigError for a text that is no number, or one below 0 or far too large.
    """
    return {name: _number(name, text) for name, text in given.items() if text is not None}


def in_words(project: Project, configured: Retention) -> str:
    """Return how long what is kept of a project."""
    days = _either(project.content_days, configured.content_days)
    most = _either(project.content_bytes, configured.content_bytes)
    texts = [f"{days:g} days"] if days else []
    texts += [f"up to {size(most)}"] if most else []
    days = _either(project.records_days, configured.records_days)
    calls = f"{days:g} days" if days else "for ever"
    return f"texts {' and '.join(texts) or 'for ever'}, calls {calls}"


def size(count: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    power = min(int(math.log(count, 1024)), len(_UNITS) - 1) if count >= 1 else 0
    figure = f"{count / 1024**power:.1f}".removesuffix(".0")
    return f"{figure} {_UNITS[power]}"


def _number(name: str, text: str) -> float | None:
    if text == AS_CONFIGURED:
        return None
    try:
        number = int(text) if name == "content_bytes" else float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= _LARGEST[name]:
        option = "--" + name.replace("_", "-")
        raise ConfigError(f"{option} {text!r}: say a number from 0, or {AS_CONFIGURED}")
    return number


def _either(own: float | None, configured: float) -> float:
    return configured if own is None else own
