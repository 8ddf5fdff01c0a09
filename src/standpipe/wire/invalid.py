"""The 400 for what has not the form that it must have."""

from __future__ import annotations

import re

import msgspec

from standpipe.errors import BadRequest

#: What the decoder says of a field that is missing, or that is one too many.
_FIELD = re.compile(r"\bfield `(.*)`", re.DOTALL)


def invalid(error: msgspec.ValidationError) -> BadRequest:
    """Return the 400 for a field of the wrong form."""
    what, _, where = str(error).partition(" - at `$")
    field = _FIELD.search(what)
    param = f"{where.rstrip('`')}.{field[1] if field else ''}".strip(".") or None
    issue = f"{param}: {what}" if param else what
    return BadRequest(f"Input validation failed: {issue}", param=param, issues=[issue])
