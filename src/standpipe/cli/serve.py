"""`standpipe serve`: the process tree, and the first screen."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import msgspec
import typer

from standpipe import config
from standpipe.cli import engines
from standpipe.cli.options import ConfigOption
from standpipe.cli.prepared import Prepared
from standpipe.cli.screen import show
from standpipe.config import Settings, shared_environment
from standpipe.engine.address import Engines
from standpipe.errors import StandpipeError
from standpipe.providers.rows import completed
from standpipe.server.sockets import bind
from standpipe.supervisor import ChildSpec, Supervisor

#: Seconds that the store has to answer before the start goes on without it.
PREPARE_S = 30.0


def serve(config_path: ConfigOption = None) -> None:
    """Serve the API until Ctrl-C."""
    settings = completed(config.load(config_path))
    prepared = _prepare(settings)
    listening = bind(settings.server.host, settings.server.port)
    port = listening.getsockname()[1]
    planned = engines.plan(settings)
    children = _children(settings, listening, planned)
    if prepared.away is not None:
        children.append(_preparing(settings))
    supervisor = Supervisor(children, on_stop=lambda: _stopping(listening))

    def on_ready(ready: dict[str, dict[str, Any]]) -> None:
        lacking = _lacking(planned, ready)
        show(settings, port, prepared, lacking=lacking)

    raise typer.Exit(supervisor.run(on_ready))


def _stopping(listening: socket.socket) -> None:
    listening.close()
    sys.stderr.write("\nstopping: running calls may finish, then the records are stored\n")


def _prepare(settings: Settings) -> Prepared:
    argv = [sys.executable, "-m", "standpipe.cli.prepare", settings.file or ""]
    try:
        done = subprocess.run(  # noqa: S603 (our own)
            argv, stdout=subprocess.PIPE, check=False, timeout=PREPARE_S
        )
    except subprocess.TimeoutExpired:
        return Prepared(away="it does not answer in time")
    if not done.stdout:
        raise StandpipeError(f"the data directory {settings.home} could not be prepared")
    prepared = msgspec.json.decode(done.stdout, type=Prepared)
    if prepared.error:
        raise StandpipeError(prepared.error)
    return prepared


def _children(settings: Settings, listening: socket.socket, planned: Engines) -> list[ChildSpec]:
    serving = [_drain(settings), _worker(settings, listening, planned)]
    return [*serving, *engines.children(settings, planned)]


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
    }
    drain = ChildSpec(
        "drain", _module("standpipe.drain"), spec, stop_order=2, grace=60.0, finishes=True
    )
    return drain._replace(environment=shared_environment(settings))


def _worker(settings: Settings, listening: socket.socket, planned: Engines) -> ChildSpec:
    spec = {
        "config": settings.file,
        "text": settings.text,
        "worker": 0,
        "sockets": [listening.fileno()],
        "engines": msgspec.to_builtins(planned),
    }
    grace = settings.server.grace + 5.0
    return ChildSpec(
        "worker-0", _module("standpipe.worker"), spec, (listening.fileno(),), grace=grace
    )


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def _lacking(planned: Engines, ready: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return what keeps each local chat model from answering, where something does."""
    found = {name: where.missing for name, where in planned.chat.items() if where.missing}
    for name in planned.chat:
        if name not in found and engines.child_name(name) not in ready:
            found[name] = "its engine did not start, for the reason above"
    return found
