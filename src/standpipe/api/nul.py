"""NUL, which no text column of PostgreSQL takes: refused where callers give what is to be kept."""

from __future__ import annotations

from collections.abc import Mapping

from standpipe.errors import BadRequest

_NUL = "\0"


def refuse_nul(texts: Mapping[str, object], within: str = "") -> None:
    """Raise BadRequest naming the first text that has a NUL in its name or its value.

    `within` is the field that the names are in. What is no text is let pass.
    """
    for name, value in texts.items():
        if _NUL in name or (isinstance(value, str) and _NUL in value):
            param = f"{within}.{name}" if within else name
            raise BadRequest(
                f"{param}: {value!r} cannot be kept or looked for: a NUL is in it", param=param
            )
