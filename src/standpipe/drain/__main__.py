"""The drain as a child of the supervisor: one JSON line in, one out, then drain."""

from __future__ import annotations

import logging
import sys

import msgspec

from standpipe.drain.process import DrainSpec, run_process


def main() -> int:
    """Run until told to stop; see `run_process`."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=DrainSpec)
    return run_process(spec, on_ready=_ready)


def _ready() -> None:
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
