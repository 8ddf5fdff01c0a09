"""The children of `serve`: what each is told, and how much it matters."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

import msgspec

from standpipe.api import worker_state
from standpipe.cli import engines
from standpipe.cli.prepared import Prepared
from standpipe.config import Settings, shared_environment
from standpipe.engine.address import Engines
from standpipe.limits.address import SOCKET
from standpipe.server.cores import cores
from standpipe.supervisor import ChildSpec


def worker_count(settings: Settings) -> int:
    """Return how many workers are wanted."""
    return settings.server.workers or cores()


def children(
    settings: Settings, prepared: Prepared, sockets: Sequence[socket.socket], planned: Engines
) -> list[ChildSpec]:
    """Return what is to run; there is a socket for each worker, or more."""
    count = worker_count(settings)
    workers = [_worker(number, count, settings, sockets, planned) for number in range(count)]
    found = [_drain(settings), _limiter(settings), *workers, *engines.children(settings, planned)]
    return found if prepared.away is None else [*found, _preparing(settings)]


def _preparing(settings: Settings) -> ChildSpec:
    """Return what makes tables and the first key as soon as the store is there."""
    argv = [*_module("standpipe.cli.prepare"), "--wait"]
    return ChildSpec("prepare", argv, {"config": settings.file}, essential=False, once=True)


def _drain(settings: Settings) -> ChildSpec:
    spec = {
        "store_url": settings.store_url,
        "spool": str(settings.spool_dir),
        "keep": settings.spool.keep,
        "usage_names": settings.usage.metadata,
        "prices": msgspec.to_builtins(settings.prices),
        "urls": {name: row.base_url for name, row in settings.providers.items()},
        "retention": msgspec.to_builtins(settings.retention),
        "cache_bytes": 0 if settings.cache.redis else settings.cache.max_bytes,
        "cache_redis": settings.cache.redis.reveal() if settings.cache.redis else "",
        "traces": {
            "endpoint": settings.telemetry.otlp_endpoint,
            "headers": {name: each.reveal() for name, each in settings.telemetry.headers.items()},
            "content": settings.telemetry.content,
        },
        "logging": msgspec.to_builtins(settings.logging),
    }
    drain = ChildSpec(
        "drain", _module("standpipe.drain"), spec, stop_order=2, grace=60.0, finishes=True
    )
    return drain._replace(environment=shared_environment(settings))


def _limiter(settings: Settings) -> ChildSpec:
    limits = settings.limits
    spec = {
        "socket": str(worker_state.directory(settings.home) / SOCKET),
        "store_url": settings.store_url,
        "spool": str(settings.spool_dir),
        "prices": msgspec.to_builtins(settings.prices),
        "urls": {name: row.base_url for name, row in settings.providers.items()},
        "redis": limits.redis.reveal() if limits.redis else "",
        "when_away": limits.when_away,
        "unpriced": limits.unpriced,
        "webhook": limits.webhook.reveal() if limits.webhook else "",
        "webhook_secret": limits.webhook_secret.reveal() if limits.webhook_secret else "",
        "logging": msgspec.to_builtins(settings.logging),
    }
    limiter = ChildSpec("limiter", _module("standpipe.limits"), spec, essential=False, stop_order=1)
    return limiter._replace(environment=shared_environment(settings))


def _worker(
    number: int,
    count: int,
    settings: Settings,
    sockets: Sequence[socket.socket],
    planned: Engines,
) -> ChildSpec:
    # Those of workers that are wanted no more: clients may wait in them, so all serve them.
    left = sockets[count:]
    inherited = tuple(each.fileno() for each in (sockets[number], *left))
    spec = {
        "config": settings.file,
        "text": settings.text,
        "worker": number,
        "sockets": inherited,
        "engines": msgspec.to_builtins(planned),
    }
    grace = settings.server.grace + 5.0
    argv = _module("standpipe.worker")
    return ChildSpec(f"worker-{number}", argv, spec, inherited, grace=grace, overlaps=True)


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]
