"""The embedded model on this machine: which file it is, and what it still lacks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from standpipe.config import Settings
from standpipe.engine import weights


def gguf(settings: Settings, name: str | None = None) -> Path | None:
    """Return the file of a local model, the default one unless named; None if it is not fetched."""
    model = settings.local.models.get(name) if name is not None else None
    if model is not None:
        return Path(model.gguf)
    return Path(settings.local.gguf) if settings.local.gguf else weights.find(settings.home)


def has_binding() -> bool:
    """Tell whether the extra `local` is installed."""
    return importlib.util.find_spec("xllamacpp") is not None


def lacking(settings: Settings, name: str | None = None) -> str | None:
    """Return what to do before a local model can answer; None if nothing."""
    if not has_binding():
        return "the local model needs the extra `local`: pip install 'standpipe[local]'"
    file = gguf(settings, name)
    if file is None:
        return "the local model's weights are not there: run `standpipe models pull`, then restart"
    if not file.is_file():
        where = f"local.models.{name}" if name in settings.local.models else "local"
        return f"{where}.gguf = {str(file)!r}: there is no such file"
    return None
