"""A chat completion from the caller's bytes to the record: `Chat.answer` owns every call.

The record is appended to the spool before the last byte of the answer goes out, without an
`await`, and on every way out: no cancelled, refused or broken call is without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping

import msgspec

from standpipe import errors
from standpipe.calls import incoming as control
from standpipe.calls import policy
from standpipe.calls.attempts import ANSWER_LIMIT, Upstream, attempt
from standpipe.calls.call import Call, now_us, without_text
from standpipe.calls.callers import Caller
from standpipe.calls.incoming import Incoming
from standpipe.calls.reply import Headers, Reply
from standpipe.calls.routes import Routes
from standpipe.errors import ApiError, Forbidden, InternalError, NotACompletion, Unavailable
from standpipe.providers.table import Provider
from standpipe.spool.writer import Spool, SpoolFull
from standpipe.upstream.answer import Answer
from standpipe.wire import chat, record, sse
from standpipe.wire.chat import ChatRequest

log = logging.getLogger(__name__)

JSON = (b"content-type", b"application/json")
STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
]
DONE = sse.event(sse.DONE)
#: How long a provider may take to end its answer after its last event.
DRAIN_SECONDS = 0.5


class Chat:
    """The chat route's calls: from bytes to a reply and a record."""

    def __init__(
        self,
        routes: Routes,
        upstreams: Mapping[str, Upstream],
        spool: Spool,
        *,
        logging_default: str,
    ) -> None:
        self._routes = routes
        self._upstreams = upstreams
        self._spool = spool
        self._logging_default = logging_default

    async def answer(self, incoming: Incoming, caller: Caller, body: bytes, reply: Reply) -> str:
        """Answer a request and return the call's id.

        Errors are answered, not raised. Raises Unavailable, before there is a call, where the
        spool has no room for its record.
        """
        if not self._spool.reserve(len(body)):
            raise Unavailable("the disk has no room to record this call", retry_after=5)
        call = Call(incoming, caller, body)
        try:
            await self._run(call, reply)
        finally:
            if not call.kept:
                self._keep(call)
            self._spool.release(len(body))
        return call.id

    async def _run(self, call: Call, reply: Reply) -> None:
        try:
            await self._serve(call, reply)
        except ApiError as error:
            await self._fail(call, error, reply)
        except asyncio.CancelledError:
            # By a client that has left, or else by a server that stops and can wait no longer.
            if not reply.gone and not call.kept:
                await self._fail(call, Unavailable("the server is stopping"), reply)
            raise
        except Exception:
            log.exception("call %s: a bug", call.id)
            await self._fail(call, InternalError(f"internal error; request id {call.id}"), reply)

    async def _serve(self, call: Call, reply: Reply) -> None:
        request = self._read(call)
        target = call.target = self._routes.resolve(request.model)
        if call.caller.read_only:
            raise Forbidden("Read-only OpenPipe API keys cannot access the base OpenAI API")
        upstream = self._upstreams[target.provider]
        provider = upstream.provider
        body = provider.dialect.prepare(request, target.model, provider.quirks)
        call.fidelity = provider.dialect.emulated(request)
        async with await attempt(call, target, upstream, body) as answer:
            relay = self._relay_stream if request.stream else self._relay_whole
            await relay(call, request, provider, answer, reply)

    def _read(self, call: Call) -> ChatRequest:
        """Read body and control headers; the call then knows whether its text is kept."""
        wanted = control.wants_log(call.incoming)
        self._decide(call, wanted, store=None)
        request = call.request = chat.parse(call.body)
        self._decide(call, wanted, store=request.store)
        call.metadata = {**request.metadata, **control.tags(call.incoming)}
        control.refuse_unsupported(call.incoming)
        return request

    def _decide(self, call: Call, wanted: bool | None, store: bool | None) -> None:
        call.logged = policy.logged(
            self._logging_default,
            header=wanted,
            store=store,
            read_only=call.caller.read_only,
            fine_tuned=False,
        )

    async def _relay_whole(
        self, call: Call, request: ChatRequest, provider: Provider, answer: Answer, reply: Reply
    ) -> None:
        raw = await answer.body(ANSWER_LIMIT)
        call.first_byte_at = now_us()
        whole = provider.dialect.completion(raw, request.model)
        call.provider_model = whole.provider_model
        call.pieces.append(whole.body)
        call.outcome, call.status = "complete", 200
        self._keep(call)
        await reply.whole(200, [JSON, *_names(call)], whole.body)

    async def _relay_stream(
        self, call: Call, request: ChatRequest, provider: Provider, answer: Answer, reply: Reply
    ) -> None:
        _check_stream(answer)
        decoder = call.decoder = provider.dialect.decoder(request, provider.quirks)
        last = b""
        while data := await answer.read():
            events = decoder.feed(data)
            if decoder.done:
                last = events
                break
            if events:
                await self._write(call, events, reply)
        decoder.close()
        await self._end(call, last, reply)
        await _drain(answer)

    async def _write(self, call: Call, events: bytes, reply: Reply) -> None:
        if not call.begun:
            await self._begin(call, reply)
        call.pieces.append(events)
        await reply.write(events)

    async def _begin(self, call: Call, reply: Reply) -> None:
        call.begun, call.status, call.form = True, 200, "sse"
        call.first_byte_at = now_us()
        try:
            self._spool.append(record.encode(call.begin()))
        except SpoolFull:
            log.warning("call %s: no room to note that its stream has begun", call.id)
        await reply.begin(200, [*STREAM, *_names(call)])

    async def _end(self, call: Call, last: bytes, reply: Reply) -> None:
        if not call.begun:
            await self._begin(call, reply)
        last += DONE
        call.pieces.append(last)
        call.outcome = "complete"
        self._keep(call)
        await reply.end(last)

    async def _fail(self, call: Call, error: ApiError, reply: Reply) -> None:
        call.failed(error)
        if call.begun:
            event = sse.event(msgspec.json.encode(errors.event(error)))
            call.pieces.append(event)
            self._keep(call)
            await reply.end(event)
            return
        body = msgspec.json.encode(errors.body(error))
        call.pieces, call.form = [body], "json"
        self._keep(call)
        await reply.whole(error.status, [*error_headers(error, call), *_names(call)], body)

    def _keep(self, call: Call) -> None:
        """Append the call's record; if its text has no room, its numbers alone."""
        call.kept = True
        kept = call.record()
        try:
            self._spool.append(record.encode(kept))
        except SpoolFull:
            log.warning("call %s: the spool has no room for its text", call.id)
            self._keep_numbers(kept)

    def _keep_numbers(self, kept: record.Record) -> None:
        try:
            self._spool.append(record.encode(without_text(kept)))
        except SpoolFull:
            log.exception("call %s: its record is lost", kept.id)


def error_headers(error: ApiError, call: Call | None = None) -> Headers:
    """Return the headers of an error's answer."""
    headers: Headers = [JSON]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    if call is not None and len(call.attempts) > 1:
        headers.append((b"x-should-retry", b"false"))
    return headers


def _names(call: Call) -> Headers:
    """Return the headers that say which call and which model it was."""
    headers: Headers = [(b"x-request-id", call.id.encode())]
    model = call.model_name
    # The provider chose these characters: none of them may end a header.
    if model and model.isascii() and model.isprintable():
        headers.append((b"standpipe-model", model.encode()))
    if call.fidelity:
        headers.append((b"standpipe-fidelity", ", ".join(call.fidelity).encode()))
    return headers


def _check_stream(answer: Answer) -> None:
    kind = answer.header(b"content-type") or b""
    if not kind.lower().startswith(b"text/event-stream"):
        raise NotACompletion(
            "the provider answered a streamed request with "
            f"{kind[:60].decode('latin-1') or 'no content type'}, not with text/event-stream"
        )


async def _drain(answer: Answer) -> None:
    """Read what a provider sends after its last event, so that its connection can be used again."""
    with contextlib.suppress(ApiError, TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while await answer.read():
                pass
