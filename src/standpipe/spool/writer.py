"""Appending to the spool: one worker's preallocated segments, one write a frame.

Nothing here awaits and no thread is started, so that a cancelled call cannot leave half a record.
What a writer holds open it also holds locked (flock), so that a reader can tell whether it lives.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from standpipe.spool import frames, names

SEGMENT_BYTES = 64 << 20
#: What a call may add to its request: the answer and the numbers. More is the caller's risk.
ANSWER_BYTES = 256 << 10
#: What a call takes whose text is not kept.
NUMBERS_BYTES = 32 << 10
#: How long a full disk is not asked again, and files are taken to be where they were.
RETRY_S = 0.25

log = logging.getLogger(__name__)


class SpoolFull(OSError):
    """A frame could not be written; nothing of it is left in the spool."""


@dataclass(slots=True, eq=False)
class Growing:
    """An open, locked segment or spare; frames end at `end`, and it may grow to `size`."""

    path: Path
    descriptor: int
    size: int
    end: int = 0

    @property
    def room(self) -> int:
        """Return the bytes that may still be written."""
        return self.size - self.end

    def is_in_place(self) -> bool:
        """Tell whether readers find it where it was made."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.descriptor))
        except OSError:
            return False

    def close(self) -> None:
        """Give back the bytes not written and the lock."""
        with suppress(OSError):  # all there is to lose is that room, until the drain deletes it
            os.ftruncate(self.descriptor, self.end)
        os.close(self.descriptor)

    def discard(self) -> None:
        """Remove a file that holds no frames."""
        with suppress(OSError):  # its writer's end shows that it is of no use
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


