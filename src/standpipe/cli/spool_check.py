"""What waits in the spool, and what in it cannot be read; a look that changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from standpipe.cli.checks import Finding, Patient
from standpipe.errors import StoreUnavailable
from standpipe.spool import names
from standpipe.spool.reader import Segment, Tail
from standpipe.wire.record import decode

#: Seconds after which a running drain should have stored a record.
_LATE_S = 60


@dataclass
class Waiting:
    """What the drain has not stored yet."""

    size: int = 0
    #: When the oldest call of it was made, microseconds since the Unix epoch; None for none.
    oldest: int | None = None
    #: Segments whose writer died within a record, and those with something else amiss.
    torn: int = 0
    damaged: int = 0


def spool(patient: Patient) -> Iterator[Finding]:
    """Check that records reach the store, and that all of them can be read."""
    directory = patient.settings.spool_dir
    waiting = look(directory, _positions(patient))
    yield _waiting(waiting, is_running=patient.health is not None)
    aside = names.listed(directory, names.DAMAGED)
    if aside or waiting.damaged:
        told = f"{len(aside) + waiting.damaged:,} damaged segments in {directory}"
        yield Finding("wrong", "Spool", told, "check the disk; *.damaged files are kept for you")
    if waiting.torn:
        told = f"{waiting.torn:,} segments end in an unfinished record"
        yield Finding("note", "Spool", told, "left by a crash; what is whole will be stored")


def look(directory: Path, positions: Mapping[str, int]) -> Waiting:
    """Return what lies behind the drain's positions."""
    waiting = Waiting()
    for name in names.listed(directory, names.SEGMENT):
        try:
            with Segment(directory / name) as segment:
                _add(waiting, segment, positions.get(name, 0))
        except FileNotFoundError:
            continue  # stored and removed since it was listed
    return waiting


def _add(waiting: Waiting, segment: Segment, position: int) -> None:
    end = segment.end(position)
    waiting.size += end - position
    tail = segment.read(end, max_frames=1).tail
    waiting.torn += tail is Tail.TORN
    waiting.damaged += tail is Tail.DAMAGED
    first = segment.read(position, max_frames=1).payloads
    if first:
        at = _requested_at(first[0][0])
        waiting.oldest = min(at, waiting.oldest or at)


def _requested_at(payload: bytes) -> int:
    try:
        return decode(payload).requested_at
    except msgspec.DecodeError:
        return time.time_ns() // 1000


def _positions(patient: Patient) -> Mapping[str, int]:
    try:
        return patient.store.positions() if patient.store is not None else {}
    except StoreUnavailable:
        return {}


def _waiting(waiting: Waiting, *, is_running: bool) -> Finding:
    if waiting.oldest is None:
        return Finding("ok", "Spool", "all records are in the store")
    age_s = max(0, time.time_ns() // 1000 - waiting.oldest) // 1_000_000
    told = f"{waiting.size:,} bytes wait to be stored, the oldest for {age_s:,} seconds"
    if not is_running:
        return Finding("note", "Spool", told, "`standpipe serve` stores them")
    if age_s > _LATE_S:
        return Finding("wrong", "Spool", told, "the drain is behind: see the server's log")
    return Finding("ok", "Spool", told)
