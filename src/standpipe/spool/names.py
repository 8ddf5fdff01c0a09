"""What the files of a spool are called: `<boot>-<worker>-<seq>.seg`.

A boot is unique to one start of one worker and sorts by time, so that names sort by age. A
writer, `<boot>-<worker>`, is one such start; its segments are numbered in the order written.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

#: A segment: frames, perhaps zeros after them.
SEGMENT = ".seg"
#: Room kept for a segment to come; holds no frames yet.
SPARE = ".spare"
#: A segment that is wholly in the store and about to be deleted.
DONE = ".done"
#: A segment that holds what could not be read, put aside for a person to look at.
DAMAGED = ".damaged"
#: A segment that is wholly in the store and is kept for a while, compressed.
KEPT = ".seg.zst"
#: A file that is being written, and gets its name when it is whole.
PART = ".part"


def new_boot() -> str:
    """Return a new boot: 13 hexadecimal digits of milliseconds, then 6 random ones."""
    return f"{time.time_ns() // 1_000_000:013x}{os.urandom(3).hex()}"


def segment_name(writer: str, number: int) -> str:
    """Return the name of a writer's segment."""
    return f"{writer}-{number:08d}{SEGMENT}"


def spare_name(writer: str, number: int) -> str:
    """Return the name of a writer's spare."""
    return f"{writer}-{number:08d}{SPARE}"


def sync(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def writer_of(name: str) -> str:
    """Return the writer that a segment's or spare's name tells."""
    return name.rpartition("-")[0]


def begun_at(writer: str) -> int | None:
    """Return when a writer began, milliseconds since the Unix epoch; None if it is none."""
    try:
        return int(writer[:13], 16)
    except ValueError:
        return None


def listed(directory: Path, suffix: str) -> list[str]:
    """Return the names with a suffix: oldest start first, each writer's in the order written."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(suffix))
    except FileNotFoundError:
        return []
