"""Identifiers: UUIDv7 for records, so that they sort by time (RFC 9562, section 5.7)."""

from __future__ import annotations

import os
import time


def new_id() -> str:
    """Return a new UUIDv7 in its canonical 36-character form."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (random >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | random & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def made_at(record: str) -> int | None:
    """Return when an id was made, microseconds since the Unix epoch; None if it is not ours."""
    try:
        value = int(record.replace("-", ""), 16)
    except ValueError:
        return None
    return (value >> 80) * 1000 if value >> 76 & 0xF == 0x7 and value >> 128 == 0 else None
