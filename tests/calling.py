"""One call through the call layer without a server: real spool, real provider, reply kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from spooling import everything

from standpipe.calls.attempts import Upstream
from standpipe.calls.callers import Caller
from standpipe.calls.chat import NO_SPEECH, Chat
from standpipe.calls.dispatch import Dispatch
from standpipe.calls.emulation.speech import Speech
from standpipe.calls.incoming import Incoming
from standpipe.calls.keeping import Keeper
from standpipe.calls.provider_keys import ProviderKey, ProviderKeys
from standpipe.calls.reply import Headers
from standpipe.calls.routes import Route, Routes, Target
from standpipe.config import Timeouts
from standpipe.providers.dialect import Dialect, Fidelity, Quirks
from standpipe.providers.openai import OpenAI
from standpipe.providers.table import Provider
from standpipe.spool import Spool, names
from standpipe.upstream.pool import Pool
from standpipe.upstream.transport import Origin
from standpipe.wire import fold
from standpipe.wire.record import Record, decode

Json = dict[str, Any]

CALLER = Caller(project="p", key="k", read_only=False)
HI: list[Json] = [{"role": "user", "content": "Hi"}]
#: A guard against hangs, in seconds.
DEADLINE = 60


@dataclass
class Kept:
    """A reply that keeps what it is told."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    gone: bool = False
    #: Called with each piece of a stream.
    on_write: Callable[[bytes], None] = lambda _: None

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self.status, self.headers, self.body, self.ended = status, dict(headers), body, True

    async def begin(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, dict(headers)

    async def write(self, data: bytes) -> None:
        self.body += data
        self.on_write(data)

    def pass_on(self, data: bytes) -> bool:
        self.body += data
        self.on_write(data)
        return True

    async def end(self, data: bytes) -> None:
        self.body += data
        self.ended = True

    @property
    def json(self) -> Json:
        found: Json = json.loads(self.body)
        return found

    @property
    def chunks(self) -> list[Json]:
        """Return the chunks of a stream that ended as it should."""
        assert self.status == 200, self.body
        assert self.body.endswith(b"data: [DONE]\n\n"), self.body
        events = self.body.split(b"\n\n")[:-2]
        return [json.loads(event.removeprefix(b"data: ")) for event in events]

    @property
    def folded(self) -> Json:
        completion = fold.fold_stream(self.body).completion
        assert completion is not None
        return completion

    @property
    def answer(self) -> Json:
        """Return the completion, folded if it was a stream."""
        assert self.status == 200, self.body
        return self.folded if self.body.startswith(b"data:") else self.json

    @property
    def content(self) -> Any:
        return self.answer["choices"][0]["message"]["content"]

    @property
    def fidelity(self) -> str:
        return self.headers.get(b"standpipe-fidelity", b"").decode()


def new_spool(folder: Path) -> Spool:
    return Spool(folder, boot=names.new_boot(), worker=0, segment_bytes=1 << 22)


class Gateway:
    """A chat route in front of one provider, in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        url: str,
        words: Mapping[str, Fidelity],
        dialect: Dialect | None = None,
        *,
        model: str | None = None,
        key: str = "sk-x",
        speech: Callable[[], Speech] = lambda: NO_SPEECH,
        spool: Callable[[Path], Spool] = new_spool,
    ) -> None:
        self.folder = folder
        self.provider = Provider("there", dialect or OpenAI(), retries=0, fidelity=words)
        self._url = url
        self._key = key
        self._speech = speech
        self._spool = spool
        self._route = Route((Target("there", model or "theirs"),), retries=0, name="m")

    def quirks(self, **quirks: bool) -> None:
        """Set what the provider's row says of how it speaks."""
        self.provider = msgspec.structs.replace(self.provider, quirks=Quirks(**quirks))

    @staticmethod
    def body(fields: Json) -> bytes:
        """Return the body of a call with these fields."""
        return json.dumps({"model": "m", "messages": HI, **fields}).encode()

    def ask(self, reply: Kept | None = None, *, best_effort: bool = False, **fields: Any) -> Kept:
        """Make one call and return its reply, once every task that it started has ended."""
        reply = reply or Kept()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(asyncio.wait_for(self._ask(reply, fields, best_effort), DEADLINE))
        return reply

    @property
    def records(self) -> list[Record]:
        frames = [decode(payload) for payload in everything(self.folder)]
        return [frame for frame in frames if isinstance(frame, Record)]

    async def _ask(self, reply: Kept, fields: Json, best_effort: bool) -> None:
        spool = self._spool(self.folder)
        pool = Pool(Origin.parse(self._url), timeouts=Timeouts(connect=10.0))
        keys = ProviderKeys([ProviderKey(self.provider.dialect.headers(self._key))])
        upstream = Upstream(self.provider, pool, keys)
        routes = Routes({"there": self.provider}, {"m": self._route})
        speech = self._speech()
        keeper = Keeper(spool)
        dispatch = Dispatch(routes, {"there": upstream})
        chat = Chat(dispatch, keeper, logging_default="all", speech=speech)
        incoming = Incoming(fidelity=b"best-effort" if best_effort else None)
        try:
            before = asyncio.all_tasks()
            call = asyncio.create_task(chat.answer(incoming, CALLER, self.body(fields), reply))
            await self._until_left(call, reply)
            assert asyncio.all_tasks() <= before, "a task was left behind"
        finally:
            await chat.close()
            await pool.close()
            spool.close()

    @staticmethod
    async def _until_left(call: asyncio.Task[str], reply: Kept) -> None:
        """Wait for the call; cancel it once the client is gone, as the server does."""
        while not call.done():
            await asyncio.wait([call], timeout=0.01)
            if reply.gone and not call.done():
                call.cancel()
                await asyncio.wait([call])
                return
        call.result()
