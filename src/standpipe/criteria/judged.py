"""Chat completions whose choices are judged before anybody sees them, the best one first.

The answer is made whole, judged, and then sent, as a stream too where one was asked for. Judges
that fail, or take too long, cost the answer nothing but their scores.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec
from typing_extensions import override

from standpipe.calls.cache.cache import Cache
from standpipe.calls.call import Call
from standpipe.calls.chat import NO_SPEECH, Chat
from standpipe.calls.dispatch import Dispatch
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
from standpipe.errors import NotACompletion
from standpipe.limits.client import Limiter
from standpipe.wire import chat, choices
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

#: What is ours of a request: no provider is to see it.
_OURS = ("criteria",)
#: What makes an answer a stream.
_STREAM = ("stream", "stream_options")


class Held:
    """What is known of a call whose answer is judged first."""

    def __init__(self, route: JudgedChat, wish: Wish) -> None:
        self.wish = wish
        self.begun = False
        #: The whole answer, once it is there.
        self.body: bytes | None = None
        self._route = route

    def serve(self, call: Call, request: ChatRequest, reply: Reply) -> Awaitable[None]:
        """Answer the call."""
        self.begun = True
        return self._route.judged(call, self, request, reply)

    def take(self, body: bytes) -> bool:
        """Take the answer as it was made; what comes then is judged and may go out."""
        if self.body is not None:
            return False
        self.body = body
        return True


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
        cache: Cache | None = None,
    ) -> None:
        super().__init__(
            *(dispatch, keeper),
            limiter=limiter,
            logging_default=logging_default,
            content=content,
            speech=speech,
            cache=cache,
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
    def _to_judge(self, call: Call, request: ChatRequest) -> ChatRequest:
        wanted = wish.read(call.incoming, request)
        if wanted.names:
            call.after = Held(self, wanted)
        return _without(request, _OURS)

    async def judged(self, call: Call, held: Held, request: ChatRequest, reply: Reply) -> None:
        """Answer a call: have the answer made, judge it, and send it."""
        selected = await self.library.select(call.caller.project, held.wish.names)
        await self._serve(call, _without(request, _STREAM), reply)
        completion = await self._ranked(call, held, request, selected)
        call.pieces = []
        if request.stream:
            await self._told(call, completion, request, reply)
        else:
            await self._whole(call, msgspec.json.encode(completion), reply)

    async def _ranked(
        self, call: Call, held: Held, request: ChatRequest, selected: list[Selected]
    ) -> Json:
        completion, outputs = _outputs(held.body or b"")
        tools = request.values.get("tools") or []
        choice = request.values.get("tool_choice")
        cases = [
            Case(output=output, messages=request.messages, tools=tools, tool_choice=choice)
            for output in outputs
        ]
        dollars = held.wish.budget
        budget = None if dollars is None else Budget(dollars, self._prices)
        whose = OnBehalf(call.caller, call.incoming, call.id, call.logged, budget)
        timeout = held.wish.timeout
        return await self._panel.judge(completion, cases, selected, whose, timeout=timeout)


def _outputs(body: bytes) -> tuple[Json, list[Json]]:
    """Return a completion and the messages of its choices; NotACompletion if it has none."""
    try:
        completion = msgspec.json.decode(body, type=dict[str, Any])
        return completion, choices.messages(completion.get("choices"))
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotACompletion(f"the provider's answer cannot be judged: {error}") from error


def _without(request: ChatRequest, names: tuple[str, ...]) -> ChatRequest:
    if not any(name in request.fields for name in names):
        return request
    return chat.parse(chat.rebuild(request, changes={}, without=names))
