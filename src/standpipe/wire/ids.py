"""Identifiers: UUIDv7 for records, so that they sort by time (RFC 9562, section 5.7)."""

from __future__ import annotations

import os
import time

#: The version and the variant among the 80 bits that are not the time, and those left to chance.
_FIXED = 0x7000_8000_0000_0000_0000
_RANDOM = 0x0FFF_3FFF_FFFF_FFFF_FFFF


def new_id() -> str:
    """Return a new UUIDv7 in its canonical 36-character form."""
    time_part = f"{time.time_ns() // 1_000_000:012x}"
    rest = f"{int.from_bytes(os.urandom(10)) & _RANDOM | _FIXED:020x}"
    return f"{time_part[:8]}-{time_part[8:]}-{rest[:4]}-{rest[4:8]}-{rest[8:]}"


def made_at(record: str) -> int | None:
    """Return when an id was made, microseconds since the Unix epoch; None if it is not ours."""
    try:
        value = int(record.replace("-", ""), 16)
    except ValueError:
        return None
    return (value >> 80) * 1000 if value >> 76 & 0xF == 0x7 and value >> 128 == 0 else None
