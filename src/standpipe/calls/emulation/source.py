"""Where an emulated answer comes from: tries at the target, and what they said of themselves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from standpipe.calls.attempts import ANSWER_LIMIT, Turn, attempt
from standpipe.calls.call import Call
from standpipe.calls.emulation.edits import Edit, Editor
from standpipe.calls.lifetime import check_stream, drain
from standpipe.errors import Cut, NotACompletion
from standpipe.providers.dialect import Decoder, Fidelity
from standpipe.upstream.answer import Answer
from standpipe.wire import chat, sse
from standpipe.wire import usage as usages
from standpipe.wire.chat import ChatRequest
from standpipe.wire.record import Usage
from standpipe.wire.summary import chars

Json = dict[str, Any]
#: Takes the next chunks of a stream; waits while the client is slow.
Emit = Callable[[list[Json]], Awaitable[None]]

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class Source(Protocol):
    """One answer to one request, made in whatever way."""

    async def whole(self) -> Json:
        """Return the completion."""

    async def stream(self, emit: Emit) -> None:
        """Emit the chunks, usage left out, and return at the end."""


#: Makes the source of a request's answer.
Make = Callable[[Json], Source]


class Tally:
    """What the tries of one call said of themselves, added up; stands where a decoder would."""

    def __init__(self) -> None:
        self.completion_id: str | None = None
        self.provider_model: str | None = None
        self._usages: list[Json | None] = []

    @property
    def usage(self) -> msgspec.Raw | None:
        """Return the sum of all usages, as billed; None if any try said nothing."""
        told = [usage for usage in self._usages if usage is not None]
        if not told or len(told) < len(self._usages):
            return None
        total: Json = {}
        for usage in told:
            total = _added(total, usage)
        return msgspec.Raw(_encode(total))

    def add(self, usage: object) -> None:
        """Count a try's usage; None for one that did not say."""
        self._usages.append(usage if isinstance(usage, dict) else None)


def _added(total: Json, more: Json) -> Json:
    return {**total, **{name: _sum(total.get(name), value) for name, value in more.items()}}


def _sum(known: Any, more: Any) -> Any:
    if isinstance(more, dict):
        return _added(known if isinstance(known, dict) else {}, more)
    if isinstance(more, int | float) and not isinstance(more, bool):
        return more + known if isinstance(known, int | float) else more
    return known if more is None else more


class Meter:
    """What one try used: as its provider tells, or else by what went to and fro."""

    def __init__(self, call: Call, request: ChatRequest) -> None:
        self._call = call
        self._request = request
        #: The attempt that was answered is the newest.
        self._place = len(call.attempts) - 1
        self._chars = 0
        self._tier: str | None = None
        #: As the provider calls its model.
        self.provider_model: str | None = None
        #: What the provider told, in OpenAI's form.
        self.told: object = None
        #: The answer has come to its end.
        self.done = False

    def take(self, answer: Json, part: str) -> None:
        """Count a piece of the answer; its choices have the text in `part`."""
        choices = answer.get("choices")
        listed = choices if isinstance(choices, list) else []
        self._chars += chars(each.get(part) for each in listed if isinstance(each, dict))
        tier = answer.get("service_tier")
        self._tier = tier if isinstance(tier, str) else self._tier

    def close(self) -> None:
        """Note it with the attempt."""
        told = usages.from_openai(self.told)
        source: usages.Source | None = "provider"
        if told is None or not self.done:
            told, source = usages.settled(told, self._guess())
        noted = self._call.attempts[self._place]
        self._call.attempts[self._place] = msgspec.structs.replace(
            noted,
            provider_model=self.provider_model,
            usage=told,
            usage_source=source,
            service_tier=self._tier,
        )

    def _guess(self) -> Usage:
        return usages.guess(chars(self._request.messages), self._chars)


