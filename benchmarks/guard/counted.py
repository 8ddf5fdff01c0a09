"""What runs under valgrind: a worker that is told when to count, or appending to a spool.

`python -m guard.counted MARKS worker`: a real worker; SIGUSR2 marks, and a byte on standard output
says that it is done. `python -m guard.counted MARKS spool FOLDER PHASE...`: appends so many frames
a phase, and marks after each.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from bodies import answer, question

from standpipe import worker
from standpipe.api import worker_state
from standpipe.calls import callers
from standpipe.spool import Spool
from standpipe.wire.record import Record, encode

#: What follows the worker's own lines on its standard output.
MARKED = b"marked\n"


class _Marks:
    """The library made of marks.c; the first mark begins to count."""

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        self._counts = False

    def mark(self) -> None:
        self._library.mark() if self._counts else self._library.begin()
        self._counts = True


def main() -> int:
    """Run what the command line names."""
    marks = _Marks(sys.argv[1])
    if sys.argv[2] == "worker":
        return _worker(marks)
    return _spool(marks, Path(sys.argv[3]), [int(each) for each in sys.argv[4:]])


def _worker(marks: _Marks) -> int:
    def on_signal(_number: int, _frame: object) -> None:
        marks.mark()
        os.write(1, MARKED)

    # What a worker does each second would be counted the more often the slower the machine is.
    callers.WATCH_SECONDS = worker_state.TELL_S = 86_400.0
    signal.signal(signal.SIGUSR2, on_signal)
    return worker.main()


def _spool(marks: _Marks, folder: Path, phases: list[int]) -> int:
    payload = encode(_record())
    spool = Spool(folder, boot="0", worker=0, segment_bytes=1 << 24)
    marks.mark()
    for frames in phases:
        for _ in range(frames):
            spool.append(payload)
        marks.mark()
    spool.close()
    return 0


def _record() -> Record:
    return Record(
        id="019aab00-0000-7000-8000-000000000000",
        kind="chat",
        project="p",
        key="k",
        requested_at=1_750_000_000_000_000,
        received_at=1_750_000_001_000_000,
        outcome="complete",
        status=200,
        logged=True,
        request=question("m"),
        response=answer(),
    )


if __name__ == "__main__":
    sys.exit(main())
