"""`standpipe serve`: the process tree, and the first screen."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
from typing import Any

import msgspec
import typer

from standpipe import config
from standpipe.cli import local
from standpipe.cli.options import ConfigOption
from standpipe.cli.prepared import Prepared
from standpipe.cli.screen import show
from standpipe.config import Settings
from standpipe.errors import StandpipeError
from standpipe.providers.rows import completed
from standpipe.server.sockets import bind
from standpipe.supervisor import ChildSpec, Supervisor


def serve(config_path: ConfigOption = None) -> None:
    """Serve the API until Ctrl-C."""
    settings = completed(config.load(config_path))
    prepared = _prepare(settings)
    listening = bind(settings.server.host, settings.server.port)
    port = listening.getsockname()[1]
    engine = _engine(settings)
    supervisor = Supervisor(
        _children(settings, listening, engine), on_stop=lambda: _stopping(listening)
    )

    def on_ready(ready: dict[str, dict[str, Any]]) -> None:
        missing = _missing(engine, ready)
        show(settings, port, token=prepared.token, given=prepared.given, missing=missing)

    raise typer.Exit(supervisor.run(on_ready))


def _stopping(listening: socket.socket) -> None:
    listening.close()
    sys.stderr.write("\nstopping: running calls may finish, then the records are stored\n")


def _prepare(settings: Settings) -> Prepared:
    argv = [sys.executable, "-m", "standpipe.cli.prepare", settings.file or ""]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False)  # noqa: S603 (our own)
    if not done.stdout:
        raise StandpipeError(f"the data directory {settings.home} could not be prepared")
    prepared = msgspec.json.decode(done.stdout, type=Prepared)
    if prepared.error:
        raise StandpipeError(prepared.error)
    return prepared


def _children(
    settings: Settings, listening: socket.socket, engine: dict[str, Any] | None
) -> list[ChildSpec]:
    children = [_drain(settings), _worker(settings, listening, engine)]
    if engine is not None and not engine["missing"]:
        children.append(_engine_child(settings, engine))
    return children


def _drain(settings: Settings) -> ChildSpec:
    spec = {"store_url": settings.store_url, "spool": str(settings.spool_dir)}
    return ChildSpec(
        "drain", _module("standpipe.drain"), spec, stop_order=2, grace=60.0, finishes=True
    )


def _worker(
    settings: Settings, listening: socket.socket, engine: dict[str, Any] | None
) -> ChildSpec:
    shared = {k: engine[k] for k in ("port", "key", "missing")} if engine else None
    spec = {"config": settings.file, "worker": 0, "socket": listening.fileno(), "engine": shared}
    grace = settings.server.grace + 5.0
    return ChildSpec(
        "worker-0", _module("standpipe.worker"), spec, (listening.fileno(),), grace=grace
    )


def _engine_child(settings: Settings, engine: dict[str, Any]) -> ChildSpec:
    row = settings.local
    spec = {
        "gguf": engine["gguf"],
        "port": engine["port"],
        "key": engine["key"],
        "name": row.model,
        "context": row.context,
        "slots": row.slots,
        "threads": row.threads or None,
    }
    # Essential only to itself: other providers are served while it loads, or fails to.
    return ChildSpec(
        "engine", _module("standpipe.engine.process"), spec, essential=False, stop_order=1
    )


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def _engine(settings: Settings) -> dict[str, Any] | None:
    """Return where the engine will be, or what it lacks; None if it is not wanted."""
    if not settings.local.enabled:
        return None
    missing = local.lacking(settings)
    port = 0 if missing else _free_port()
    return {
        "gguf": str(local.gguf(settings)),
        "port": port,
        "key": secrets.token_urlsafe(32),
        "missing": missing,
    }


def _missing(engine: dict[str, Any] | None, ready: dict[str, dict[str, Any]]) -> str | None:
    """Return what keeps the embedded model from answering, None if nothing does."""
    if engine is None or engine["missing"] or "engine" in ready:
        return engine["missing"] if engine else None
    return "its engine did not start, for the reason above"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
