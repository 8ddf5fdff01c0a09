"""A chat completion from the caller's bytes to the record: how the chat route serves a call."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
from typing_extensions import override

from standpipe.calls import incoming as control
from standpipe.calls.attempts import ANSWER_LIMIT, Turn, Upstream, attempt
from standpipe.calls.cache.cache import Cache, Place
from standpipe.calls.cache.entry import Entry, entry_of
from standpipe.calls.cache.keys import Keys, asked_of
from standpipe.calls.call import Call, now_us
from standpipe.calls.callers import Caller
from standpipe.calls.dispatch import Dispatch
from standpipe.calls.emulation import replay
from standpipe.calls.emulation.checker import Checker
from standpipe.calls.emulation.means import Means
from standpipe.calls.emulation.source import Source, Tries
from standpipe.calls.emulation.speech import Silence, Speech
from standpipe.calls.emulation.table import Emulation
from standpipe.calls.emulation.telling import Telling
from standpipe.calls.gate import Gate
from standpipe.calls.incoming import CacheMode, Incoming
from standpipe.calls.keeping import Keeper
from standpipe.calls.lifetime import Lifetime, check_stream, drain
from standpipe.calls.mixing import Mixing
from standpipe.calls.mixtures import LESS
from standpipe.calls.reply import Reply
from standpipe.calls.routes import Target
from standpipe.config import Content
from standpipe.errors import BadRequest, Forbidden
from standpipe.limits.client import Limiter
from standpipe.providers import fidelity
from standpipe.providers.fidelity import Plan
from standpipe.providers.table import Provider
from standpipe.upstream.answer import Answer
from standpipe.wire import chat, sse
from standpipe.wire.around import Arounds
from standpipe.wire.chat import ChatRequest

DONE = sse.event(sse.DONE)
#: What a dialect says where its provider told no time; in a JSON string the quotes are escaped.
_NO_TIME = b'"created":0,'
#: What it begins with where its provider gave no id.
_NO_ID = b'{"id":"",'

NO_SPEECH = Silence("no engine of speech is set up here")
#: What makes a chat request's body out of a caller's body in another form.
Translate = Callable[[bytes], bytes]


class Whole(msgspec.Struct, frozen=True):
    """What was said of a whole answer that is told as a stream; stands where a decoder would."""

    completion_id: str | None
    provider_model: str | None
    usage: msgspec.Raw | None


class Chat(Lifetime[ChatRequest]):
    """The chat route's calls: from bytes to a reply and a record."""

    def __init__(
        self,
        dispatch: Dispatch,
        keeper: Keeper,
        *,
        limiter: Limiter | None = None,
        logging_default: str,
        content: Content = "full",
        speech: Speech = NO_SPEECH,
        cache: Cache | None = None,
    ) -> None:
        gate = Gate(dispatch, limiter)
        super().__init__(keeper, gate, logging_default=logging_default, content=content)
        self._dispatch = dispatch
        self._means = Means(Checker(), speech)
        self._arounds = Arounds()
        self._mixing = Mixing(dispatch, self._means, _plan, self._secrets)
        #: None where answers are not cached.
        self.cache = cache
        self._keys = Keys(dispatch)

    async def close(self) -> None:
        """End what was started for the calls."""
        await self._means.checker.close()
        await self._means.speech.close()
        if self.cache is not None:
            await self.cache.close()

    def answer(
        self,
        incoming: Incoming,
        caller: Caller,
        body: bytes,
        reply: Reply,
        *,
        translate: Translate | None = None,
    ) -> Coroutine[Any, Any, str]:
        """Answer a request and return the call's id.

        Errors are answered, not raised; those of `translate` too. Raises Unavailable, before
        there is a call, where the spool has no room for its record.
        """
        call = self._call(incoming, caller, body, "chat")
        call.translate = translate
        return self._live(call, reply)

    def carry(self, call: Call, reply: Reply) -> Awaitable[str]:
        """Answer a call that somebody else has made, as `answer` does; return its id."""
        return self._live(call, reply)

    def targets(self, model: str, incoming: Incoming) -> list[Target]:
        """Return every target that a call may be tried at.

        Raises NotFound or BadRequest for a model that leads nowhere.
        """
        return self._dispatch.targets(model, incoming)

    def answers(self, model: str) -> int:
        """Return how many answers are made for one of a model: more than one by a mixture."""
        return self._dispatch.answers(model)

    def dialect_of(self, model: object, incoming: Incoming) -> str | None:
        """Return the dialect that all targets of a call speak, None if there is no such one."""
        return self._dispatch.dialect_of(model, incoming)

    @override
    def _serve(self, call: Call, request: ChatRequest, reply: Reply) -> Awaitable[None]:
        if call.after is not None and not call.after.begun:
            return call.after.serve(call, request, reply)
        if call.caller.read_only:
            raise Forbidden("Read-only OpenPipe API keys cannot access the base OpenAI API")
        if call.incoming.cache is not None:
            mode = control.cache_mode(call.incoming)
            if mode is not None:
                return self._cached(call, request, mode, reply)
        return self._make(call, request, reply)

    def _make(self, call: Call, request: ChatRequest, reply: Reply) -> Awaitable[None]:
        """Have the call answered by a provider."""
        turn = self._dispatch.only(call, request.model)
        if turn is not None:
            return self._at(call, request, reply, turn)
        mixture = self._dispatch.mixture(request.model)
        if mixture is not None:
            tell = functools.partial(self._tell_made, call, reply)
            return self._mixing.serve(call, request, mixture, tell)
        serve = functools.partial(self._at, call, request, reply)
        check = functools.partial(_plan, call, request)
        return self._dispatch.serve(call, request.model, serve, check)

    def _cached(
        self, call: Call, request: ChatRequest, mode: CacheMode, reply: Reply
    ) -> Awaitable[None]:
        """Answer from the cache, or have an answer made for it."""
        cache = self.cache
        if cache is None or call.content != "full":  # what is not to be kept is not cached
            call.withheld += ("cache=dropped",)
            return self._make(call, request, reply)
        call.cache = "miss"
        asked = asked_of(call)
        if mode.reads and (entry := cache.recall(asked)) is not None:
            return self._again(call, request, reply, entry)

        async def make() -> Entry | None:
            await self._make(call, request, reply)
            return self._entry(call)

        place = Place(call.caller.project, self._keys.of(call, request), asked)
        tell = functools.partial(self._again, call, request, reply)
        return cache.serve(place, mode, tell, make)

    def _entry(self, call: Call) -> Entry | None:
        """Return what may be kept of an answer.

        Nothing of one that repeats the caller's key, or for which a part of a mixture failed.
        """
        entry = entry_of(call)
        if entry is None or not LESS.isdisjoint(entry.fidelity):
            return None
        if self._secrets.are_in(entry.body, call.incoming.token):
            return None
        return entry

    def _again(
        self, call: Call, request: ChatRequest, reply: Reply, entry: Entry
    ) -> Awaitable[None]:
        """Answer with what another call was answered with."""
        call.cache = "hit"
        call.target = Target(entry.provider, entry.model)
        call.provider_model, call.fidelity = entry.provider_model, entry.fidelity
        call.first_byte_at = now_us()
        if request.stream:
            return self._told(call, msgspec.json.decode(entry.body), request, reply)
        return self._whole(call, entry.body, reply)

    async def _told(
        self, call: Call, completion: dict[str, Any], request: ChatRequest, reply: Reply
    ) -> None:
        """Tell a whole answer as the stream that was asked for."""
        usage = completion.get("usage")
        if call.decoder is None:
            raw = None if usage is None else msgspec.Raw(msgspec.json.encode(usage))
            call.decoder = Whole(completion.get("id"), call.provider_model, raw)
        chunks = replay.chunks(completion)
        if request.include_usage and usage is not None:
            chunks.append({**chunks[0], "choices": [], "usage": usage})
        *first, last = (sse.event(msgspec.json.encode(chunk)) for chunk in chunks)
        await self._write(call, b"".join(first), reply)
        await self._end(call, last + DONE, reply)

    def _at(self, call: Call, request: ChatRequest, reply: Reply, turn: Turn) -> Awaitable[None]:
        """Serve the call at the target whose turn it is."""
        takes_all = turn.upstream.provider.takes_all
        if takes_all and not turn.target.parameters and call.incoming.fidelity is None:
            call.fidelity = ()
            return self._pass(call, request, turn, reply)
        plan = _plan(call, request, turn.target, turn.upstream)
        if plan.emulated:
            return self._emulate(call, Emulation(plan), turn, reply)
        call.fidelity = plan.noted() if plan.dropped else ()
        return self._pass(call, plan.request, turn, reply)

    async def _pass(self, call: Call, request: ChatRequest, turn: Turn, reply: Reply) -> None:
        """Send the request on, and the answer back as it comes."""
        provider = turn.upstream.provider
        outgoing = provider.dialect.prepare(request, turn.target.model, provider.quirks)
        with await attempt(call, turn, outgoing) as answer:
            relay = self._relay_stream if request.stream else self._relay_whole
            await relay(call, request, provider, answer, reply)

    async def _emulate(self, call: Call, emulation: Emulation, turn: Turn, reply: Reply) -> None:
        """Do what the provider lacks; where that is in the request alone, the answer is passed."""
        call.fidelity = emulation.noted
        if emulation.plain:
            await self._pass(call, emulation.request(), turn, reply)
            return
        await self._tell_made(call, reply, emulation, Tries(call, turn))

    async def _tell_made(
        self, call: Call, reply: Reply, emulation: Emulation, tries: Tries
    ) -> None:
        """Have an answer made, and tell it."""
        call.decoder = tries.tally
        source = emulation.source(tries, self._means)
        telling = Telling(emulation.asked, tries.tally, second(call), identity(call))
        if emulation.asked.stream:
            await self._tell(call, source, telling, reply)
            return
        completion = await source.whole()
        call.first_byte_at = now_us()
        await self._whole(call, telling.whole(completion), reply)

    async def _tell(self, call: Call, source: Source, telling: Telling, reply: Reply) -> None:
        async def emit(chunks: list[dict[str, Any]]) -> None:
            await self._write(call, telling.events(chunks), reply)

        await source.stream(emit)
        await self._end(call, telling.last() + DONE, reply)

    @override
    def _read(self, call: Call) -> ChatRequest:
        wanted = control.wants_log(call.incoming)
        try:
            if call.translate is not None:
                call.body = call.translate(call.body)
            request = call.request = self._arounds.parse(call.body, call.caller.project)
        except Exception:
            self._decide(call, wanted, store=None)
            raise
        self._decide(call, wanted, store=request.store)
        call.metadata = request.metadata
        if call.incoming.tags:
            call.metadata = control.tagged(call.metadata, call.incoming)
        if call.incoming.criteria is not None or "criteria" in request.given:
            return self._to_judge(call, request)
        return request

    def _to_judge(self, call: Call, request: ChatRequest) -> ChatRequest:
        """Return what is to be sent of a request whose answer is to be judged.

        A route that cannot do that raises BadRequest.
        """
        control.refuse_criteria(call.incoming)
        if request.values.get("criteria"):
            raise BadRequest("criteria: this route judges no answers", param="criteria")
        return chat.parse(chat.rebuild(request, changes={}, without=("criteria",)))

    async def _relay_whole(
        self, call: Call, request: ChatRequest, provider: Provider, answer: Answer, reply: Reply
    ) -> None:
        raw = await answer.body(ANSWER_LIMIT)
        call.first_byte_at = time.time_ns() // 1000
        whole = provider.dialect.completion(raw, request)
        call.provider_model = whole.provider_model
        body = whole.body
        if not provider.dialect.passes_unknown:
            body = _completed(body, call, provider)
        await self._whole(call, body, reply)

    async def _relay_stream(
        self, call: Call, request: ChatRequest, provider: Provider, answer: Answer, reply: Reply
    ) -> None:
        check_stream(answer, provider.dialect.stream_type)
        decoder = call.decoder = provider.dialect.decoder(request, provider.quirks)
        answer.taker = self._passing(call, decoder, reply)
        last = b""
        while data := await answer.read():
            events = _completed(decoder.feed(data), call, provider)
            if decoder.done:
                last = events
                break
            if events:
                await self._write(call, events, reply)
        decoder.close()
        await self._end(call, last + DONE, reply)
        await drain(answer)


def _plan(call: Call, request: ChatRequest, target: Target, upstream: Upstream) -> Plan:
    """Decide what becomes of a request at a target; BadRequest names what it cannot honour."""
    if target.parameters:
        request = chat.parse(chat.rebuild(request, changes=target.parameters, without=()))
    best_effort = control.wants_best_effort(call.incoming)
    return fidelity.plan(request, upstream.provider, best_effort=best_effort)


def second(call: Call) -> int:
    """Return when the call came, in seconds since the Unix epoch."""
    return call.requested_at // 1_000_000


def identity(call: Call) -> str:
    """Return the id of a completion to which its provider gave none."""
    return f"chatcmpl-{call.id}"


def _completed(said: bytes, call: Call, provider: Provider) -> bytes:
    """Add time and id to what a dialect made; one that passes all on passes its provider's."""
    if provider.dialect.passes_unknown:
        return said
    said = said.replace(_NO_TIME, b'"created":%d,' % second(call))
    named = b'{"id":"%s",' % identity(call).encode()
    if said.startswith(_NO_ID):
        return named + said.removeprefix(_NO_ID)
    return said.replace(b"data: " + _NO_ID, b"data: " + named)
