"""Embeddings, OpenAI's older completions and its responses: calls that pass through."""

from __future__ import annotations

import functools

import msgspec
from typing_extensions import override

from standpipe import errors
from standpipe.calls import incoming as control
from standpipe.calls.attempts import ANSWER_LIMIT, Turn, Upstream, attempt
from standpipe.calls.call import Call, now_us
from standpipe.calls.callers import Caller
from standpipe.calls.chat import DONE
from standpipe.calls.dispatch import Dispatch
from standpipe.calls.gate import Gate
from standpipe.calls.incoming import Incoming
from standpipe.calls.keeping import Keeper
from standpipe.calls.lifetime import Lifetime, check_stream, drain
from standpipe.calls.reply import Reply
from standpipe.calls.routes import Target
from standpipe.config import Content
from standpipe.errors import ApiError, Forbidden
from standpipe.limits.client import Limiter
from standpipe.providers import passthrough as passed
from standpipe.providers.table import Provider
from standpipe.upstream.answer import Answer
from standpipe.wire import passthrough, sse
from standpipe.wire.passthrough import PassedRequest, Route


class Passthrough(Lifetime[PassedRequest]):
    """The calls of one route that passes through."""

    def __init__(
        self,
        route: Route,
        dispatch: Dispatch,
        keeper: Keeper,
        *,
        limiter: Limiter | None = None,
        logging_default: str,
        content: Content = "full",
    ) -> None:
        gate = Gate(dispatch, limiter)
        super().__init__(keeper, gate, logging_default=logging_default, content=content)
        self._route = route
        self._dispatch = dispatch

    async def answer(self, incoming: Incoming, caller: Caller, body: bytes, reply: Reply) -> str:
        """Answer a request and return the call's id.

        Errors are answered, not raised. Raises Unavailable, before there is a call, where the
        spool has no room for its record.
        """
        return await self._live(self._call(incoming, caller, body, self._route.kind), reply)

    @override
    async def _serve(self, call: Call, request: PassedRequest, reply: Reply) -> None:
        if call.caller.read_only:
            raise Forbidden("Read-only OpenPipe API keys cannot access the base OpenAI API")
        turn = self._dispatch.only(call, request.model)
        if turn is not None:
            await self._at(call, request, reply, turn)
            return
        serve = functools.partial(self._at, call, request, reply)
        check = functools.partial(_check, request)
        await self._dispatch.serve(call, request.model, serve, check)

    async def _at(self, call: Call, request: PassedRequest, reply: Reply, turn: Turn) -> None:
        """Serve the call at the target whose turn it is."""
        if turn.target.parameters:
            request = passthrough.changed(request, turn.target.parameters)
        outgoing = passed.prepare(request, turn.target.model, turn.upstream.provider)
        with await attempt(call, turn, outgoing) as answer:
            if request.stream:
                await self._relay_stream(call, request, turn.upstream.provider, answer, reply)
            else:
                await self._relay_whole(call, request, answer, reply)

    @override
    def _read(self, call: Call) -> PassedRequest:
        wanted = control.wants_log(call.incoming)
        try:
            request = call.request = passthrough.parse(call.body, self._route)
        except Exception:
            self._decide(call, wanted, store=None)
            raise
        self._decide(call, wanted, store=request.store)
        call.metadata = control.tagged(request.metadata, call.incoming)
        control.refuse_unsupported(call.incoming)
        return request

    async def _relay_whole(
        self, call: Call, request: PassedRequest, answer: Answer, reply: Reply
    ) -> None:
        raw = await answer.body(ANSWER_LIMIT)
        call.first_byte_at = now_us()
        whole = passed.completion(raw, request)
        call.provider_model = whole.provider_model
        await self._whole(call, whole.body, reply)

    async def _relay_stream(
        self, call: Call, request: PassedRequest, provider: Provider, answer: Answer, reply: Reply
    ) -> None:
        check_stream(answer)
        decoder = call.decoder = passed.decoder(request, provider.quirks)
        answer.taker = self._passing(call, decoder, reply)
        events = b""
        while data := await answer.read():
            events = decoder.feed(data)
            if decoder.done:
                break
            if events:
                await self._write(call, events, reply)
        decoder.close()
        last = events if data else b""
        await self._end(call, last + (DONE if self._route.like_chat else b""), reply)
        await drain(answer)

    @override
    def _error_event(self, error: ApiError) -> bytes:
        """Return the event in which the route's own clients look for an error."""
        event = errors.event(error)
        if self._route.like_chat:
            return sse.event(msgspec.json.encode(event))
        flat = {"type": "error", **event["error"], **event}
        flat["type"] = "error"
        return b"event: error\n" + sse.event(msgspec.json.encode(flat))


def _check(request: PassedRequest, target: Target, upstream: Upstream) -> None:
    """Raise BadRequest where a target's provider does not have the route."""
    passed.prepare(request, target.model, upstream.provider)
