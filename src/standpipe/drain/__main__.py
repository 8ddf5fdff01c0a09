"""The drain as a child of the supervisor: one JSON line in, one out, then drain."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import msgspec

from standpipe.drain.process import run_process


class DrainSpec(msgspec.Struct, frozen=True):
    """What the supervisor says on standard input; the URL may hold a password."""

    store_url: str
    spool: str


def main() -> int:
    """Run until told to stop; see `run_process`."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=DrainSpec)
    return run_process(spec.store_url, Path(spec.spool), on_ready=_ready)


def _ready() -> None:
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
