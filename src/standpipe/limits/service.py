"""The limiter: what answers the workers of a node, over a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec
from typing_extensions import override

from standpipe.drain.prices import Prices, Used
from standpipe.errors import StoreUnavailable
from standpipe.limits import messages, verdicts
from standpipe.limits.alerts import Alerts
from standpipe.limits.ledger import Away, Crossing, Ledger, Place, Span, spans
from standpipe.limits.limits import pico
from standpipe.limits.messages import Done, End, Hello, Verdict, Want
from standpipe.limits.nodes import STARTING_S, Node, holder, is_over, node_of
from standpipe.limits.spent import Spent
from standpipe.wire.record import Usage

log = logging.getLogger(__name__)

#: Seconds between two words that calls are still there.
KEEP_S = 2.0
#: Seconds between two looks at what the store has of what was spent, at least and at most; and for
#: how long after its last call that is looked at, without and with calls that are not stored.
SETTLE_S = 2.0
SELDOM_S = 60.0
WATCHED_S = 60.0
FORGOTTEN_S = 3600.0
#: How much longer the pause is than the look: with many calls that wait to be stored, one takes
#: long.
_REST = 10
#: Seconds between two tries to count the end of a call where what counts is away.
AGAIN_S = 0.5
#: Seconds between two looks at whether all is stored that a worker had noted that died.
ROLL_S = 0.5
#: What becomes of a call whose price nobody knows where its money is counted.
Unpriced = Literal["allow", "refuse"]


class Service:
    """Prices calls, and asks the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        prices: Prices,
        spent: Spent,
        alerts: Alerts,
        node: Node,
        *,
        unpriced: Unpriced = "allow",
    ) -> None:
        self._ledger = ledger
        self._prices = prices
        self._spent = spent
        self._alerts = alerts
        self._node = node
        self._has_gone = asyncio.Event()
        self._refuses_unpriced = unpriced == "refuse"
        #: What calls were counted in of late, and when the last was.
        self._watched: dict[Place, tuple[Span, float]] = {}
        #: The connections there are.
        self.links: set[Link] = set()

    def link(self) -> Link:
        """Return what serves one connection."""
        return Link(self)

    async def keep_calls(self) -> None:
        """Say again and again which calls are there, until cancelled."""
        while True:
            with contextlib.suppress(Away):
                # Looked up when it is said: what was lost by then is no more.
                await self._ledger.keep(want for link in self.links for want in link.open.values())
            await asyncio.sleep(KEEP_S)

    async def settle_spans(self) -> None:
        """Take from the store again and again what it has of what was spent, until cancelled.

        So what a node has noted and not told before it died is counted, and what was told is not
        counted twice.
        """
        pause = SETTLE_S
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            together = defaultdict(list)
            for span, _ in self._watched.values():
                together[span.project, span.name].append(span)
            for some in together.values():
                with contextlib.suppress(Away, StoreUnavailable):
                    await self._settle_in_turn(some)
            took = time.monotonic() - began
            pause = min(max(SETTLE_S, _REST * took), SELDOM_S)

    async def call_roll(self) -> None:
        """Say which workers live whenever one has gone, until cancelled."""
        while True:
            await self._has_gone.wait()
            self._has_gone.clear()
            # Of one that had just begun, nothing could be said before.
            until = time.monotonic() + STARTING_S
            while not await self._call_roll() or time.monotonic() < until:  # noqa: ASYNC110
                await asyncio.sleep(ROLL_S)

    def gone(self) -> None:
        """Take note that a worker with calls is there no more, or may have gone before."""
        self._has_gone.set()

    async def begin(self, want: Want, worker: str) -> tuple[Want, Verdict]:
        """Let a worker's call begin, or not; return it with its price."""
        if not want.has_budget:
            return await self._counted(want)
        cost = self._most(want)
        if cost is None and self._refuses_unpriced and not want.has_begun:
            return want, Verdict(want.call, "unpriced")
        by = holder(self._node.name, worker)
        return await self._counted(msgspec.structs.replace(want, cost=cost or 0, by=by))

    async def end(self, want: Want, end: End) -> None:
        """Count what a call took."""
        self._watch(want)
        # What cannot be priced cannot be counted.
        cost = self._prices.cost(end.answers, want.at) if want.has_budget else None
        spent = 0 if cost is None else pico(cost.dollars)
        while (crossings := await self._ended(want, end, spent)) is None:  # noqa: ASYNC110
            await asyncio.sleep(AGAIN_S)
        for crossing in crossings:
            self._alerts.tell(crossing)

    async def lose(self, want: Want) -> None:
        """Give back what a call took whose worker is gone; its money may have been spent."""
        self._watch(want)
        while True:
            with contextlib.suppress(Away):
                return await self._ledger.lose(want)
            await asyncio.sleep(AGAIN_S)

    async def _call_roll(self) -> bool:
        """Say who lives if all that others noted is stored; tell whether that was said."""
        with contextlib.suppress(Away, OSError):
            if roll := await asyncio.to_thread(self._node.roll):
                await self._ledger.call_roll(self._node.name, roll)
                return True
        return False

    async def _ended(self, want: Want, end: End, spent: int) -> list[Crossing] | None:
        """Count the end of a call; None if that cannot be done now."""
        try:
            return await self._ledger.end(want, end, spent)
        except Away:
            return None

    async def _counted(self, want: Want) -> tuple[Want, Verdict]:
        try:
            if await self._know(want) or want.has_begun:
                return want, await self._ledger.begin(want)
        except Away:
            # One that has begun is counted when it ends.
            if want.has_begun:
                return want, Verdict(want.call)
        return want, Verdict(want.call, "away", wait=verdicts.SOON_S)

    async def _know(self, want: Want) -> bool:
        """Let all that its budgets have spent be known; False if nobody can say."""
        self._watch(want)
        unknown = await self._ledger.unknown(want)
        told = [await self._spent.ask(span, self._settle) for span in unknown]
        return all(told)

    def _watch(self, want: Want) -> None:
        now = time.monotonic()
        for span in spans(want):
            self._watched[span.place] = span, now

    async def _settle_in_turn(self, some: Sequence[Span]) -> None:
        """Settle spans of one project and period, but for those that another node does."""
        ended = await self._ended_in(some)
        now = time.monotonic()
        for span, calls in ended.items():
            _, seen = self._watched[span.place]
            if now - seen > (FORGOTTEN_S if calls else WATCHED_S):
                del self._watched[span.place]
        if ours := await self._ledger.our_turn(some):
            await self._take({span: ended[span] for span in ours})

    async def _settle(self, some: Sequence[Span]) -> None:
        await self._take(await self._ended_in(some))

    async def _ended_in(self, some: Sequence[Span]) -> dict[Span, Mapping[str, str]]:
        told = await asyncio.gather(*map(self._ledger.ended, some))
        return dict(zip(some, told, strict=True))

    async def _take(self, ended: Mapping[Span, Mapping[str, str]]) -> None:
        """Let the ledger know what the store has; it was asked before which calls have ended."""
        # Before the store is: what is over then is in what that says, or nowhere.
        over = await self._over({by for each in ended.values() for by in each.values() if by})
        found = await self._spent.read([*ended], {call for each in ended.values() for call in each})
        for span, calls in ended.items():
            of_key = span.subject.kind == "key"
            by_key = found.by_key
            stored = by_key.get(span.subject.id, 0) if of_key else sum(by_key.values())
            there = [call for call, by in calls.items() if call in found.calls or by in over]
            for crossing in await self._ledger.settle(span, stored, there):
                self._alerts.tell(crossing)

    async def _over(self, holders: Collection[str]) -> set[str]:
        """Return those of which nothing more will be stored."""
        rolls = await self._ledger.rolls({node_of(by) for by in holders})
        return {by for by in holders if is_over(by, rolls)}

    def _most(self, want: Want) -> int | None:
        """Return the most that a call may cost; None if the price of any target is not known."""
        usage = Usage(prompt_tokens=want.prompt_tokens, completion_tokens=want.answer_tokens)
        most = 0
        for provider, model in want.targets:
            cost = self._prices.cost([Used(provider, (model,), usage, None)], want.at)
            if cost is None:
                return None
            most = max(most, pico(cost.dollars))
        return most


