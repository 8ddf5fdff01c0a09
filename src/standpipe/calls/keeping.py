"""Records on their way to the spool: redacted where the policy says so, appended, never dropped."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from standpipe.calls.call import without_text
from standpipe.errors import Unavailable
from standpipe.spool.writer import Spool, SpoolFull
from standpipe.wire import record as wire
from standpipe.wire.record import Begin, Record

log = logging.getLogger(__name__)


class Redactor(Protocol):
    """Takes out of a text what must not be kept. Pure, safe in any thread, and may take its time.

    Neither method raises: of a text that cannot be redacted nothing is left.
    """

    def redact(self, record: Record) -> Record:
        """Return a record as it may be kept; a streamed response may come back as a whole one."""

    def redact_begin(self, begin: Begin) -> Begin:
        """Return the frame of a stream that begins as it may be kept."""


class AsItIs:
    """Takes nothing out."""

    def redact(self, record: Record) -> Record:
        """Return the record."""
        return record

    def redact_begin(self, begin: Begin) -> Begin:
        """Return the frame."""
        return begin


class Keeper:
    """What all that is recorded goes through."""

    def __init__(self, spool: Spool, redactor: Redactor | None = None) -> None:
        self.spool = spool
        self.redactor: Redactor = redactor or AsItIs()

    async def redacted(self, record: Record) -> Record:
        """Return a record as it may be kept, from a thread of its own."""
        return await asyncio.to_thread(self.redactor.redact, record)

    async def redacted_begin(self, begin: Begin) -> Begin:
        """Return the frame of a stream that begins as it may be kept, from a thread of its own."""
        return await asyncio.to_thread(self.redactor.redact_begin, begin)

    async def keep(self, record: Record) -> None:
        """Append a record, before anything is awaited; return once it may be answered."""
        self.keep_now(record)

    async def keep_report(self, record: Record) -> None:
        """Append a record that is all there is to its request; Unavailable if it has no room."""
        try:
            self.spool.append(wire.encode(record))
        except SpoolFull as error:
            raise Unavailable("the disk has no room to record this call", retry_after=5) from error

    def keep_now(self, record: Record) -> None:
        """Append a record; if its text has no room, its numbers alone."""
        try:
            self.spool.append(wire.encode(record))
        except SpoolFull:
            log.warning("call %s: the spool has no room for its text", record.id)
            self._keep_numbers(record)

    def keep_begin(self, begin: Begin) -> None:
        """Append the frame of a stream that begins, if there is room."""
        try:
            self.spool.append(wire.encode(begin))
        except SpoolFull:
            log.warning("call %s: no room to note that its stream has begun", begin.id)

    def _keep_numbers(self, record: Record) -> None:
        try:
            self.spool.append(wire.encode(without_text(record)))
        except SpoolFull:
            log.exception("call %s: its record is lost", record.id)
