"""Chat completions whose choices are judged before anybody sees them, the best one first.

The answer is made whole, judged, and then sent, as a stream too where one was asked for. Judges
that fail, or take too long, cost the answer nothing but their scores.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

import msgspec
from typing_extensions import override

from standpipe.calls.call import Call
from standpipe.calls.chat import DONE, NO_SPEECH, Chat
from standpipe.calls.dispatch import Dispatch
from standpipe.calls.emulation import replay
from standpipe.calls.emulation.speech import Speech
from standpipe.calls.keeping import Keeper
from standpipe.calls.reply import Reply
from standpipe.config import Content
from standpipe.criteria import wish
from standpipe.criteria.asking import Asking, OnBehalf
from standpipe.criteria.budget import Budget
from standpipe.criteria.case import Case
from standpipe.criteria.judging import Judging
from standpipe.criteria.library import Library
from standpipe.criteria.panel import Panel
from standpipe.criteria.selection import Selected
from standpipe.criteria.wish import Wish
from standpipe.drain.prices import Prices
from standpipe.limits.client import Limiter
from standpipe.wire import chat, sse
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

#: What is ours of a request: no provider is to see it.
_OURS = ("criteria",)
#: What makes an answer a stream.
_STREAM = ("stream", "stream_options")


class Held(msgspec.Struct):
    """A call whose answer is judged first."""

    wish: Wish
    #: The whole answer, once it is there.
    body: bytes = b""


class Whole(msgspec.Struct, frozen=True):
    """What was said of a whole answer that is told as a stream; stands where a decoder would."""

    completion_id: str | None
    provider_model: str | None
    usage: msgspec.Raw | None


class JudgedChat(Chat):
    """The chat route's calls, judged where their callers want it."""

    def __init__(
        self,
        dispatch: Dispatch,
        keeper: Keeper,
        *,
        library: Library,
        prices: Prices,
        limiter: Limiter | None = None,
        logging_default: str,
        content: Content = "full",
        speech: Speech = NO_SPEECH,
    ) -> None:
        super().__init__(
            *(dispatch, keeper),
            limiter=limiter,
            logging_default=logging_default,
            content=content,
            speech=speech,
        )
        #: Its judges are asked by this very route.
        self.judging = Judging(Asking(self))
        self.library = library
        self._panel = Panel(self.judging)
        self._prices = prices

    @override
    async def close(self) -> None:
        """End what was started for the calls."""
        await self.judging.close()
        await super().close()

    @override
    def _read(self, call: Call) -> ChatRequest:
        if call.translate is not None:  # the caller's form has no place for results
            return super()._read(call)
        header, call.incoming.criteria = call.incoming.criteria, None
        request = super()._read(call)
        if header is None and "criteria" not in request.fields:
            return request
        wanted = wish.read(header, call.incoming, request)
        if wanted.names:
            call.after = Held(wanted)
        return _without(request, _OURS)

    @override
    def _serve(self, call: Call, request: ChatRequest, reply: Reply) -> Awaitable[None]:
        if isinstance(call.after, Held):
            return self._judged(call, call.after, request, reply)
        return super()._serve(call, request, reply)

    @override
    def _whole(self, call: Call, body: bytes, reply: Reply) -> Coroutine[Any, Any, None]:
        if isinstance(call.after, Held):
            return self._hold(call, call.after, body)
        return super()._whole(call, body, reply)

    async def _hold(self, call: Call, held: Held, body: bytes) -> None:
        """Keep an answer back: it was received, and if its client leaves now it was not sent."""
        held.body, call.pieces = body, [body]

    async def _judged(self, call: Call, held: Held, request: ChatRequest, reply: Reply) -> None:
        selected = await self.library.select(call.caller.project, held.wish.names)
        await super()._serve(call, _without(request, _STREAM), reply)
        completion = await self._ranked(call, held, request, selected)
        call.pieces = []
        if request.stream:
            await self._stream(call, completion, request, reply)
        else:
            await super()._whole(call, msgspec.json.encode(completion), reply)

    async def _ranked(
        self, call: Call, held: Held, request: ChatRequest, selected: list[Selected]
    ) -> Json:
        completion: Json = msgspec.json.decode(held.body)
        values = request.values
        cases = [
            Case(
                output=choice["message"],
                messages=request.messages,
                tools=values.get("tools") or [],
                tool_choice=values.get("tool_choice"),
            )
            for choice in completion["choices"]
        ]
        dollars = held.wish.budget
        budget = None if dollars is None else Budget(dollars, self._prices)
        whose = OnBehalf(call.caller, call.incoming, call.id, call.logged, budget)
        timeout = held.wish.timeout
        return await self._panel.judge(completion, cases, selected, whose, timeout=timeout)

    async def _stream(
        self, call: Call, completion: Json, request: ChatRequest, reply: Reply
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


def _without(request: ChatRequest, names: tuple[str, ...]) -> ChatRequest:
    if not any(name in request.fields for name in names):
        return request
    return chat.parse(chat.rebuild(request, changes={}, without=names))