class Link(asyncio.Protocol):
    """One worker's connection; what it had open comes back when it is gone."""

    def __init__(self, service: Service) -> None:
        #: Calls that have begun.
        self.open: dict[str, Want] = {}
        self._worker = ""
        self._service = service
        self._splitter = messages.Splitter()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        #: What is being done, by call: one after the other.
        self._doing: dict[str, asyncio.Task[None]] = {}

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Of no such class in uvloop, but one of its kind.
        self._transport = cast("asyncio.Transport", transport)
        self._service.links.add(self)

    @override
    def data_received(self, data: bytes) -> None:
        try:
            for message in self._splitter.feed(data):
                self._take(message)
        except ValueError:  # a decoder's errors are ones
            log.exception("a worker says what nobody understands")
            if self._transport is not None:
                self._transport.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for call in {*self.open, *self._doing}:
            self._do(call, self._lose(call))
            self._service.gone()
        if not self._doing:
            self._service.links.discard(self)

    def _take(self, message: messages.Message) -> None:
        if isinstance(message, Hello):
            self._worker = message.worker
        elif isinstance(message, End):
            self._do(message.call, self._end(message))
        elif isinstance(message, Want):
            self._do(message.call, self._begin(message))

    def _do(self, call: str, what: Coroutine[Any, Any, None]) -> None:
        before = self._doing.get(call)
        task = self._loop.create_task(self._after(before, what))
        self._doing[call] = task
        task.add_done_callback(lambda done: self._done(call, done))

    async def _after(
        self, before: asyncio.Task[None] | None, what: Coroutine[Any, Any, None]
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        await what

    def _done(self, call: str, task: asyncio.Task[None]) -> None:
        if self._doing.get(call) is task:
            del self._doing[call]
        if self._transport is None and not self._doing:
            self._service.links.discard(self)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call %s: a bug", call, exc_info=error)

    async def _begin(self, want: Want) -> None:
        # A caller who has its answer may ask again at another worker: what has ended by now is
        # counted first, whichever connection it came on.
        await asyncio.sleep(0)
        want, verdict = await self._service.begin(want, self._worker)
        if verdict.reason is None:
            self.open[want.call] = want
        self._say(verdict)

    async def _end(self, end: End) -> None:
        want = self.open.get(end.call) or end.want
        if want is not None:
            await self._service.end(want, end)
            self.open.pop(end.call, None)
        self._say(Done(end.call))

    async def _lose(self, call: str) -> None:
        want = self.open.pop(call, None)
        if want is not None:
            await self._service.lose(want)

    def _say(self, message: Verdict | Done) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(messages.encode(message))
