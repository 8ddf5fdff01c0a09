"""The drain: every record of the spool into the store exactly once, after any crash.

The position in each segment is committed with the rows that were read up to it, and a segment is
deleted only after that. A stream that began and whose worker died becomes a row too (`lost`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from standpipe.drain.batch import Finished, Pending, Writer
from standpipe.drain.kept import Kept
from standpipe.drain.prices import Prices
from standpipe.errors import StoreUnavailable
from standpipe.spool import names, progress
from standpipe.spool.reader import Segment, Tail, remove_dead_spares
from standpipe.store.rows import Batch, OpenStream, Row, now_us

#: Between looks at the spool: from the first while calls come in, up to the second while none do.
WAIT_S = (0.005, 0.05)
#: Between tries while the store is away.
BACK_OFF_S = (0.05, 2.0)
#: Between two words of how far it has come.
TELL_S = 1.0
#: How long the last run over the spool may take before the rest is left for the next start.
FINISH_S = 20.0

log = logging.getLogger(__name__)


class Records(Protocol):
    """What the drain asks of the store; each verb may raise StoreUnavailable.

    `add` returns once its transaction is on disk.
    """

    def positions(self) -> dict[str, int]:
        """Return how far each segment has been read, in bytes."""

    def open_streams(self, writer: str | None) -> Sequence[OpenStream]:
        """Return the streams of a writer that began and have no record yet."""

    def add(self, batch: Batch) -> int:
        """Commit a batch; return how many of its rows were not there before."""

    def forget_segment(self, segment: str, *, kept_s: float = 0.0) -> None:
        """Forget how far a segment was read that is no more, or is kept that many seconds."""


class Stop(Protocol):
    """When to stop; a threading.Event is one."""

    def is_set(self) -> bool:
        """Tell whether it is time."""

    def wait(self, timeout: float) -> bool:
        """Wait for that time, at most so many seconds; tell whether it has come."""


class Sink(Protocol):
    """What is told of rows besides the store, once they are in it."""

    def take(self, rows: Sequence[Row], inserted: int) -> None:
        """Hear of rows that were committed, so many of which were not there before."""

    def tell(self) -> None:
        """Hear, about once a second, that it is time to pass on what was heard; may OSError."""


class Drain:
    """Reads one spool directory into one store; only one drain of a directory may run."""

    def __init__(
        self,
        spool: Path,
        store: Records,
        prices: Prices | None = None,
        *,
        keep_s: float = 0.0,
        housekeeping: Callable[[], None] = lambda: None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self._spool = spool
        self._store = store
        self._kept = Kept(spool, keep_s)
        self._watch = progress.Watch(spool)
        #: How far each segment has been read, as far as we know.
        self._read_to: dict[str, int] = {}
        self._since = now_us()
        self._tell_at = 0.0
        self._prices = prices or Prices()
        #: Done between batches, while nothing waits.
        self._housekeeping = housekeeping
        self._sinks = sinks
        self._writers: dict[str, Writer] = {}
        #: As the store had them when we began; None if that must be asked.
        self._positions: dict[str, int] | None = None
        #: Rows really inserted.
        self.inserted = 0
        #: Streams whose worker died.
        self.lost = 0
        #: Segments whose writer died in the middle of a frame.
        self.torn = 0
        #: Segments put aside.
        self.damaged = 0
        #: The last step found nothing to do.
        self.is_idle = False
        #: The last step left frames for the next, for want of room in its batch.
        self.is_behind = False

    def step(self) -> int:
        """Commit one batch of what the spool holds; return how many rows were inserted.

        Raises StoreUnavailable; nothing is lost then, and the next step goes on where the store
        says.
        """
        pending = Pending(self._prices)
        try:
            self._list()
            self._read(pending)
            inserted = self._store.add(pending.batch()) if pending.has_news else 0
            self._committed(pending, inserted)
        except BaseException:
            self._start_over(pending)
            raise
        self.is_idle = not (pending.has_news or pending.finished)
        self.is_behind = pending.is_full
        return inserted

    def run(self, stop: Stop) -> bool:
        """Drain until told to stop, then until nothing is left; False if something is.

        While the store is away, records wait in the spool.
        """
        pause = _Pause(*WAIT_S)
        while not stop.is_set():
            self._tell()
            try:
                self.step()
                if not self.is_behind:
                    self._housekeeping()
            except StoreUnavailable as error:
                log.warning("records wait in the spool: %s", error)
                self._wait_for_store(stop)
                continue
            if not self.is_behind:
                stop.wait(pause.next(grow=self.is_idle))
        is_empty = self._finish()
        self.tell()
        return is_empty

    def close(self) -> None:
        """Close all files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def tell(self) -> None:
        """Write down how far we have come, for the health page and for doctor."""
        self._tell_at = time.monotonic() + TELL_S
        waiting = self._watch.look(self._read_to)
        told = progress.Progress(
            at=now_us(),
            since=self._since,
            inserted=self.inserted,
            lost=self.lost,
            torn=self.torn,
            damaged=self.damaged,
            aside=len(names.listed(self._spool, names.DAMAGED)),
            waiting=waiting.size,
            oldest=waiting.oldest,
        )
        with suppress(OSError):  # a full disk; who reads it sees that we are silent
            progress.tell(self._spool, told)
            for sink in self._sinks:
                sink.tell()

    def _tell(self) -> None:
        """Tell it now and then."""
        if time.monotonic() >= self._tell_at:
            self.tell()

    def _wait_for_store(self, stop: Stop) -> None:
        pause = _Pause(*BACK_OFF_S)
        while not stop.wait(pause.next(grow=True)):
            self._tell()
            with suppress(StoreUnavailable):
                self.step()
                log.warning("the store is back")
                return

    def _finish(self) -> bool:
        deadline = time.monotonic() + FINISH_S
        pause = _Pause(*BACK_OFF_S)
        while time.monotonic() < deadline:
            try:
                self.step()
            except StoreUnavailable:
                time.sleep(pause.next(grow=True))
            else:
                if self.is_idle:
                    return True
        return False

    def _list(self) -> None:
        """Take note of segments that have come, and clear away what the dead have left."""
        if self._positions is None:
            self._positions = self._store.positions()
            self._read_to = dict(self._positions)
            for name in names.listed(self._spool, names.DONE):
                self._delete(self._spool / name)
        for name in names.listed(self._spool, names.SEGMENT):
            writer = names.writer_of(name)
            if writer not in self._writers:
                self._writers[writer] = Writer(writer, self._store.open_streams(writer))
            self._writers[writer].add(name)
        remove_dead_spares(self._spool)
        self._kept.expire()

    def _read(self, pending: Pending) -> None:
        for writer in list(self._writers.values()):
            self._read_writer(writer, pending)
            # Whoever filled this batch is the last to be asked for the next.
            self._writers[writer.name] = self._writers.pop(writer.name)
            if pending.is_full:
                return

    def _read_writer(self, writer: Writer, pending: Pending) -> None:
        """Read a writer's segments in order, as far as they go and the batch has room."""
        while writer.unread and not pending.is_full:
            segment = writer.segment or self._open(writer)
            found = segment.read(
                writer.offset, max_bytes=pending.bytes_left, max_frames=pending.frames_left
            )
            pending.take(writer, found)
            if found.tail is Tail.OPEN:
                return
            if found.lost_bytes and self._skip(writer, segment):
                continue
            if found.tail is not Tail.MORE:
                pending.finish(writer, segment, found)
        if not writer.unread and not self._has_gone_on(writer):
            pending.end(writer)

    def _skip(self, writer: Writer, segment: Segment) -> bool:
        """Go on behind damage; False if there is nothing whole behind it."""
        further = segment.resume(writer.offset)
        if further is None:
            return False
        writer.skip(further)
        return True

    def _open(self, writer: Writer) -> Segment:
        name = writer.unread[0]
        writer.segment = Segment(self._spool / name)
        writer.offset = (self._positions or {}).get(name, 0)
        writer.strange = writer.skipped = 0
        return writer.segment

    def _has_gone_on(self, writer: Writer) -> bool:
        # A writer opens its next segment before it closes the last. So only what is listed after
        # the last was seen closed can tell a writer that has just gone on from a dead one.
        self._list()
        return bool(writer.unread)

    def _committed(self, pending: Pending, inserted: int) -> None:
        """Count what is now in the store, and remove it from the spool."""
        self._read_to |= pending.positions
        self.inserted += inserted
        self.lost += pending.lost
        for sink in self._sinks:
            sink.take(pending.rows, inserted)
        for finished in pending.finished:
            self._remove(finished)
        for writer in pending.ended:
            del self._writers[writer.name]

    def _remove(self, finished: Finished) -> None:
        name = finished.segment.path.name
        path = finished.segment.put_aside(names.DAMAGED if finished.is_damaged else names.DONE)
        finished.segment.close()
        if finished.is_damaged:
            self.damaged += 1
            log.error(
                "%s is damaged and kept as %s: %d bytes and %d frames cannot be read",
                *(name, path.name, finished.lost_bytes + finished.skipped, finished.strange),
            )
            self._store.forget_segment(name)
            return
        if finished.tail is Tail.TORN:
            self.torn += 1
            log.warning("%s: %d bytes of an unfinished record", name, finished.lost_bytes)
        self._delete(path)

    def _delete(self, path: Path) -> None:
        # In this order, so that after a crash in between the file still says what to forget.
        name = path.with_suffix(names.SEGMENT).name
        self._store.forget_segment(name, kept_s=self._kept.keep_s)
        self._read_to.pop(name, None)
        self._kept.take(path)

    def _start_over(self, pending: Pending) -> None:
        """Drop all that was read and may not have been committed; the store knows where we are."""
        for finished in pending.finished:
            finished.segment.close()
        self.close()
        self._positions = None


class _Pause:
    """Waits that double from one length to another."""

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most
        self._now = least

    def next(self, *, grow: bool) -> float:
        """Return how long to wait now, in seconds: longer than before, or the least again."""
        self._now = min(self._now * 2, self._most) if grow else self._least
        return self._now
