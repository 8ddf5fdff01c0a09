"""How far the drain has come: what it says of itself, in a file that the others read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from standpipe.spool import names
from standpipe.spool.reader import Segment
from standpipe.wire.ids import made_at
from standpipe.wire.record import Record, decode

#: Where it is said, in the spool's directory.
FILE = "drain.json"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What the drain says of itself, again and again. Times are microseconds since the epoch."""

    #: When it was said.
    at: int
    #: When the drain began; the next four are since then.
    since: int
    #: Rows really inserted.
    inserted: int
    #: Streams whose worker died.
    lost: int
    #: Segments whose writer died in the middle of a frame.
    torn: int
    #: Segments that were put aside.
    damaged: int
    #: Segments that are put aside now.
    aside: int
    #: Bytes that wait to be stored, and when the first of them came; None for none.
    waiting: int
    oldest: int | None

    def age_s(self) -> float:
        """Return the seconds since it was said."""
        return max(0.0, (_now_us() - self.at) / 1e6)

    def lag_s(self) -> float:
        """Return the seconds that the oldest of what waited then has waited by now."""
        return 0.0 if self.oldest is None else max(0.0, (_now_us() - self.oldest) / 1e6)


def tell(directory: Path, progress: Progress) -> None:
    """Say it; OSError if that cannot be written."""
    part = directory / (FILE + names.PART)
    part.write_bytes(msgspec.json.encode(progress))
    part.rename(directory / FILE)


def told(directory: Path) -> Progress | None:
    """Return what was said last, None if nothing was that can be read."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=Progress)
    except (OSError, msgspec.DecodeError):
        return None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the drain has not stored yet."""

    size: int = 0
    #: When the first of it came, microseconds since the Unix epoch; None for none.
    oldest: int | None = None


class Watch:
    """Looks at what waits in a spool; each look is cheap, however much that is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        #: Of each segment: where its frames ended at the last look, and when the first one came
        #: that waited, with its offset.
        self._ends: dict[str, int] = {}
        self._firsts: dict[str, tuple[int, int]] = {}

    def look(self, positions: Mapping[str, int]) -> Waiting:
        """Return what lies behind the drain's positions."""
        listed = names.listed(self._directory, names.SEGMENT)
        for known in (self._ends, self._firsts):
            for name in known.keys() - set(listed):
                del known[name]
        size, oldest = 0, None
        for name in listed:
            at = positions.get(name, 0)
            with suppress(FileNotFoundError):  # stored and removed since it was listed
                more = self._size(name, at)
                if more:
                    first = self._first(name, at)
                    oldest = first if oldest is None else min(first, oldest)
                size += more
        return Waiting(size, oldest)

    def _size(self, name: str, at: int) -> int:
        with Segment(self._directory / name) as segment:
            end = self._ends[name] = segment.end(max(at, self._ends.get(name, 0)))
        return end - at

    def _first(self, name: str, at: int) -> int:
        known = self._firsts.get(name)
        if known is not None and known[0] == at:
            return known[1]
        with Segment(self._directory / name) as segment:
            payloads = segment.read(at, max_frames=1).payloads
        came = _came(payloads[0][0]) if payloads else _now_us()
        self._firsts[name] = at, came
        return came


def _came(payload: bytes) -> int:
    """Return when a frame was appended, as far as it tells."""
    try:
        frame = decode(payload)
    except msgspec.DecodeError:
        return _now_us()
    # A report says when the call was made that it tells of, which may be long ago.
    if isinstance(frame, Record) and frame.kind != "report":
        return frame.received_at
    return made_at(frame.id) or frame.requested_at


def _now_us() -> int:
    return time.time_ns() // 1000
