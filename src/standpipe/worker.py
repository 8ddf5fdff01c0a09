"""A worker: one process, one event loop, one listening socket, one spool writer."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import resource
import signal
import socket
import sys

import msgspec
import uvloop
from typing_extensions import override

from standpipe import app, config, log
from standpipe.api.presence import Presence
from standpipe.engine.address import Engines
from standpipe.errors import ConfigError
from standpipe.providers.rows import completed
from standpipe.server.door import door
from standpipe.server.listener import Traffic, serve
from standpipe.server.service import Limits
from standpipe.spool import names
from standpipe.spool.disk import DiskSpool
from standpipe.spool.writer import Spool
from standpipe.store.store import Store
from standpipe.wire.known_secrets import KnownSecrets

#: `spool.durability` to the spool that gives it.
SPOOLS: dict[str, type[Spool]] = {"process": Spool, "disk": DiskSpool}


#: Objects between two collections. A call that is being answered has some 30 that are counted and
#: leaves no cycle: with Python's 700, 32 connections made it look after every 80 calls, in vain.
_YOUNG = 5000
#: What the allocator may keep of memory that is free, and from what size on it maps each block by
#: itself, in bytes. With its own choice (128 KB, growing) it gives back after a large body what the
#: next one needs: the kernel then clears 800 pages for 1 MB, a third of all that such a call takes.
_KEPT_FREE, _MAPPED = 32 << 20, 8 << 20
#: Their names for `mallopt`, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class WorkerSpec(msgspec.Struct, frozen=True):
    """What the supervisor says on standard input."""

    #: Path of the configuration file, None if there is none, and what it said when it was checked.
    config: str | None
    text: str
    worker: int
    #: The listening sockets, inherited.
    sockets: tuple[int, ...]
    engines: Engines = Engines()

    @override
    def __repr__(self) -> str:
        # The text may hold keys.
        return f"WorkerSpec({self.worker}, {self.config!r})"


def main() -> int:
    """Serve until SIGTERM, or until standard input ends because the supervisor is gone.

    SIGUSR1 says that another worker serves the sockets now.
    """
    log.set_up()
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=WorkerSpec)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _allow_files()
    keep_memory()
    try:
        settings = completed(config.load(spec.config, text=spec.text))
        log.set_up(KnownSecrets(config.secrets(settings)), settings.logging)
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


def keep_memory() -> None:
    """Let what a large body took be there for the next one."""
    with contextlib.suppress(AttributeError, OSError):  # not every C library can be told
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED)


async def _serve(settings: config.Settings, spec: WorkerSpec) -> None:
    asyncio.get_running_loop().set_exception_handler(log.on_loop_error)
    store = Store.open(settings.store_url)
    spool = SPOOLS[settings.spool.durability](
        settings.spool_dir,
        boot=names.new_boot(),
        worker=spec.worker,
        segment_bytes=settings.spool.segment_bytes,
    )
    built = app.build(settings, store=store, spool=spool, engines=spec.engines, worker=spec.worker)
    ending = _Ending(built.presence)
    try:
        await serve(
            built,
            [socket.socket(fileno=number) for number in spec.sockets],
            limits=limits(settings),
            door=door(settings.server, built.presence.refusals),
            routes=built.direct,
            grace=settings.server.grace,
            stop=ending.stop,
            is_replaced=lambda: built.presence.is_leaving,
            on_ready=lambda traffic: _ready(built.presence, traffic),
        )
    finally:
        spool.close()
        store.close()


def limits(settings: config.Settings) -> Limits:
    """Return what clients are held to."""
    return Limits(
        header_timeout=settings.server.header_timeout,
        body_timeout=settings.server.body_timeout,
        body_total=settings.server.body_total,
        body_bytes=settings.server.max_body_bytes,
        keep_alive=settings.server.keep_alive,
    )


class _Ending:
    """The time to stop: SIGTERM, the supervisor's end, or SIGUSR1 from who is replaced."""

    def __init__(self, presence: Presence) -> None:
        self.stop = asyncio.Event()
        self._presence = presence
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGTERM, self._stop, False)
        self._loop.add_signal_handler(signal.SIGUSR1, self._stop, True)
        self._loop.add_reader(0, self._on_input)

    def _stop(self, is_replaced: bool) -> None:
        self._presence.is_leaving = is_replaced
        self._presence.is_stopping = True
        self.stop.set()

    def _on_input(self) -> None:
        if not os.read(0, 4096):
            self._loop.remove_reader(0)
            self._stop(False)


def _ready(presence: Presence, traffic: Traffic) -> None:
    presence.traffic = traffic
    # What is there now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
    _say({"ready": True})


def _say(report: dict[str, bool | str]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
