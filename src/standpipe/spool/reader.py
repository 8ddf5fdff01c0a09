"""Reading the spool: the frames of a segment, where it ends, and whether more can come.

Knows nothing of what a payload means, nor where a reader's position is kept.
"""

from __future__ import annotations

import enum
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from standpipe.spool import archive, frames, names

#: What is read at once, if no frame is larger.
_BLOCK_BYTES = 1 << 20


class Tail(enum.Enum):
    """What follows the frames that were read."""

    #: Whole frames that the limits of `read` left for next time.
    MORE = "more"
    #: Nothing yet, or part of a frame; the writer lives.
    OPEN = "open"
    #: Nothing, for ever.
    END = "end"
    #: Part of a frame, for ever: its writer died while writing it.
    TORN = "torn"
    #: What is no frame, and then more: not the work of a writer that died, but damage.
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Frames:
    """Payloads in the order written, each with the offset after it, and what follows the last."""

    payloads: list[tuple[bytes, int]]
    tail: Tail
    #: Bytes after the last frame that belong to none; 0 unless TORN or DAMAGED.
    lost_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame, and the offset after it."""

    payload: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes that are no frame."""

    offset: int
    size: int


class Segment:
    """One segment open for reading, put aside or kept ones too; FileNotFoundError if it is gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        is_kept = path.name.endswith(names.KEPT)
        self._descriptor = archive.opened(path) if is_kept else os.open(path, os.O_RDONLY)
        self._dead = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if it is open; nothing happens to what is in it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def is_dead(self) -> bool:
        """Tell whether the writer has closed the segment or died; once True, for ever."""
        self._dead = self._dead or _is_unlocked(self._descriptor)
        return self._dead

    def read(self, offset: int, *, max_bytes: int = 8 << 20, max_frames: int = 500) -> Frames:
        """Return the frames from `offset` on: at least one if there is one, then up to the limits.

        `max_bytes` counts payloads.
        """
        # Asked before the read: what a writer then dead has written is all there will be.
        dead = self.is_dead()
        payloads: list[tuple[bytes, int]] = []
        while len(payloads) < max_frames and max_bytes > 0:
            found = self._block(offset, min(max_bytes, _BLOCK_BYTES), max_frames - len(payloads))
            if not found:
                return Frames(payloads, *(self._tail(offset) if dead else (Tail.OPEN, 0)))
            payloads += found
            max_bytes -= sum(len(payload) for payload, _ in found)
            offset = found[-1][1]
        return Frames(payloads, Tail.MORE)

    def resume(self, offset: int) -> int | None:
        """Return where the first whole frame behind `offset` begins, None if there is none."""
        at = offset + 1
        while True:
            block = os.pread(self._descriptor, _BLOCK_BYTES, at)
            found = block.find(frames.MAGIC)
            if found >= 0:
                at += found
                if self._block(at, frames.HEADER_BYTES, 1):
                    return at
                at += 1
            elif len(block) < _BLOCK_BYTES:
                return None
            else:  # a magic may begin in this block and end in the next
                at += len(block) - len(frames.MAGIC) + 1

    def end(self, offset: int) -> int:
        """Return where the frames that begin at `offset` end now, going by their headers only."""
        limit = os.fstat(self._descriptor).st_size
        while True:
            header = os.pread(self._descriptor, frames.HEADER_BYTES, offset)
            size = frames.size_at(header)
            if size is None or offset + size > limit:
                return offset
            offset += size

    def put_aside(self, suffix: str) -> Path:
        """Rename a dead segment, on disk too, so that no reader takes it up again.

        Returns its new path.
        """
        path = self.path.rename(self.path.with_suffix(suffix))
        names.sync(path.parent)
        return path

    def _block(self, offset: int, size: int, max_frames: int) -> list[tuple[bytes, int]]:
        """Return the frames within `size` bytes at `offset`; a first one that is larger, alone."""
        block = os.pread(self._descriptor, max(size, frames.HEADER_BYTES), offset)
        needed = frames.size_at(block) or 0
        if needed > len(block):
            block = self._large(offset, needed)
        found: list[tuple[bytes, int]] = []
        at = 0
        while len(found) < max_frames and (payload := frames.payload_at(block, at)) is not None:
            at += frames.HEADER_BYTES + len(payload)
            found.append((payload, offset + at))
        return found

    def _large(self, offset: int, size: int) -> bytes:
        # A header may be damaged: no more is asked for than the file has.
        rest = os.fstat(self._descriptor).st_size - offset
        return os.pread(self._descriptor, size, offset) if size <= rest else b""

    def _tail(self, offset: int) -> tuple[Tail, int]:
        """Say what a dead writer left at `offset`, where no whole frame begins."""
        lost = self._written_after(offset)
        if not lost:
            return Tail.END, 0
        header = os.pread(self._descriptor, frames.HEADER_BYTES, offset)
        claimed = frames.size_at(header) or frames.HEADER_BYTES - 1
        return (Tail.TORN if lost <= claimed else Tail.DAMAGED), lost

    def _written_after(self, offset: int) -> int:
        """Return how many bytes from `offset` on come up to the last one that is not zero."""
        written = at = 0
        while block := os.pread(self._descriptor, _BLOCK_BYTES, offset + at):
            if kept := len(block.rstrip(b"\0")):
                written = at + kept
            at += len(block)
        return written


def each_frame(path: Path) -> Iterator[Frame | Unreadable]:
    """Read a segment of any kind from its begin to its end, behind what cannot be read too.

    Of one that is still written, what is there now. Raises FileNotFoundError if it is gone.
    """
    with Segment(path) as segment:
        offset = 0
        while True:
            found = segment.read(offset)
            for payload, end in found.payloads:
                yield Frame(payload, end)
                offset = end
            if found.tail is Tail.MORE:
                continue
            if not found.lost_bytes:
                return
            further = segment.resume(offset)
            yield Unreadable(offset, found.lost_bytes if further is None else further - offset)
            if further is None:
                return
            offset = further


def ends(directory: Path, positions: Mapping[str, int]) -> dict[str, int]:
    """Return where each segment's frames end now, by name; cheap if `positions` are recent."""
    found: dict[str, int] = {}
    for name in names.listed(directory, names.SEGMENT):
        try:
            with Segment(directory / name) as segment:
                found[name] = segment.end(positions.get(name, 0))
        except FileNotFoundError:
            continue  # drained and removed since it was listed
    return found


