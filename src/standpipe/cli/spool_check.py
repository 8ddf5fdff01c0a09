"""What waits in the spool, and what in it cannot be read; a look that changes nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from standpipe.cli.checks import Finding, Patient
from standpipe.errors import StoreUnavailable
from standpipe.spool import names, progress
from standpipe.spool.progress import Waiting, Watch
from standpipe.spool.reader import Segment, Tail

#: Seconds after which a running drain should have stored a record, and should have been heard of.
_LATE_S = 60
#: What the health page counts of records, and what that means.
_LOSSES = {
    "refused": "calls were refused since their record had no room",
    "without_text": "records lost their text",
    "lost": "records are lost",
    "unsynced": "records may not be on the disk",
    "unredacted": "texts could not be redacted and were not kept",
}


def spool(patient: Patient) -> Iterator[Finding]:
    """Check that records reach the store, and that all of them can be read."""
    directory = patient.settings.spool_dir
    positions = _positions(patient)
    yield _waiting(Watch(directory).look(positions), is_running=patient.health is not None)
    tails = _tails(directory, positions)
    damaged = len(names.listed(directory, names.DAMAGED)) + tails[Tail.DAMAGED]
    if damaged:
        told = f"{damaged:,} damaged segments in {directory}"
        yield Finding("wrong", "Spool", told, "check the disk; *.damaged files are kept for you")
    if tails[Tail.TORN]:
        told = f"{tails[Tail.TORN]:,} segments end in an unfinished record"
        yield Finding("note", "Spool", told, "left by a crash; what is whole will be stored")
    if patient.health is not None:
        yield _drain(directory)
        yield from _losses(patient.health.get("records") or {})


def _drain(directory: Path) -> Finding:
    told = progress.told(directory)
    if told is None or told.age_s() > _LATE_S:
        return Finding("wrong", "Drain", "nothing was heard of it", "see the server's log")
    found = f"{told.inserted:,} records stored since it started"
    if not told.lost and not told.torn:
        return Finding("ok", "Drain", found)
    found += f"; {told.lost:,} streams and {told.torn:,} segments of workers that died"
    return Finding("note", "Drain", found, "see the server's log for why they did")


def _losses(records: Mapping[str, Any]) -> Iterator[Finding]:
    told = [f"{records[name]:,} {what}" for name, what in _LOSSES.items() if records.get(name)]
    if told:
        advice = "see to the disk; a restart begins to count anew"
        yield Finding("wrong", "Records", "; ".join(told), advice)


def _tails(directory: Path, positions: Mapping[str, int]) -> Counter[Tail]:
    """Count what follows the last whole frame of each segment."""
    found: Counter[Tail] = Counter()
    for name in names.listed(directory, names.SEGMENT):
        try:
            with Segment(directory / name) as segment:
                end = segment.end(positions.get(name, 0))
                found[segment.read(end, max_frames=1).tail] += 1
        except FileNotFoundError:
            continue  # stored and removed since it was listed
    return found


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
