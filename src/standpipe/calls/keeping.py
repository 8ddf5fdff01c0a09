"""Records on their way to the spool: given room, redacted where the policy says so, appended.

What has no room is never dropped in silence: it is refused before it begins, or counted.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import Literal

from standpipe.calls.call import without_text
from standpipe.calls.content import Contents
from standpipe.errors import Unavailable
from standpipe.spool.frames import HEADER_BYTES
from standpipe.spool.writer import ANSWER_BYTES, NUMBERS_BYTES, Spool, SpoolFull
from standpipe.wire import record as wire
from standpipe.wire.record import Begin, Record

#: What becomes of a call that must be recorded where there is no room.
WhenFull = Literal["refuse", "count"]

log = logging.getLogger(__name__)


class Keeper:
    """What all that is recorded goes through."""

    def __init__(
        self, spool: Spool, contents: Contents | None = None, *, when_full: WhenFull = "refuse"
    ) -> None:
        self.spool = spool
        self.contents = contents or Contents()
        self._when_full = when_full

    def promise(self, size: int, *, logged: bool) -> int:
        """Promise room to the record of a call with a request of that size; return the bytes.

        Fewer where there is no room: for the numbers alone, or 0. Raises Unavailable where the text
        must be kept and such calls are refused; the others go on. What is promised is given back by
        the spool's `release`.
        """
        need = size + ANSWER_BYTES if logged else NUMBERS_BYTES
        must = logged and self._when_full == "refuse"
        if not (must and self.spool.waits and self.spool.is_failing()) and self.spool.reserve(need):
            return need
        if must:
            raise self._refused()
        return NUMBERS_BYTES if logged and self.spool.reserve(NUMBERS_BYTES) else 0

    async def redacted(self, record: Record) -> Record:
        """Return a record as it may be kept, from a thread of its own."""
        return await asyncio.to_thread(self.contents.redact, record)

    async def redacted_begin(self, begin: Begin) -> Begin:
        """Return the frame of a stream that begins as it may be kept, from a thread of its own."""
        return await asyncio.to_thread(self.contents.redact_begin, begin)

    async def keep_report(self, record: Record) -> None:
        """Append a record that is all there is to its request; Unavailable if that is refused."""
        try:
            self._append(wire.encode(record), 0)
        except SpoolFull as error:
            if self._when_full == "refuse":
                raise self._refused() from error
            self._keep_numbers(record, 0)
        await self.safe(record)

    def keep_now(self, record: Record, promised: int, payload: bytes | None = None) -> None:
        """Append a record, its payload if that is made; if its text has no room, its numbers."""
        if payload is None:
            payload = wire.encode(record)
        try:
            if len(payload) + HEADER_BYTES <= promised:
                self.spool.append(payload)
            else:
                self._append(payload, promised)
        except SpoolFull:
            self._keep_numbers(record, promised)

    def keep_begin(self, begin: Begin, promised: int) -> None:
        """Append the frame of a stream that begins, if there is room."""
        try:
            self._append(wire.encode(begin), promised)
        except SpoolFull:
            log.warning("call %s: no room to note that its stream has begun", begin.id)

    async def safe(self, record: Record) -> None:
        """Return once a record is as safe as it is to be."""
        if not await self.spool.synced():
            log.error("call %s: the disk did not take its record", record.id)

    def _refused(self) -> Unavailable:
        self.spool.records_refused += 1
        return Unavailable("the disk cannot take the record of this call now", retry_after=5)

    def _keep_numbers(self, record: Record, promised: int) -> None:
        try:
            self._append(wire.encode(without_text(record)), promised)
        except SpoolFull as error:
            self.spool.records_lost += 1
            log.error("call %s: its record is lost: %s", record.id, error)  # noqa: TRY400
            return
        if record.logged:
            self.spool.records_without_text += 1
            log.warning("call %s: its text is lost: the spool has no room for it", record.id)

    def _append(self, payload: bytes, promised: int) -> None:
        """Append a frame; one larger than its promise must not take the room of others."""
        need = len(payload) + HEADER_BYTES
        if need <= promised:
            self.spool.append(payload)
            return
        if not self.spool.reserve(need):
            raise SpoolFull(errno.ENOSPC, "there is no room beside what is promised")
        try:
            self.spool.append(payload)
        finally:
            self.spool.release(need)
