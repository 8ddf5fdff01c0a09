"""How the engines of this machine stand: asked of them when somebody wants to know."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from standpipe.config import Timeouts
from standpipe.engine.address import Address, Engines
from standpipe.engine.embedding_weights import MODEL as EMBEDDING_MODEL
from standpipe.errors import UpstreamError
from standpipe.upstream.pool import Pool
from standpipe.upstream.transport import Origin, Request

#: An engine says this at once, also while it loads a model.
_TIMEOUTS = Timeouts(connect=1.0, first_byte=1.0, idle=1.0, total=2.0)
_LIMIT = 1 << 20


class EngineState(msgspec.Struct, frozen=True):
    """One engine."""

    #: Its model is in memory.
    loaded: bool
    #: Calls that it answers, or that wait there for their turn.
    calls: int


class _Told(msgspec.Struct, frozen=True):
    """What a process says: of the one engine that it is, or of each that it has."""

    name: str = ""
    loaded: bool = False
    calls: int = 0
    engines: Mapping[str, EngineState] = {}


class EngineStates:
    """Asks every engine that is wanted here."""

    def __init__(self, engines: Engines) -> None:
        self._places = _places(engines)
        self._ways = {
            where: Pool(Origin.parse(f"http://127.0.0.1:{where.port}"), timeouts=_TIMEOUTS)
            for where in self._places.values()
            if where.missing is None
        }

    async def all(self) -> dict[str, EngineState | None]:
        """Return them by name; None for one that does not answer, or that lacks something."""
        told = await asyncio.gather(*(_asked(*way) for way in self._ways.items()))
        found = {name: state for each in told for name, state in each.items()}
        return {name: found.get(name) for name in self._places}

    async def close(self) -> None:
        """Close the connections to them."""
        for pool in self._ways.values():
            await pool.close()


def _places(engines: Engines) -> dict[str, Address]:
    shared = {
        "speech": engines.audio,
        "hearing": engines.audio,
        EMBEDDING_MODEL: engines.embeddings,
    }
    return {**engines.chat, **{name: where for name, where in shared.items() if where is not None}}


async def _asked(where: Address, pool: Pool) -> Mapping[str, EngineState]:
    key = (b"authorization", f"Bearer {where.key}".encode())
    try:
        answer = await pool.send(Request("GET", "/standpipe", (key,)))
        with answer:
            body = await answer.body(_LIMIT)
        told = msgspec.json.decode(body, type=_Told)
    except (UpstreamError, msgspec.DecodeError):
        return {}
    return told.engines or {told.name: EngineState(told.loaded, told.calls)}
