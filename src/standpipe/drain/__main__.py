"""The drain as a child of the supervisor: one JSON line in, one out, then drain."""

from __future__ import annotations

import gc
import sys

import msgspec

from standpipe import config, log
from standpipe.drain.process import DrainSpec, run_process
from standpipe.wire.known_secrets import KnownSecrets

#: Objects made between two looks for cycles: a batch makes some ten thousand, and none is in one.
_OBJECTS = 100_000


def main() -> int:
    """Run until told to stop; see `run_process`."""
    gc.set_threshold(_OBJECTS)
    log.set_up()
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=DrainSpec)
    urls = (spec.store_url, spec.cache_redis)
    secrets = [word for url in urls for word in config.passwords(url)]
    secrets += spec.traces.headers.values()
    log.set_up(KnownSecrets(secrets), spec.logging)
    return run_process(spec, on_ready=_ready)


def _ready() -> None:
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
