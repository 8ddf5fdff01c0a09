"""Reading a whole spool in a test, and a real worker process to kill."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standpipe.spool import Segment, Tail, names

SRC = Path(__file__).parents[1] / "src"


def payloads_of(path: Path) -> tuple[list[bytes], Tail, int]:
    """Return all payloads of a segment, what follows them and how many bytes are lost."""
    payloads: list[bytes] = []
    offset = 0
    with Segment(path) as segment:
        while True:
            found = segment.read(offset)
            payloads += [payload for payload, _ in found.payloads]
            if found.tail is not Tail.MORE:
                return payloads, found.tail, found.lost_bytes
            offset = found.payloads[-1][1]


def everything(directory: Path) -> list[bytes]:
    """Return all payloads of a spool, in the order of its names."""
    return [
        payload
        for name in names.listed(directory, names.SEGMENT)
        for payload in payloads_of(directory / name)[0]
    ]


@contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """Let no file of this process grow beyond a size: the kernel answers as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def start_python(code: str, *arguments: object, stdin: int | None = None) -> subprocess.Popen[str]:
    """Start a Python process that runs `code` with arguments and whose output is read here."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={"PYTHONPATH": f"{SRC}:{Path(__file__).parent}"},
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
    )
