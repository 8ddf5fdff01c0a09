"""Segments at rest: compressed once they are in the store, and read again as they were."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

import zstandard

from standpipe.spool import names

_LEVEL = 3
_BLOCK_BYTES = 1 << 20
#: As many as a frame of Zstandard's takes at most to say what it holds.
_HEAD_BYTES = 18
#: What stands for bytes that cannot be read: the first byte of no frame.
_LOST = b"\xff"


def compress(path: Path) -> Path:
    """Write a segment compressed beside it, and return where; it is on disk then.

    After a crash the compressed one is there whole, or not at all under its name.
    """
    kept = path.with_suffix(names.KEPT)
    part = kept.with_name(kept.name + names.PART)
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    with path.open("rb") as source, part.open("wb") as target:
        compressor.copy_stream(source, target, size=path.stat().st_size)
        target.flush()
        os.fsync(target.fileno())
    part.rename(kept)
    names.sync(path.parent)
    return kept


def opened(path: Path) -> int:
    """Return a descriptor of a compressed segment as it was; the caller closes it.

    Where part of it cannot be read, there are other bytes in its place, which are no frames.
    """
    with path.open("rb") as source, tempfile.TemporaryFile() as target:
        size = _size(source, path)
        try:
            zstandard.ZstdDecompressor().copy_stream(source, target, write_size=_BLOCK_BYTES)
        except zstandard.ZstdError:
            target.write(_LOST * max(1, size - target.tell()))
        target.flush()
        return os.dup(target.fileno())


def _size(source: IO[bytes], path: Path) -> int:
    """Return how many bytes there are to come, as the file's head says, or else its own size."""
    try:
        size = zstandard.frame_content_size(source.read(_HEAD_BYTES))
    except zstandard.ZstdError:
        size = -1
    source.seek(0)
    return size if size >= 0 else path.stat().st_size
