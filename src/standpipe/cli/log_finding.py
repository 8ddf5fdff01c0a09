"""One call from what a person types of its id."""

from __future__ import annotations

import re
from itertools import islice

from standpipe.cli.log_lines import SLACK_US
from standpipe.errors import ConfigError
from standpipe.store.rows import Row
from standpipe.store.store import Store

_BEGINNING = re.compile(r"[0-9a-f]{8}(-[0-9a-f-]{0,27})?")
_TIME_DIGITS = 12
_SHOWN = 5


def find(store: Store, project_id: str | None, text: str) -> Row:
    """Return the call of this id, completion id or beginning of an id.

    ConfigError if there is none, or several begin so. A beginning finds calls by the time in it:
    not one that was reported with another time.
    """
    owners = [project_id] if project_id else [project.id for project in store.projects()]
    exact = [row for each in owners if (row := store.record(each, text))]
    found = exact[:1] or _beginning_with(store, project_id, text.lower())
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(row.id for row in found)
        raise ConfigError(f"several calls begin with {text!r}, such as {ids}")
    raise ConfigError(f"there is no call {text!r}; `standpipe logs list --json` has whole ids")


def _beginning_with(store: Store, project_id: str | None, text: str) -> list[Row]:
    if not _BEGINNING.fullmatch(text):
        return []
    digits = text.replace("-", "")[:_TIME_DIGITS]
    first, last = (int(digits.ljust(_TIME_DIGITS, filler), 16) * 1000 for filler in "0f")
    rows = store.each_log(project_id, since=first - SLACK_US, until=last + SLACK_US)
    return list(islice((row for row in rows if row.id.startswith(text)), _SHOWN))