def is_drained(directory: Path, ends: Mapping[str, int], positions: Mapping[str, int]) -> bool:
    """Tell whether the drain's `positions` have reached `ends`, or the segments are gone."""
    return all(
        positions.get(name, 0) >= end or not (directory / name).exists()
        for name, end in ends.items()
    )


def living(directory: Path) -> set[str]:
    """Return the writers that live."""
    while True:
        files = _files(directory)
        found = {names.writer_of(name) for name in files if _is_locked(directory / name)}
        # What a writer held may have got another name before we looked.
        if _files(directory) == files:
            return found


def remove_dead_spares(directory: Path) -> None:
    """Delete the spares of dead writers; those of living ones stay."""
    for name in names.listed(directory, names.SPARE):
        _remove_if_unlocked(directory / name)


def _files(directory: Path) -> list[str]:
    return names.listed(directory, names.SEGMENT) + names.listed(directory, names.SPARE)


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _is_unlocked(descriptor)
    finally:
        os.close(descriptor)


def _remove_if_unlocked(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        # The lock is held over the unlink: a writer that was about to lock its new spare will
        # see that it is gone and make another.
        if _is_unlocked(descriptor):
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _is_unlocked(descriptor: int) -> bool:
    """Take a shared lock, which readers do not deny each other; False if a writer has its own."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
