"""What a caller may be told of a database's trouble: no host, no user, no path, no statement."""

from __future__ import annotations

#: What a driver's message may have in it, and what that means; the first that is found counts.
_SAID = {
    "locked": "it is locked by another process",
    "no such table": "its tables are not those of this version yet",
    "no such column": "its tables are not those of this version yet",
    "does not exist": "its tables are not those of this version yet",
    "full": "its disk is full",
    "no space left": "its disk is full",
    "readonly": "it can be read only",
    "read-only": "it can be read only",
    "disk i/o error": "its disk fails",
    "malformed": "its file is damaged",
    "not a database": "its file is damaged",
    "authentication failed": "it does not take our password",
    "timeout": "it does not answer in time",
    "timed out": "it does not answer in time",
    "too many": "its connections are all busy",
    "starting up": "it is starting",
    "shutting down": "it is stopping",
}


def why(error: BaseException | None) -> str:
    """Return in plain words why a database cannot be used."""
    said = str(error).lower()
    return next((told for sign, told in _SAID.items() if sign in said), "it cannot be reached")
