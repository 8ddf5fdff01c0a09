"""Where an engine answers: decided by who starts the processes, told to who calls them."""

from __future__ import annotations

import msgspec
from typing_extensions import override


class Address(msgspec.Struct, frozen=True):
    """A port of loopback and the key for it, or what is missing to have them."""

    port: int = 0
    key: str = ""
    #: What to do to have the engine, None if it is there.
    missing: str | None = None

    @override
    def __repr__(self) -> str:
        return f"Address(port={self.port}, missing={self.missing!r})"


class Engines(msgspec.Struct, frozen=True):
    """Every engine of this machine."""

    #: The chat models by name, the default one first.
    chat: dict[str, Address] = {}
    #: What speaks and hears, None if it is not wanted.
    audio: Address | None = None
    #: What makes embeddings, None if it is not wanted.
    embeddings: Address | None = None
