"""What one step of the drain has read and not yet committed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from standpipe.drain.prices import Prices
from standpipe.drain.rows import lost_row, row_of
from standpipe.spool.reader import Frames, Segment, Tail
from standpipe.store.rows import Batch, OpenStream, Row
from standpipe.wire import record

#: Limits of a batch: frames, and bytes of their payloads.
MAX_FRAMES = 2000
MAX_BYTES = 8 << 20

log = logging.getLogger(__name__)


class Writer:
    """One start of one worker: its segments not yet read, and its streams not yet ended."""

    def __init__(self, name: str, streams: Sequence[OpenStream]) -> None:
        self.name = name
        self.streams = {stream.id: stream for stream in streams}
        #: The segments' names, the one being read first.
        self.unread: deque[str] = deque()
        #: The newest segment's name.
        self.newest = ""
        #: The first of `unread` once it is opened, and how far it was read.
        self.segment: Segment | None = None
        self.offset = 0
        #: Frames of it that mean nothing to us, and bytes of it that are no frames.
        self.strange = 0
        self.skipped = 0

    def add(self, name: str) -> None:
        """Take note of a segment; names must come in order, and may come again."""
        if name > self.newest:
            self.unread.append(name)
            self.newest = name

    def skip(self, offset: int) -> None:
        """Go on at an offset, behind what cannot be read."""
        self.skipped += offset - self.offset
        self.offset = offset

    def end_segment(self) -> None:
        """Go on to the next segment; the file of the last stays open."""
        self.unread.popleft()
        self.segment = None

    def close(self) -> None:
        """Close the file being read."""
        if self.segment is not None:
            self.segment.close()


@dataclass(frozen=True, slots=True)
class Finished:
    """A segment that was read to its end."""

    segment: Segment
    tail: Tail
    #: Bytes at its end that are no frame, and such bytes before others that are.
    lost_bytes: int
    skipped: int
    #: Whole frames in it that mean nothing to us.
    strange: int

    @property
    def is_damaged(self) -> bool:
        """Tell whether it holds more than its writer's death explains."""
        return self.tail is Tail.DAMAGED or self.skipped > 0 or self.strange > 0


@dataclass(slots=True)
class Pending:
    """Rows and marks for one transaction, and what to do after it."""

    prices: Prices
    rows: list[Row] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    opened: dict[str, OpenStream] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)
    #: Writers that are dead and have nothing left to read.
    ended: list[Writer] = field(default_factory=list)
    lost: int = 0
    frames_left: int = MAX_FRAMES
    bytes_left: int = MAX_BYTES

    @property
    def is_full(self) -> bool:
        """Tell whether the rest must wait for the next batch."""
        return self.frames_left <= 0 or self.bytes_left <= 0

    @property
    def has_news(self) -> bool:
        """Tell whether there is anything to commit."""
        return bool(self.rows or self.positions or self.closed)

    def batch(self) -> Batch:
        """Return what to commit."""
        return Batch(
            rows=self.rows,
            positions=self.positions,
            opened=list(self.opened.values()),
            closed=self.closed,
        )

    def take(self, writer: Writer, found: Frames) -> None:
        """Add the frames that were read from the segment a writer is at."""
        for payload, end in found.payloads:
            self._take_frame(writer, payload)
            self.bytes_left -= len(payload)
            writer.offset = self.positions[writer.unread[0]] = end
        self.frames_left -= len(found.payloads)

    def finish(self, writer: Writer, segment: Segment, found: Frames) -> None:
        """Add that a segment has no more frames."""
        self.finished.append(
            Finished(segment, found.tail, found.lost_bytes, writer.skipped, writer.strange)
        )
        writer.end_segment()

    def end(self, writer: Writer) -> None:
        """Add that a writer is dead: the streams it left open are lost."""
        for stream in list(writer.streams.values()):
            begin = record.decode(stream.payload)
            if isinstance(begin, record.Begin):
                self.rows.append(lost_row(begin, self.prices))
            self._close_stream(writer, stream.id)
            self.lost += 1
        self.ended.append(writer)

    def _take_frame(self, writer: Writer, payload: bytes) -> None:
        try:
            frame = record.decode(payload)
        except msgspec.DecodeError as error:
            log.warning("%s: a frame is no record: %s", writer.unread[0], error)
            writer.strange += 1
            return
        if isinstance(frame, record.Begin):
            stream = OpenStream(id=frame.id, writer=writer.name, payload=payload)
            writer.streams[frame.id] = self.opened[frame.id] = stream
            return
        self.rows.append(row_of(frame, self.prices))
        self._close_stream(writer, frame.id)

    def _close_stream(self, writer: Writer, stream: str) -> None:
        # A stream that began and ended within one batch leaves no trace in the store.
        known = writer.streams.pop(stream, None)
        if known is not None and self.opened.pop(stream, None) is None:
            self.closed.append(stream)
