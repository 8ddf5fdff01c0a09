"""How many processes of each child have ended: told by who starts them, for `/metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from standpipe.spool import names

FILE = "ended.json"


def tell(where: Path, ended: Mapping[str, int]) -> None:
    """Say it, by the children's names; where that cannot be written, the next time says it too."""
    part = where / (FILE + names.PART)
    with suppress(OSError):
        where.mkdir(parents=True, exist_ok=True)
        part.write_bytes(msgspec.json.encode(ended))
        part.rename(where / FILE)


def told(where: Path) -> dict[str, int]:
    """Return what was said last, nothing if nothing was that can be read."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((where / FILE).read_bytes(), type=dict[str, int])
    return {}
