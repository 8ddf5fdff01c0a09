"""What a spool holds that is not in the store yet, as rows; nothing of it is changed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import msgspec

from standpipe.config import Settings
from standpipe.drain.prices import Prices
from standpipe.drain.process import LOCK
from standpipe.drain.rows import row_of
from standpipe.spool import names, reader
from standpipe.spool.reader import Segment, Tail
from standpipe.store.rows import OpenStream, Row
from standpipe.store.store import Store
from standpipe.wire.record import Begin, Frame, decode

#: Seconds that a running drain has to come to where the spool ends now, and between two looks.
PATIENCE_S = 10.0
PAUSE_S = 0.05


def prices(settings: Settings) -> Prices:
    """Return what the drain would price records with."""
    urls = {name: row.base_url for name, row in settings.providers.items()}
    return Prices(settings.prices, urls)


def wait(store: Store, spool: Path) -> dict[str, int]:
    """Let a running drain pass what is in the spool now; return where the segments end it did not.

    It is given PATIENCE_S; where no drain runs, nobody waits.
    """
    ends = reader.ends(spool, store.positions())
    deadline = time.monotonic() + PATIENCE_S
    while (left := _left(spool, ends, store.positions())) and time.monotonic() < deadline:
        if not _is_drained_by_somebody(spool):
            break
        time.sleep(PAUSE_S)
    return left


def begun(store: Store, spool: Path) -> set[str]:
    """Return the ids of the streams that the drain will come upon in a spool as it is now."""
    with Undrained(spool, wait(store, spool)) as undrained:
        return undrained.begun(store.positions())


class Undrained:
    """Segments that are not wholly in the store, held open: the drain may remove them meanwhile."""

    def __init__(self, spool: Path, ends: Mapping[str, int]) -> None:
        self._ends = ends
        self._opened = ExitStack()
        #: Of what was read: the streams that have begun and not ended.
        self.streams: dict[str, OpenStream] = {}
        self._segments: dict[str, Segment] = {}
        for name in ends:
            with suppress(FileNotFoundError):
                self._segments[name] = self._opened.enter_context(Segment(spool / name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def rows(self, positions: Mapping[str, int], prices: Prices) -> Iterator[Row]:
        """Yield the row of each record behind the drain's positions.

        Streams that began and have not ended have none yet: they are in `streams`.
        """
        for name, payload, frame in self._frames(positions):
            if isinstance(frame, Begin):
                stream = OpenStream(frame.id, names.writer_of(name), payload)
                self.streams[frame.id] = stream
            else:
                self.streams.pop(frame.id, None)
                yield row_of(frame, prices)

    def begun(self, positions: Mapping[str, int]) -> set[str]:
        """Return the ids of the streams that began behind the drain's positions."""
        return {frame.id for *_, frame in self._frames(positions) if isinstance(frame, Begin)}

    def _frames(self, positions: Mapping[str, int]) -> Iterator[tuple[str, bytes, Frame]]:
        # In order, so that a stream has begun before it ends.
        for name, segment in sorted(self._segments.items()):
            for payload in _payloads(segment, positions.get(name, 0), self._ends[name]):
                with suppress(msgspec.DecodeError):
                    yield name, payload, decode(payload)


def _left(spool: Path, ends: Mapping[str, int], positions: Mapping[str, int]) -> dict[str, int]:
    return {
        name: end
        for name, end in ends.items()
        if not reader.is_drained(spool, {name: end}, positions)
    }


def _payloads(segment: Segment, offset: int, end: int) -> Iterator[bytes]:
    at: int | None = offset
    while at is not None and at < end:
        found = segment.read(at)
        for payload, after in found.payloads:
            yield payload
            at = after
        if found.tail is not Tail.MORE:
            at = segment.resume(at)


def _is_drained_by_somebody(spool: Path) -> bool:
    try:
        descriptor = os.open(spool / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
