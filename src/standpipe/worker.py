"""A worker: one process, one event loop, one listening socket, one spool writer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import sys

import msgspec
import uvloop

from standpipe import app, config, log
from standpipe.engine.address import Engines
from standpipe.errors import ConfigError
from standpipe.providers.rows import completed
from standpipe.server.listener import serve
from standpipe.server.protocol import Limits
from standpipe.spool import names
from standpipe.spool.disk import DiskSpool
from standpipe.spool.writer import Spool
from standpipe.store.store import Store
from standpipe.wire.known_secrets import KnownSecrets

#: `spool.durability` to the spool that gives it.
SPOOLS: dict[str, type[Spool]] = {"process": Spool, "disk": DiskSpool}


class WorkerSpec(msgspec.Struct, frozen=True):
    """What the supervisor says on standard input."""

    #: Path of the configuration file, None for the usual places.
    config: str | None
    worker: int
    #: The listening socket, inherited.
    socket: int
    engines: Engines = Engines()


def main() -> int:
    """Serve until SIGTERM, or until standard input ends because the supervisor is gone."""
    log.set_up()
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=WorkerSpec)
    settings = completed(config.load(spec.config))
    log.set_up(KnownSecrets(config.secrets(settings)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _allow_files()
    try:
        uvloop.run(_serve(settings, spec))
    except ConfigError as error:
        _say({"ready": False, "error": str(error)})
        return 1
    return 0


def _allow_files() -> None:
    """Take all the open files we may have: each call needs two, and 1024 is a usual soft limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS has a hard limit that it does not allow
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(settings: config.Settings, spec: WorkerSpec) -> None:
    asyncio.get_running_loop().set_exception_handler(log.on_loop_error)
    store = Store.open(settings.store_url)
    spool = SPOOLS[settings.spool.durability](
        settings.spool_dir,
        boot=names.new_boot(),
        worker=spec.worker,
        segment_bytes=settings.spool.segment_bytes,
    )
    try:
        await serve(
            app.build(settings, store=store, spool=spool, engines=spec.engines),
            [socket.socket(fileno=spec.socket)],
            limits=limits(settings),
            grace=settings.server.grace,
            stop=_stop_event(),
            on_ready=_ready,
        )
    finally:
        spool.close()
        store.close()


def limits(settings: config.Settings) -> Limits:
    """Return what clients are held to."""
    return Limits(
        header_timeout=settings.server.header_timeout,
        body_timeout=settings.server.body_timeout,
        body_bytes=settings.server.max_body_bytes,
        keep_alive=settings.server.keep_alive,
    )


def _stop_event() -> asyncio.Event:
    """Return an event that SIGTERM sets, and the supervisor's end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def on_input() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            stop.set()

    loop.add_reader(0, on_input)
    return stop


def _ready() -> None:
    # What is there now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    _say({"ready": True})


def _say(report: dict[str, bool | str]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
