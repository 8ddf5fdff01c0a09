"""A call's lifetime, whatever it asks for: room for its record, its answer, its errors, its record.

The record is appended to the spool before the last byte of the answer goes out, and on every way
out: no cancelled, refused or broken call is without one. A call that is cancelled while its record
is on its way appends it without an `await`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from standpipe import errors
from standpipe.calls import policy
from standpipe.calls.call import Call, now_us
from standpipe.calls.callers import Caller
from standpipe.calls.gate import Gate
from standpipe.calls.incoming import Incoming
from standpipe.calls.keeping import Keeper
from standpipe.calls.reply import Headers, Reply
from standpipe.config import Content
from standpipe.errors import ApiError, InternalError, NotACompletion, Unavailable
from standpipe.providers.dialect import Decoder
from standpipe.upstream.answer import Answer
from standpipe.wire import sse
from standpipe.wire.ids import Ids
from standpipe.wire.record import Kind, Record

log = logging.getLogger(__name__)

JSON = (b"content-type", b"application/json")
STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
]
#: What a route makes of a call's body.
Asked = TypeVar("Asked")
#: How long a provider may take to end its answer after its last event.
DRAIN_SECONDS = 0.5
#: Names of models that are remembered as headers have them, at most.
MODELS_SHOWN = 256


class Lifetime(ABC, Generic[Asked]):
    """What the calls of every route go through; a route says how it is served in between."""

    def __init__(
        self, keeper: Keeper, gate: Gate, *, logging_default: str, content: Content = "full"
    ) -> None:
        self._keeper = keeper
        self._gate = gate
        self._contents, self._secrets = keeper.contents, keeper.contents.secrets
        self._logging_default = logging_default
        #: What becomes of the text of a call that says nothing of it.
        self._logs = self._logged(header=None, store=None, read_only=False)
        self._content = content
        self._ids = Ids()
        #: A model's name as a header has it; few models are asked again and again.
        self._shown = functools.lru_cache(MODELS_SHOWN)(self._show)

    @abstractmethod
    def _read(self, call: Call) -> Asked:
        """Read body and control headers; the call then knows whether its text is kept."""

    @abstractmethod
    def _serve(self, call: Call, asked: Asked, reply: Reply) -> Awaitable[None]:
        """Answer the call, or raise what it fails with."""

    async def _live(self, call: Call, reply: Reply) -> str:
        """Answer a request and return the call's id.

        Errors are answered, not raised. Raises Unavailable, before anything is done, where the
        text must be kept and the spool has no room for it.
        """
        call.content = call.caller.content or self._content
        asked: Asked | Exception
        try:
            asked = self._read(call)
        except Exception as error:  # noqa: BLE001 (raised again once its record has room)
            asked = error
        if call.content == "none" and self._contents.drops(call.metadata):
            call.withheld += ("metadata=dropped",)
        call.promised = self._keeper.promise(len(call.body), logged=call.logged)
        try:
            if isinstance(asked, Exception):
                raise asked  # noqa: TRY301 (here is where errors are answered)
            if call.caller.is_limited:
                await self._gate.admit(call)
            await self._serve(call, asked, reply)
        except BaseException as error:  # noqa: BLE001 (raised again where nobody can be told)
            await self._broken(call, error, reply)
        finally:
            if not call.kept:
                self._keep_now(call)
            if call.promised:
                self._keeper.spool.release(call.promised)
        return call.id

    def _call(self, incoming: Incoming, caller: Caller, body: bytes, kind: Kind) -> Call:
        """Return what a request becomes."""
        at = time.time_ns() // 1000
        return Call(incoming, caller, body, kind, None, self._ids.new(at), at)

    async def _broken(self, call: Call, error: BaseException, reply: Reply) -> None:
        """Answer what ended a call, or raise it again where nobody can be told."""
        if isinstance(error, ApiError):
            await self._fail(call, error, reply)
        elif not isinstance(error, Exception):
            # By a client that has left, or else by a server that stops and can wait no longer.
            if not reply.gone and not call.kept:
                await self._fail(call, Unavailable("the server is stopping"), reply)
            raise error
        else:
            told = {"request_id": call.id}
            log.error("call %s: a bug", call.id, exc_info=error, extra=told)
            if call.kept:  # its record is one, and what was sent cannot be taken back
                raise error
            await self._fail(call, InternalError(f"internal error; request id {call.id}"), reply)

    def _decide(self, call: Call, wanted: bool | None, store: bool | None) -> None:
        """Decide whether the call's text is kept."""
        if call.content == "none":
            call.withheld = policy.withheld(call.content, header=wanted, store=store)
            return
        read_only = call.caller.read_only
        if wanted is None and store is None and not read_only:
            call.logged = self._logs
        else:
            call.logged = self._logged(header=wanted, store=store, read_only=read_only)

    def _logged(self, *, header: bool | None, store: bool | None, read_only: bool) -> bool:
        default = self._logging_default
        return policy.logged(
            default, header=header, store=store, read_only=read_only, fine_tuned=False
        )

    async def _whole(self, call: Call, body: bytes, reply: Reply) -> None:
        """Send a complete answer, its record first; one that is held back is sent by who does."""
        if self._secrets.are_in(body):
            body = self._secrets.hide(body)
        if call.after is not None and call.after.take(body):
            # It was received: if its client leaves now, the record says so and what it used.
            call.pieces = [body]
            return
        call.pieces.append(body)
        call.outcome, call.status = "complete", 200
        if call.content == "redacted" or self._keeper.spool.waits:
            await self._keep(call)
        else:
            self._keep_now(call)
        await reply.whole(200, [JSON, *self._names(call)], body)

    def _write(self, call: Call, events: bytes, reply: Reply) -> Awaitable[None]:
        """Send a piece of a stream."""
        if not call.begun:
            return self._begin_with(call, events, reply)
        if self._secrets.are_in(events):
            events = self._secrets.hide(events)
        call.pieces.append(events)
        return reply.write(events)

    def _passing(self, call: Call, decoder: Decoder, reply: Reply) -> Callable[[bytes], bool]:
        """Return what passes easy pieces of a stream on as they come, without waking the call."""
        easy, are_in, pass_on = decoder.easy, self._secrets.are_in, reply.pass_on
        keep = call.pieces.append

        def take(data: bytes) -> bool:
            events = easy(data)
            if events is None or are_in(events) or not pass_on(events):
                return False
            keep(events)
            return True

        return take

    async def _begin_with(self, call: Call, events: bytes, reply: Reply) -> None:
        await self._begin(call, reply)
        await self._write(call, events, reply)

    async def _begin(self, call: Call, reply: Reply) -> None:
        begin = self._contents.plain_begin(call.begin(), call.content, call.incoming.token)
        if call.content == "redacted":
            begin = await self._keeper.redacted_begin(begin)
        call.begun, call.status, call.form = True, 200, "sse"
        call.first_byte_at = now_us()
        self._keeper.keep_begin(begin, call.promised)
        await reply.begin(200, [*STREAM, *self._names(call)])

    async def _end(self, call: Call, last: bytes, reply: Reply) -> None:
        """Send the last piece of a stream, its record first."""
        if not call.begun:
            await self._begin(call, reply)
        last = self._secrets.hide(last)
        call.pieces.append(last)
        call.outcome = "complete"
        await self._keep(call)
        await reply.end(last)

    async def _fail(self, call: Call, error: ApiError, reply: Reply) -> None:
        call.failed(error)
        if call.begun:
            event = self._secrets.hide(self._error_event(error), call.incoming.token)
            call.pieces.append(event)
            await self._keep(call)
            await reply.end(event)
            return
        body = self._secrets.hide(msgspec.json.encode(errors.body(error)), call.incoming.token)
        call.pieces, call.form = [body], "json"
        await self._keep(call)
        await reply.whole(error.status, [*error_headers(error, call), *self._names(call)], body)

    def _names(self, call: Call) -> Headers:
        """Return the headers that say which call and which model it was."""
        headers: Headers = [(b"x-request-id", call.id.encode())]
        model = call.decoder.provider_model if call.decoder else call.provider_model
        if model and (name := self._shown(model)) is not None:
            headers.append((b"standpipe-model", name))
        headers += call.rates
        if call.cache is not None:
            headers.append((b"standpipe-cache", call.cache.encode()))
        if told := call.fidelity + call.withheld:
            headers.append((b"standpipe-fidelity", ", ".join(told).encode()))
        return headers

    def _show(self, model: str) -> bytes | None:
        """Return a provider's name of its model for a header, None if it cannot be in one."""
        # The provider chose these characters: none of them may end a header.
        is_safe = model.isascii() and model.isprintable()
        return self._secrets.hide(model.encode()) if is_safe else None

    def _error_event(self, error: ApiError) -> bytes:
        """Return the event that ends a stream which had begun."""
        return sse.event(msgspec.json.encode(errors.event(error)))

    async def _keep(self, call: Call) -> None:
        """Append the call's record, and return once its last byte may go out.

        Nothing is waited for where the text is not redacted.
        """
        kept, payload = self._contents.packed(call.record(), call.content, call.incoming.token)
        if call.content == "redacted":
            kept = await self._redacted(call, kept)
            self._append(call, kept, None)
        else:
            self._append(call, kept, payload)
        if self._keeper.spool.waits:
            await self._keeper.safe(kept)

    async def _redacted(self, call: Call, kept: Record) -> Record:
        try:
            return await self._keeper.redacted(kept)
        except asyncio.CancelledError:
            call.outcome = "abandoned"  # whatever it was to be, nobody was told
            raise

    def _keep_now(self, call: Call) -> None:
        """Append the call's record without an `await`, however long that takes."""
        kept, payload = self._contents.packed(call.record(), call.content, call.incoming.token)
        if call.content == "redacted":
            self._append(call, self._contents.redact(kept), None)
        else:
            self._append(call, kept, payload)

    def _append(self, call: Call, kept: Record, payload: bytes | None) -> None:
        """Append a record, and then say how its call ended: what counts as spent is noted."""
        call.kept = True
        try:
            self._keeper.keep_now(kept, call.promised, payload)
        finally:
            if call.is_held:
                self._gate.settle(call)


def error_headers(error: ApiError, call: Call | None = None) -> Headers:
    """Return the headers of an error's answer."""
    headers: Headers = [JSON]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    if call is not None and call.retried:
        headers.append((b"x-should-retry", b"false"))
    return headers


def check_stream(answer: Answer, wanted: bytes = b"text/event-stream") -> None:
    """Raise NotACompletion unless a stream was answered with a stream."""
    kind = answer.header(b"content-type") or b""
    if not kind.lower().startswith(wanted):
        raise NotACompletion(
            "the provider answered a streamed request with "
            f"{kind[:60].decode('latin-1') or 'no content type'}, not with {wanted.decode()}"
        )


async def drain(answer: Answer) -> None:
    """Read what a provider sends after its last event, so that its connection can be used again."""
    if answer.finished:  # it came with that event
        return
    with contextlib.suppress(ApiError, TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while await answer.read():
                pass