class Spool:
    """One worker's part of the spool.

    `boot` must be new with each start (`names.new_boot`); FileExistsError if it is not. Not safe
    for use by several threads at once.
    """

    #: Tells one whose `synced` has something to wait for.
    waits = False

    def __init__(
        self, directory: Path, *, boot: str, worker: int, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.writer = f"{boot}-{worker}"
        self.segment_bytes = segment_bytes
        #: Frames written since the start.
        self.appended = 0
        #: Frames that could not be.
        self.append_errors = 0
        #: Bytes promised to calls under way.
        self.reserved = 0
        #: The disk had no room when it was last asked for some.
        self.is_full = False
        #: Calls that were refused since their record had no room.
        self.records_refused = 0
        #: Records kept with their numbers alone, since their text had no room.
        self.records_without_text = 0
        #: Records of which nothing is kept.
        self.records_lost = 0
        #: Records whose answer went out although the disk did not take them.
        self.records_unsynced = 0
        self.directory = directory
        self._current: Growing | None = None
        self._spares: list[Growing] = []
        self._numbered = 0
        self._made = 0
        #: Sizes promised to calls under way, and to how many each.
        self._promises: dict[int, int] = {}
        self._full_until = 0.0
        self._check_at = 0.0
        #: Spares could not be renamed when that was last tried, so that their room is of no use.
        self._is_stuck = False
        self._stuck_until = 0.0
        self._prepare()

    def append(self, payload: bytes) -> None:
        """Write one frame whole and return once the kernel has it; raises SpoolFull."""
        frame = frames.pack(payload)
        segment = self._current
        if segment is None or segment.size - segment.end < len(frame):
            segment = self._rotate(len(frame))
        try:
            written = os.pwrite(segment.descriptor, frame, segment.end)
        except OSError as error:
            raise self._not_written(segment, 0, error.errno or errno.EIO) from error
        if written != len(frame):
            raise self._not_written(segment, written, errno.ENOSPC)
        segment.end += written
        self.appended += 1

    def reserve(self, need: int) -> bool:
        """Promise so many bytes to a call's frames; False if there is no room.

        Each promise kept must be given back with `release`, whatever became of the call.
        """
        now = time.monotonic()
        if now >= self._check_at:
            self._check_at = now + RETRY_S
            self._check_files()
        wanted = self.reserved + need
        segment = self._current
        # Nearly always the segment being written has it all, in frames of whatever sizes.
        if (segment is None or segment.size - segment.end < wanted) and not self._has(wanted, need):
            return False
        self.reserved = wanted
        self._promises[need] = self._promises.get(need, 0) + 1
        return True

    def release(self, need: int) -> None:
        """Give back what `reserve` promised."""
        self.reserved -= need
        left = self._promises.pop(need) - 1
        if left:
            self._promises[need] = left
        if not self.reserved and len(self._spares) > 1:
            self._shrink()

    async def synced(self) -> bool:
        """Return once all that was appended is as safe as it is to be; False if it is not.

        Here that is at once: the kernel has it.
        """
        return True

    def is_failing(self) -> bool:
        """Tell whether what is appended now may not be as safe as it is to be."""
        return False

    def has_room(self) -> bool:
        """Tell whether a call whose text is to be kept would be safe and have room now."""
        if self.is_failing() or not self.reserve(ANSWER_BYTES):
            return False
        self.release(ANSWER_BYTES)
        return True

    def close(self) -> None:
        """Give all unused room back to the disk; nothing may be appended after."""
        for spare in self._spares:
            spare.discard()
        self._spares.clear()
        if self._current is not None:
            self._current.close()
            self._current = None

    def _prepare(self) -> None:
        with suppress(OSError):  # then it is as a full disk is, until it can be made
            self.directory.mkdir(parents=True, exist_ok=True)
        for path in self.directory.glob(f"{self.writer}-*"):
            raise FileExistsError(errno.EEXIST, "this start has written before", str(path))
        self._grow(0)

    def _has(self, wanted: int, need: int) -> bool:
        """Tell whether there are so many bytes, with a frame of `need` among them; grow to it."""
        largest = max(need, *self._promises) if self._promises else need
        while self._room(largest) < wanted:
            if not self._grow(largest):
                return False
        return True

    def _room(self, largest: int) -> int:
        """Return the bytes that surely can be written in frames of up to `largest`, in any order.

        A frame is never split, so each segment but the last may end with that much unused.
        """
        spares = self._spares if self._can_rename() else []
        opened = [self._current, *spares] if self._current else spares
        rooms = [segment.room for segment in opened if segment.room >= largest]
        return sum(rooms) - largest * (len(rooms) - 1) if rooms else 0

    def _can_rename(self) -> bool:
        """Tell whether a spare can become a segment; tried again at times after one could not."""
        now = time.monotonic()
        if not self._is_stuck or now < self._stuck_until:
            return not self._is_stuck
        self._stuck_until = now + RETRY_S
        try:
            for spare in self._spares[:1]:
                spare.path = spare.path.rename(self._new_spare())
        except OSError:
            return False
        self._is_stuck = False
        self._take_note(is_full=False)
        return True

    def _grow(self, need: int) -> bool:
        """Preallocate a spare that a frame of `need` bytes fits; False if the disk has no room."""
        now = time.monotonic()
        if now < self._full_until:
            return False
        try:
            self._spares.append(self._allocate(max(self.segment_bytes, 2 * need)))
        except OSError as error:
            self._full_until = now + RETRY_S
            self._take_note(is_full=True, why=str(error))
            return False
        self._take_note(is_full=False)
        return True

    def _take_note(self, *, is_full: bool, why: str = "") -> None:
        if is_full and not self.is_full:
            log.error("the spool has no room: %s", why)
        elif self.is_full and not is_full:
            log.warning("the spool has room again")
        self.is_full = is_full

    def _check_files(self) -> None:
        """Leave files that were removed or moved away, in which nobody would look for a record."""
        for spare in [spare for spare in self._spares if not spare.is_in_place()]:
            self._spares.remove(spare)
            spare.discard()
        if self._current is not None and not self._current.is_in_place():
            log.error("%s was removed or moved away while it was written", self._current.path)
            self._leave_current(self._current)

    def _leave_current(self, segment: Growing) -> None:
        try:
            self._rotate(0)
        except SpoolFull:
            self._leave(segment)
            self._current = None

    def _shrink(self) -> None:
        """Give the disk back what a burst took, but for one spare."""
        for spare in self._spares[1:]:
            spare.discard()
        del self._spares[1:]

    def _allocate(self, size: int) -> Growing:
        spare = self._create(size)
        try:
            os.posix_fallocate(spare.descriptor, 0, size)
        except OSError:
            spare.discard()
            raise
        return spare

    def _create(self, size: int) -> Growing:
        """Create and lock a spare, again if a reader took it for a dead writer's in between."""
        while True:
            self.directory.mkdir(exist_ok=True)  # somebody may have removed it
            path = self._new_spare()
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return Growing(path, descriptor, size)
            os.close(descriptor)

    def _new_spare(self) -> Path:
        self._made += 1
        return self.directory / names.spare_name(self.writer, self._made)

    def _rotate(self, size: int) -> Growing:
        """Make the first spare with room for `size` bytes the current segment.

        The next one is there before the last is closed: a reader that finds all segments of a
        writer unlocked, and then no new one, knows that the writer is dead.
        """
        try:
            spare = self._spare_for(size)
            path = self.directory / names.segment_name(self.writer, self._numbered)
            spare.path = spare.path.rename(path)
        except OSError as error:
            self.append_errors += 1
            self._is_stuck = True
            self._stuck_until = time.monotonic() + RETRY_S
            self._take_note(is_full=True, why=str(error))
            raise SpoolFull(error.errno, error.strerror) from error
        self._spares.remove(spare)
        self._numbered += 1
        last, self._current = self._current, spare
        if last is not None:
            self._leave(last)
        return spare

    def _leave(self, segment: Growing) -> None:
        """Finish with a segment that another has taken the place of."""
        segment.close()

    def _spare_for(self, size: int) -> Growing:
        for spare in self._spares:
            if spare.size >= size:
                return spare
        spare = self._allocate(max(self.segment_bytes, size))
        self._spares.append(spare)
        return spare

    def _not_written(self, segment: Growing, written: int, number: int) -> SpoolFull:
        """Clear away what a failed write left; the disk has shown how much the segment can take."""
        self.append_errors += 1
        segment.size = segment.end
        with suppress(OSError):  # a reader takes what is left for a frame that is being written
            segment.size += os.pwrite(segment.descriptor, bytes(written), segment.end)
        return SpoolFull(number, os.strerror(number))
