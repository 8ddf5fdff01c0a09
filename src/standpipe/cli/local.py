"""The embedded model on this machine: which file it is, and what it still lacks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from standpipe.config import Settings
from standpipe.engine import weights


def gguf(settings: Settings) -> Path | None:
    """Return the file of the embedded model; None if the default one was not fetched yet."""
    if settings.local.gguf:
        return Path(settings.local.gguf)
    return weights.find(settings.home)


def has_binding() -> bool:
    """Tell whether the extra `local` is installed."""
    return importlib.util.find_spec("xllamacpp") is not None


def lacking(settings: Settings) -> str | None:
    """Return what to do before the embedded model can answer; None if nothing."""
    if not has_binding():
        return "the local model needs the extra `local`: pip install 'standpipe[local]'"
    file = gguf(settings)
    if file is None:
        return "the local model's weights are not there: run `standpipe models pull`, then restart"
    if not file.is_file():
        return f"local.gguf = {str(file)!r}: there is no such file"
    return None
