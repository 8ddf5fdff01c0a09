"""What each worker says of itself, in a file of its own, for the others to read."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from standpipe.spool import names

#: Seconds from one word to the next, and after which a silent worker is one that hangs.
TELL_S = 1.0
SILENT_S = 10.0


class PoolState(msgspec.Struct, frozen=True):
    """Connections to one provider."""

    open: int
    idle: int
    #: Calls that wait for one.
    waiting: int


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """One process; where one replaces another, both have the name."""

    name: str
    pid: int
    #: When it was said, in microseconds since the epoch.
    at: int
    #: Another has taken its place, and it finishes what it has begun.
    is_leaving: bool
    #: Clients' connections, idle or not, and their requests that are being answered.
    connections: int
    requests: int
    #: `ok`, `full` or `failing`.
    spool: str
    #: Counts since it started, by what became of the records.
    records: dict[str, int]
    #: By provider.
    pools: dict[str, PoolState]
    #: What its cache has done since it started, by name; empty without one.
    cache: dict[str, int] = {}
    #: By how many seconds its event loop was late when it was last looked at.
    late_s: float = 0.0
    #: Requests that were refused and left no record, since it started: status, reason, number.
    refused: list[tuple[int, str, int]] = []

    def is_silent(self) -> bool:
        """Whether nothing was heard of it for long."""
        return now_us() - self.at > SILENT_S * 1e6


def directory(home: Path) -> Path:
    """Return where the files are."""
    return home / "run"


def file(where: Path, name: str, pid: int) -> Path:
    """Return the file of a worker's process."""
    return where / f"{name}.{pid}.json"


def tell(where: Path, state: WorkerState) -> None:
    """Say it; OSError if that cannot be written."""
    where.mkdir(parents=True, exist_ok=True)
    target = file(where, state.name, state.pid)
    part = target.with_suffix(names.PART)
    part.write_bytes(msgspec.json.encode(state))
    part.rename(target)


def told(where: Path) -> list[WorkerState]:
    """Return what all said last, by name."""
    return sorted(_told(where), key=lambda state: (state.name, state.pid))


def forget(where: Path, name: str = "worker-*", pid: int | None = None) -> None:
    """Remove what a process that is gone has said; without one, what all have."""
    with contextlib.suppress(OSError):
        for each in [*where.glob(f"{name}.{'*' if pid is None else pid}.*")]:
            each.unlink(missing_ok=True)


def now_us() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1000


def _told(where: Path) -> Iterator[WorkerState]:
    for each in [*where.glob("worker-*.json")]:
        # Gone since, or another version's.
        with contextlib.suppress(OSError, msgspec.DecodeError):
            yield msgspec.json.decode(each.read_bytes(), type=WorkerState)
