"""The engines of this machine: what each lacks, where it will answer, and the child that it is."""

from __future__ import annotations

import secrets
import socket
import sys
from typing import Any

from standpipe.cli import local
from standpipe.config import LocalModel, Settings, shared_environment
from standpipe.engine import embedding_weights, extras_installed
from standpipe.engine.address import Address, Engines
from standpipe.supervisor import ChildSpec

#: The child that is every engine but those of chat models.
EXTRAS = "extras"


def plan(settings: Settings, former: Engines | None = None) -> Engines:
    """Decide where each engine that is wanted will answer: where it did formerly, if it did."""
    former = former or Engines()
    chat = {
        name: _address(local.lacking(settings, name), former.chat.get(name))
        for name in settings.local.chat()
    }
    if not settings.local.enabled:
        return Engines()
    shared = _address(None, _extras(former))
    audio = extras_installed.lacking_audio()
    embeddings = extras_installed.lacking_embeddings(settings.home)
    return Engines(
        chat=chat,
        audio=_shared(shared, audio) if settings.local.audio else None,
        embeddings=_shared(shared, embeddings) if settings.local.embeddings else None,
    )


def children(settings: Settings, engines: Engines) -> list[ChildSpec]:
    """Return the children to start; what lacks something is left out.

    Each is essential only to itself: the others are served while it loads, or fails to.
    """
    found = [
        _chat_child(name, settings, model, engines.chat[name])
        for name, model in settings.local.chat().items()
        if engines.chat[name].missing is None
    ]
    if (where := _extras(engines)) is not None:
        found.append(_extras_child(settings, engines, where))
    return found


def child_name(model: str) -> str:
    """Return the name of the child that a chat model's engine is."""
    return f"engine-{model}"


def _address(missing: str | None, former: Address | None) -> Address:
    if missing is not None:
        return Address(missing=missing)
    if former is not None and former.missing is None:
        return former
    return Address(port=_free_port(), key=secrets.token_urlsafe(32))


def _shared(where: Address, missing: str | None) -> Address:
    return where if missing is None else Address(missing=missing)


def _extras(engines: Engines) -> Address | None:
    for where in (engines.audio, engines.embeddings):
        if where is not None and where.missing is None:
            return where
    return None


def _chat_child(name: str, settings: Settings, model: LocalModel, where: Address) -> ChildSpec:
    is_default = name == settings.local.model
    spec = {
        "gguf": str(local.gguf(settings, name)),
        "port": where.port,
        "key": where.key,
        "name": name,
        "context": model.context,
        "slots": model.slots,
        "threads": model.threads or None,
        "adapters": model.adapters,
        "preload": is_default,
        "idle": model.idle,
    }
    return _child(child_name(name), "standpipe.engine.process", spec, settings)


def _extras_child(settings: Settings, engines: Engines, where: Address) -> ChildSpec:
    makes = engines.embeddings is not None and engines.embeddings.missing is None
    folder = embedding_weights.find(settings.home) if makes else None
    spec = {
        "port": where.port,
        "key": where.key,
        "embeddings": str(folder) if folder else None,
        "audio": engines.audio is not None and engines.audio.missing is None,
        "threads": settings.local.threads or None,
    }
    return _child(EXTRAS, "standpipe.engine.extras", spec, settings)


def _child(name: str, module: str, spec: dict[str, Any], settings: Settings) -> ChildSpec:
    argv = [sys.executable, "-m", module]
    environment = shared_environment(settings)
    return ChildSpec(name, argv, spec, essential=False, stop_order=1, environment=environment)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
