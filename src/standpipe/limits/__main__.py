"""The limiter as a child of the supervisor: one JSON line in, one out, then answers."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from standpipe import config, log
from standpipe.errors import ConfigError
from standpipe.limits.process import LimiterSpec, run
from standpipe.wire.known_secrets import KnownSecrets


def main() -> int:
    """Run until told to stop; see `run`."""
    log.set_up()
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=LimiterSpec)
    hidden = [word for url in (spec.store_url, spec.redis) for word in config.passwords(url)]
    told = [word for word in (spec.webhook, spec.webhook_secret) if word]
    log.set_up(KnownSecrets([*hidden, *told]), spec.logging)
    try:
        asyncio.run(run(spec, on_ready=lambda: _say({"ready": True})))
    except ConfigError as error:
        _say({"ready": False, "error": str(error)})
        return 1
    return 0


def _say(report: dict[str, bool | str]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