class Tries:
    """The way of a call to its target, as often as it takes."""

    def __init__(self, call: Call, turn: Turn) -> None:
        self.tally = Tally()
        self._call = call
        self._turn = turn
        self._provider = turn.upstream.provider

    @property
    def stream_type(self) -> bytes:
        """The content type of the target's streams."""
        return self._provider.dialect.stream_type

    def word(self, feature: str) -> Fidelity:
        """Return what becomes of a feature at the target."""
        return self._provider.word(feature)

    @contextlib.asynccontextmanager
    async def open(self, request: ChatRequest) -> AsyncIterator[tuple[Answer, Meter]]:
        """Give an answer with status 200, its body still to be read, and what it is counted by."""
        provider = self._provider
        outgoing = provider.dialect.prepare(request, self._turn.target.model, provider.quirks)
        held = await attempt(self._call, self._turn, outgoing)
        meter = Meter(self._call, request)
        try:
            with held as answer:
                yield answer, meter
        except NotACompletion:
            raise  # nobody bills for what is no answer
        except BaseException:
            meter.close()
            raise
        meter.close()

    def completion(self, raw: bytes, request: ChatRequest, meter: Meter) -> Json:
        """Return a whole answer in OpenAI's form."""
        whole = self._provider.dialect.completion(raw, request)
        meter.provider_model = self.tally.provider_model = whole.provider_model
        completion: Json = _decode(whole.body)
        meter.take(completion, "message")
        meter.told, meter.done = completion.pop("usage", None), True
        self.tally.add(meter.told)
        return completion

    def decoder(self, request: ChatRequest) -> Decoder:
        """Return the decoder of a streamed answer."""
        return self._provider.dialect.decoder(request, self._provider.quirks)


class Once:
    """One try's answer, with the edits that are owed."""

    def __init__(self, tries: Tries, makers: Sequence[Callable[[], Edit]], body: Json) -> None:
        self._tries = tries
        self._makers = makers
        self._body = body

    async def whole(self) -> Json:
        """Return the completion, without usage: the tally has it."""
        request = _request(self._body, stream=False)
        async with self._tries.open(request) as (answer, meter):
            raw = await answer.body(ANSWER_LIMIT)
            completion = self._tries.completion(raw, request, meter)
        return self._editor(request).whole(completion)

    async def stream(self, emit: Emit) -> None:
        """Emit the chunks as they come; the provider's work is cancelled at an early end."""
        request = _request(self._body, stream=True)
        async with self._tries.open(request) as (answer, meter):
            check_stream(answer, self._tries.stream_type)
            decoder = self._tries.decoder(request)
            try:
                await self._relay(answer, decoder, self._editor(request), emit, meter)
            finally:
                meter.provider_model, meter.done = decoder.provider_model, decoder.done
                meter.told = None if decoder.usage is None else _decode(decoder.usage)
                self._tries.tally.add(meter.told)
            if decoder.done:
                await drain(answer)

    def _editor(self, request: ChatRequest) -> Editor:
        return Editor(self._makers, choices=request.n)

    async def _relay(
        self, answer: Answer, decoder: Decoder, editor: Editor, emit: Emit, meter: Meter
    ) -> None:
        events = sse.Splitter()
        while not (decoder.done or editor.ended) and (data := await answer.read()):
            chunks = list(_chunks(events.feed(decoder.feed(data))))
            for chunk in chunks:
                meter.take(chunk, "delta")
            self._tries.tally.provider_model = decoder.provider_model
            await _emit(emit, [out for chunk in chunks for out in editor.chunk(chunk)])
        if not editor.ended:
            decoder.close()
        await _emit(emit, editor.close())


async def _emit(emit: Emit, chunks: list[Json]) -> None:
    if chunks:
        await emit(chunks)


def _chunks(events: list[bytes]) -> Iterator[Json]:
    """Yield the chunks of a decoder's events, their usage left out: it is told once, summed."""
    for event in events:
        data = sse.data_of(event)
        if data is None:
            continue
        try:
            chunk = _decode(data)
        except msgspec.DecodeError as error:
            raise Cut("the provider's stream has an event that is not JSON") from error
        if chunk.get("choices") or chunk.get("usage") is None:
            yield chunk if chunk.get("usage") is None else {**chunk, "usage": None}


def _request(body: Json, *, stream: bool) -> ChatRequest:
    wanted = {**body, "stream": True} if stream else body
    left_out = () if stream else ("stream", "stream_options")
    return chat.parse(_encode({name: wanted[name] for name in wanted if name not in left_out}))
