"""A chat route in front of several providers, in this process: real spool, real sockets.

board = Board(folder, {"slow": url, "dead": other}, {"r": route})
replies = board.run(board.ask("r"), board.ask("r"))
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from calling import CALLER, DEADLINE, HI, Kept
from spooling import everything

from standpipe.calls.attempts import Upstream
from standpipe.calls.chat import Chat
from standpipe.calls.dispatch import Dispatch
from standpipe.calls.incoming import Incoming
from standpipe.calls.keeping import Keeper
from standpipe.calls.provider_keys import ProviderKey, ProviderKeys
from standpipe.calls.routes import Route, Routes
from standpipe.config import Timeouts
from standpipe.providers.openai import OpenAI
from standpipe.providers.table import Provider
from standpipe.spool import Spool, names
from standpipe.upstream.pool import Pool
from standpipe.upstream.transport import Origin
from standpipe.wire.record import Attempt, Record, decode

Json = dict[str, Any]


class Board:
    """Providers by name, each its URL, and routes; chance is seeded."""

    def __init__(
        self,
        folder: Path,
        urls: Mapping[str, str],
        routes: Mapping[str, Route],
        *,
        providers: Mapping[str, Provider] | None = None,
        keys: tuple[str, ...] = ("sk-1",),
        first_byte: float = 20.0,
        idle: float = 20.0,
    ) -> None:
        self.folder = folder
        self._urls = urls
        self._routes = {n: msgspec.structs.replace(r, name=n) for n, r in routes.items()}
        plain = {name: Provider(name, OpenAI(), retries=0) for name in urls}
        self.providers = {**plain, **(providers or {})}
        self._keys = keys
        self._timeouts = Timeouts(connect=5.0, first_byte=first_byte, idle=idle)
        self._chat: Chat | None = None

    async def ask(
        self,
        model: str,
        *,
        fallback: object = None,
        best_effort: bool = False,
        reply: Kept | None = None,
        **fields: Any,
    ) -> Kept:
        """Make one call; `fallback` is what the header of that name has."""
        assert self._chat is not None
        reply = reply or Kept()
        header = fallback if isinstance(fallback, bytes) else json.dumps(fallback).encode()
        incoming = Incoming(
            fallback=None if fallback is None else header,
            fidelity=b"best-effort" if best_effort else None,
        )
        body = json.dumps({"model": model, "messages": HI, **fields}).encode()
        await self._chat.answer(incoming, CALLER, body, reply)
        return reply

    def run(self, *calls: Coroutine[Any, Any, Kept]) -> list[Kept]:
        """Make calls one after the other in a worker of their own."""

        async def script() -> list[Kept]:
            return [await call for call in calls]

        return self.play(script())

    def play(self, script: Coroutine[Any, Any, list[Kept]]) -> list[Kept]:
        """Run a script in a worker of its own."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(asyncio.wait_for(self._with_worker(script), DEADLINE))

    @property
    def records(self) -> list[Record]:
        frames = [decode(payload) for payload in everything(self.folder)]
        return [frame for frame in frames if isinstance(frame, Record)]

    @property
    def attempts(self) -> list[Attempt]:
        """Return the attempts of all calls."""
        return [attempt for record in self.records for attempt in record.attempts]

    async def _with_worker(self, script: Coroutine[Any, Any, list[Kept]]) -> list[Kept]:
        spool = Spool(self.folder, boot=names.new_boot(), worker=0, segment_bytes=1 << 22)
        pools = {n: Pool(Origin.parse(u), timeouts=self._timeouts) for n, u in self._urls.items()}
        upstreams = {name: self._upstream(name, pool) for name, pool in pools.items()}
        routes = Routes(self.providers, self._routes)
        dispatch = Dispatch(routes, upstreams, rng=random.Random(1))
        self._chat = Chat(dispatch, Keeper(spool), logging_default="all")
        try:
            return await script
        finally:
            await self._chat.close()
            for pool in pools.values():
                await pool.close()
            spool.close()

    def _upstream(self, name: str, pool: Pool) -> Upstream:
        provider = self.providers[name]
        places = range(len(self._keys)) if len(self._keys) > 1 else (None,)
        keys = ProviderKeys(
            ProviderKey(provider.dialect.headers(key), key.encode(), place)
            for key, place in zip(self._keys, places, strict=True)
        )
        return Upstream(provider, pool, keys)
