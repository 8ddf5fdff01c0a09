"""A spool whose records are on the disk before their answers end: one sync for all who wait.

Where a sync fails, what it was to bring to the disk may be gone from memory too, and the next one
may say that all is well (https://lwn.net/Articles/752063/). So a segment that failed is written no
more, and all that is not known to be on the disk is appended again to the next: a record may be
there twice, and the drain takes each id once.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from standpipe.spool import names
from standpipe.spool.frames import HEADER_BYTES
from standpipe.spool.syncer import Syncer
from standpipe.spool.writer import SEGMENT_BYTES, Growing, Spool, SpoolFull

log = logging.getLogger(__name__)

#: Seconds between two looks at whether a disk that failed takes records again.
PROBE_S = 1.0

#: Brings a file's data to the disk; OSError if it cannot.
Sync = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Round:
    """What one sync brings to the disk, and for whom."""

    waiting: list[asyncio.Future[bool]]
    payloads: list[bytes]
    #: How many of the full segments it brings there.
    left: int
    #: A segment has got its name since the last.
    has_names: bool
    #: It brings what the last one failed with.
    is_second: bool


class DiskSpool(Spool):
    """A spool with a thread that syncs; who asks while it does is served by its next round."""

    waits = True

    def __init__(
        self,
        directory: Path,
        *,
        boot: str,
        worker: int,
        segment_bytes: int = SEGMENT_BYTES,
        sync: Sync = os.fdatasync,
    ) -> None:
        #: Syncs so far, and those that failed.
        self.syncs = 0
        self.sync_errors = 0
        self._sync = sync
        self._waiting: list[asyncio.Future[bool]] = []
        self._is_syncing = False
        #: What was appended since the last round began.
        self._unsynced: list[bytes] = []
        #: Full segments, which are closed once they are on the disk.
        self._left: list[Growing] = []
        self._has_names = False
        self._is_second = False
        self._has_failed = False
        self._retry_at = 0.0
        super().__init__(directory, boot=boot, worker=worker, segment_bytes=segment_bytes)
        self._syncer = Syncer()
        with suppress(OSError):
            names.sync(directory.parent)

    @override
    def append(self, payload: bytes) -> None:
        """Write one frame whole and return once the kernel has it; raises SpoolFull."""
        super().append(payload)
        self._unsynced.append(payload)

    @override
    async def synced(self) -> bool:
        """Return once all that was appended is on the disk; False if that failed twice."""
        if not self._unsynced and not self._is_syncing:
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if not self._is_syncing:
            self._begin_soon()
        return bool(await waiter)

    @override
    def is_failing(self) -> bool:
        """Tell whether the last sync failed; now and then this starts another."""
        if self._has_failed and not self._is_syncing and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + PROBE_S
            self._begin()
        return self._has_failed

    @override
    def close(self) -> None:
        """Sync what is not, and give all unused room back to the disk."""
        self._syncer.close()
        opened = [*self._left, self._current] if self._current else self._left
        try:
            self._bring(opened, has_names=self._has_names)
        except OSError as error:
            log.warning("the last records may not be on the disk: %s", error)
        self._close_left(len(self._left))
        super().close()

    @override
    def _rotate(self, size: int) -> Growing:
        segment = super()._rotate(size)
        self._has_names = True
        return segment

    @override
    def _leave(self, segment: Growing) -> None:
        self._left.append(segment)

    def _begin_soon(self) -> None:
        """Start a round two turns of the loop from now, with all who ask until then.

        It is half as many rounds at 64 connections, and no call alone waits noticeably longer.
        """
        self._is_syncing = True
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._begin)

    def _begin(self) -> None:
        """Start a round with all that is there."""
        if self._syncer.is_closed:  # it was due when the spool was closed, which synced
            return
        opened = [*self._left, self._current] if self._current else [*self._left]
        left = len(self._left)
        new = _Round(self._waiting, self._unsynced, left, self._has_names, self._is_second)
        self._waiting, self._unsynced = [], []
        self._has_names = self._is_second = False
        self._is_syncing = True
        bring = functools.partial(self._bring, opened, has_names=new.has_names)
        self._syncer.do(bring, functools.partial(self._ended, new))

    def _bring(self, segments: list[Growing], *, has_names: bool) -> None:
        """Bring segments to the disk; runs in the thread."""
        for segment in segments:
            self._sync(segment.descriptor)
        if has_names:
            names.sync(self.directory)

    def _ended(self, last: _Round, error: Exception | None) -> None:
        self.syncs += 1
        if error is None:
            self._succeeded(last)
        else:
            self._failed(last, error)
        if self._waiting:
            self._begin_soon()
        else:
            self._is_syncing = False

    def _succeeded(self, last: _Round) -> None:
        if self._has_failed:
            log.warning("records reach the disk again")
        self._has_failed = False
        self._close_left(last.left)
        _answer(last.waiting, is_safe=True)

    def _failed(self, last: _Round, error: Exception) -> None:
        self.sync_errors += 1
        if not self._has_failed:
            log.error("records do not reach the disk: %s", error)
        self._has_names = self._has_names or last.has_names
        if not last.is_second and self._start_over(last.payloads + self._unsynced):
            self._waiting = last.waiting + self._waiting
            self._is_second = True
            return
        # What has failed twice is in the kernel, and that is all that can be done for it.
        self._start_over(self._unsynced)
        self._has_failed = True
        self._retry_at = time.monotonic() + PROBE_S
        self.records_unsynced += len(last.waiting)
        _answer(last.waiting, is_safe=False)

    def _start_over(self, payloads: list[bytes]) -> bool:
        """Go on in a new segment and append again what may be lost; False if that has no room."""
        try:
            self._rotate(HEADER_BYTES + max(map(len, payloads), default=0))
            for payload in payloads:
                super().append(payload)
        except SpoolFull:
            return False
        self._unsynced = payloads
        self._close_left(len(self._left))
        return True

    def _close_left(self, count: int) -> None:
        """Close the first so many of the full segments."""
        for segment in self._left[:count]:
            segment.close()
        del self._left[:count]


def _answer(waiting: list[asyncio.Future[bool]], *, is_safe: bool) -> None:
    for waiter in waiting:
        if not waiter.done():  # who waited may have been cancelled
            waiter.set_result(is_safe)
