"""A chat completion from the caller's bytes to the record: how the chat route serves a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from typing_extensions import override

from standpipe.calls import incoming as control
from standpipe.calls.attempts import ANSWER_LIMIT, Upstream, attempt
from standpipe.calls.call import Call, now_us
from standpipe.calls.callers import Caller
from standpipe.calls.incoming import Incoming
from standpipe.calls.lifetime import Lifetime, check_stream, drain
from standpipe.calls.reply import Reply
from standpipe.calls.routes import Routes
from standpipe.errors import Forbidden, RequestError
from standpipe.providers import fidelity
from standpipe.providers.table import Provider
from standpipe.spool.writer import Spool
from standpipe.upstream.answer import Answer
from standpipe.wire import chat, sse
from standpipe.wire.chat import ChatRequest

DONE = sse.event(sse.DONE)

#: What makes a chat request's body out of a caller's body in another form.
Translate = Callable[[bytes], bytes]


class Chat(Lifetime):
    """The chat route's calls: from bytes to a reply and a record."""

    def __init__(
        self,
        routes: Routes,
        upstreams: Mapping[str, Upstream],
        spool: Spool,
        *,
        logging_default: str,
    ) -> None:
        super().__init__(spool, logging_default=logging_default)
        self._routes = routes
        self._upstreams = upstreams

    async def answer(
        self,
        incoming: Incoming,
        caller: Caller,
        body: bytes,
        reply: Reply,
        *,
        translate: Translate | None = None,
    ) -> str:
        """Answer a request and return the call's id.

        Errors are answered, not raised; those of `translate` too. Raises Unavailable, before
        there is a call, where the spool has no room for its record.
        """
        call = Call(incoming, caller, body)
        call.translate = translate
        return await self._live(call, reply)

    def dialect_of(self, model: object) -> str | None:
        """Return the name of the dialect that a model's target speaks, None if there is none."""
        try:
            target = self._routes.resolve(model) if isinstance(model, str) else None
        except RequestError:  # told when the call is served
            return None
        return None if target is None else self._upstreams[target.provider].provider.dialect.name

    @override
    async def _serve(self, call: Call, reply: Reply) -> None:
        request = self._read(call)
        target = call.target = self._routes.resolve(request.model)
        if call.caller.read_only:
            raise Forbidden("Read-only OpenPipe API keys cannot access the base OpenAI API")
        upstream = self._upstreams[target.provider]
        provider = upstream.provider
        plan = fidelity.plan(
            request, provider, best_effort=control.wants_best_effort(call.incoming)
        )
        call.fidelity = plan.noted()
        outgoing = provider.dialect.prepare(plan.request, target.model, provider.quirks)
        async with await attempt(call, target, upstream, outgoing) as answer:
            relay = self._relay_stream if request.stream else self._relay_whole
            await relay(call, request, provider, answer, reply)

    def _read(self, call: Call) -> ChatRequest:
        """Read body and control headers; the call then knows whether its text is kept."""
        wanted = control.wants_log(call.incoming)
        self._decide(call, wanted, store=None)
        if call.translate is not None:
            call.body = call.translate(call.body)
        request = call.request = chat.parse(call.body)
        self._decide(call, wanted, store=request.store)
        call.metadata = {**request.metadata, **control.tags(call.incoming)}
        control.refuse_unsupported(call.incoming)
        return request

    async def _relay_whole(
        self, call: Call, request: ChatRequest, provider: Provider, answer: Answer, reply: Reply
    ) -> None:
        raw = await answer.body(ANSWER_LIMIT)
        call.first_byte_at = now_us()
        whole = provider.dialect.completion(raw, request)
        call.provider_model = whole.provider_model
        await self._whole(call, whole.body, reply)

    async def _relay_stream(
        self, call: Call, request: ChatRequest, provider: Provider, answer: Answer, reply: Reply
    ) -> None:
        check_stream(answer)
        decoder = call.decoder = provider.dialect.decoder(request, provider.quirks)
        events = b""
        while data := await answer.read():
            events = decoder.feed(data)
            if decoder.done:
                break
            if events:
                await self._write(call, events, reply)
        decoder.close()
        await self._end(call, (events if data else b"") + DONE, reply)
        await drain(answer)
