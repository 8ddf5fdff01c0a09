"""One frame of a segment: magic, length, checksum of both length and payload, then the payload.

Knows nothing of files, nor of what a payload means. The checksum is zlib's CRC-32: the standard
library has no CRC-32C, and for telling a whole frame from a partial one they are equal.
"""

from __future__ import annotations

import struct
import zlib

MAGIC = b"SPf1"
_HEADER = struct.Struct("<4sII")
#: Bytes of a frame before its payload.
HEADER_BYTES = _HEADER.size


def pack(payload: bytes) -> bytes:
    """Return the frame of a payload; struct.error if that has 4 GiB or more."""
    size = len(payload)  # and `_checksum`, which each call would pay for
    return _HEADER.pack(MAGIC, size, zlib.crc32(payload, ~size & 0xFFFFFFFF)) + payload


def size_at(block: bytes, at: int = 0) -> int | None:
    """Return the bytes of the whole frame that its header at `at` claims, None if none is there."""
    if len(block) - at < HEADER_BYTES:
        return None
    magic, length, _ = _HEADER.unpack_from(block, at)
    return HEADER_BYTES + int(length) if magic == MAGIC else None


def payload_at(block: bytes, at: int = 0) -> bytes | None:
    """Return the payload of the frame at `at`, None unless all of it is there and unharmed."""
    size = size_at(block, at)
    if size is None or len(block) - at < size:
        return None
    payload = block[at + HEADER_BYTES : at + size]
    _, _, checksum = _HEADER.unpack_from(block, at)
    return payload if _checksum(payload) == checksum else None


def _checksum(payload: bytes) -> int:
    # Begun with the length, so that a magic followed by zeros is no empty frame.
    return zlib.crc32(payload, ~len(payload) & 0xFFFFFFFF)
