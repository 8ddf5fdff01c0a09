"""The counters of several nodes, in Redis: each verb is one script there, and so atomic.

Verbs go out in batches, one after the other: what ends is counted before what begins after it, and
a Redis that is far away costs a batch one trip. A call that is there is said to be there again and
again; of those of which nothing is heard any more, what they held is given back, but for their
money: it counts as spent until the store or their node says otherwise.

A Redis that lost its memory is known by a word that it lacks. Whoever finds that first writes a new
one, and for a while no call begins: all nodes say again what they know, and what was spent is read
from the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from typing_extensions import override

from standpipe.limits import verdicts
from standpipe.limits.ledger import Away, Crossing, Ledger, Place, Span, budgets, crossings, spans
from standpipe.limits.messages import End, Subject, Verdict, Want, periods
from standpipe.limits.nodes import Roll
from standpipe.limits.scripts import (
    AGAIN,
    BEGIN,
    END,
    ENDED,
    KEPT_S,
    LOSE,
    LOST,
    REMEMBER,
    SETTLE,
)
from standpipe.limits.verdicts import Figures, Obstacle
from standpipe.wire.ids import new_id

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Where it is written since when Redis remembers.
MEMORY = "standpipe:{memory}"
#: Seconds for which no call begins where it has just begun to: longer than all nodes need to hear
#: of that and to say what they know.
RECALL_S = 5.0
#: Seconds after which the store may be asked again for what was spent: most of a node's pause.
TURN_S = 1.8
#: Seconds after which a call of which nothing is heard is none.
LEASE_S = 10.0
#: Seconds that Redis has for a batch.
TIMEOUT_S = 1.0
#: Seconds for which one that is away is left alone.
PAUSE_S = 0.3
#: Verbs in a batch.
MOST = 200


#: The scripts' names: the hashes of their texts.
_SCRIPTS = {
    script: hashlib.sha1(script.encode()).hexdigest()  # noqa: S324
    for script in (BEGIN, END, LOSE, ENDED, AGAIN, SETTLE)
}
#: The most spans that are remembered to be known there.
_MOST_KNOWN = 100_000


class _Verb(NamedTuple):
    #: Its name.
    script: str
    project: str
    keys: list[str]
    values: Sequence[str | int | float]
    answer: asyncio.Future[Any]


class Shared(Ledger):
    """The counters in Redis; each verb raises Away if that does not answer."""

    def __init__(
        self,
        url: str,
        *,
        lease_s: float = LEASE_S,
        recall_s: float = RECALL_S,
        clock: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Count at a URL; what the clock does not tell, Redis's does."""
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import NoScriptError

        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._unheard_of = NoScriptError
        self._clock = clock
        self._away_until = 0.0
        self._lease_ms = round(lease_s * 1000)
        self._recall_ms = round(recall_s * 1000)
        #: What is written where it is since when Redis remembers, "" before that was asked.
        self._word = ""
        #: Until then no call begins.
        self._recalling_until = 0.0
        #: The spans that are known there.
        self._known: set[Place] = set()
        #: What we have told: by span the costs of the calls that are not known to be stored.
        self._told: dict[Place, tuple[Span, dict[str, int]]] = {}
        self._waiting: list[_Verb] = []
        self._sending: asyncio.Task[None] | None = None

    @override
    async def unknown(self, want: Want) -> list[Span]:
        wanted = [span for span in spans(want) if span.place not in self._known]
        if not wanted:
            return []
        there = await self._do(lambda: self._are_known(wanted))
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        self._known.update(span.place for span in wanted if span in there)
        return [span for span in wanted if span not in there]

    async def _are_known(self, of: Sequence[Span]) -> list[Span]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for span in of:
                pipeline.hexists(_spent(span), "all")
            found = await pipeline.execute()
        return [span for span, is_known in zip(of, found, strict=True) if is_known]

    @override
    async def ended(self, span: Span) -> Mapping[str, str]:
        before = list(self._told_of(span))
        answer = await self._put(ENDED, span.project, [_spent(span)])
        there = dict(zip(answer[::2], answer[1::2], strict=True))
        told = self._told_of(span)
        for call in before:
            if call not in there:  # somebody has heard that it is stored
                told.pop(call, None)
        if not told:
            del self._told[span.place]
        return there

    def _told_of(self, span: Span) -> dict[str, int]:
        return self._told.setdefault(span.place, (span, {}))[1]

    @override
    async def settle(self, span: Span, stored: int, calls: Collection[str]) -> list[Crossing]:
        values: list[str | int] = [stored, *calls]
        before, after = await self._put(SETTLE, span.project, [_spent(span)], values)
        self._known.add(span.place)
        return crossings(span, int(before), int(after)) if before else []

    @override
    async def our_turn(self, of: Sequence[Span]) -> list[Span]:
        taken = await self._do(lambda: self._take_turns(of))
        return [span for span, is_ours in zip(of, taken, strict=True) if is_ours]

    async def _take_turns(self, of: Sequence[Span]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for span in of:
                pipeline.set(f"{_spent(span)}:turn", 1, nx=True, px=round(TURN_S * 1000))
            return await pipeline.execute()

    @override
    async def begin(self, want: Want) -> Verdict:
        place, reason, wait, *told = await self._begun(want)
        if reason == "away":
            self._known.difference_update(span.place for span in spans(want))
            raise Away("Redis does not know yet what was spent")
        size = len(Figures._fields)
        figures = [_figures(told[at : at + size]) for at in range(0, len(told), size)]
        if not reason:
            return verdicts.granted(want, figures)
        subject = want.subjects[int(place)]
        found = Obstacle(reason, verdicts.limit_of(subject.limits, reason))
        return verdicts.refused(want, subject.kind, found, float(wait) if wait else None, figures)

    @override
    async def end(self, want: Want, end: End, cost: int) -> list[Crossing]:
        values = [self._now(), end.call, want.tokens, end.tokens, cost, int(end.counts)]
        every = [each for subject in want.subjects for each in budgets(subject)]
        values += [int(budget is not None) for _, budget in every]
        told = await self._put(END, want.project, _keys(want), values)
        if not told:
            return []  # counted before
        after = (
            int(spent) for spent, (_, budget) in zip(told, every, strict=True) if budget is not None
        )
        found = []
        for span, spent in zip(spans(want), after, strict=False):
            if cost:
                self._told_of(span)[end.call] = cost
            found += crossings(span, spent - cost, spent) if spent else []
        return found

    @override
    async def lose(self, want: Want) -> None:
        values = [self._now(), want.call, want.tokens]
        await self._put(LOSE, want.project, _keys(want), values)

    @override
    async def keep(self, wants: Iterable[Want]) -> None:
        await self._recall()
        answers = [self._begun(msgspec.structs.replace(want, has_begun=True)) for want in wants]
        if answers:
            await asyncio.wait(answers)

    @override
    async def call_roll(self, node: str, roll: Roll) -> None:
        told = msgspec.json.encode(roll)
        await self._do(lambda: self._redis.set(roll_of(node), told, ex=KEPT_S))

    @override
    async def rolls(self, nodes: Collection[str]) -> Mapping[str, Roll]:
        asked = list(nodes)
        told = await self._do(lambda: self._rolls(asked)) if asked else []
        pairs = zip(asked, told, strict=True)
        return {node: msgspec.json.decode(text, type=Roll) for node, text in pairs if text}

    async def _rolls(self, nodes: Sequence[str]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for node in nodes:
                pipeline.get(roll_of(node))
            return await pipeline.execute()

    @override
    async def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        await self._redis.aclose()

    def _begun(self, want: Want) -> asyncio.Future[Any]:
        values = [self._now(), want.call, self._lease_ms, want.tokens, want.cost]
        values += [int(want.has_begun), int(want.is_part), want.by]
        for subject in want.subjects:
            values += _limits(subject)
        return self._put(BEGIN, want.project, _keys(want), values)

    def _now(self) -> str | int | float:
        now = self._clock()
        return "" if now is None else now

    def _put(
        self, script: str, project: str, keys: list[str], values: Sequence[str | int | float] = ()
    ) -> asyncio.Future[Any]:
        """Let a verb go out with the next batch."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Nobody may be there to hear it.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting.append(_Verb(_SCRIPTS[script], project, keys, values, answer))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return answer

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._send_batch(batch)
        finally:
            self._sending = None

    async def _send_batch(self, batch: list[_Verb]) -> None:
        try:
            answers = await self._remembered(batch)
        except Away as away:
            answers = [away] * len(batch)
        for verb, answer in zip(batch, answers, strict=True):
            if verb.answer.done():
                continue
            if isinstance(answer, Exception) or answer == LOST:
                verb.answer.set_exception(Away(str(answer)))
            else:
                verb.answer.set_result(answer)

    async def _remembered(self, batch: list[_Verb]) -> list[Any]:
        """Return the answers; what Redis did not do because it remembers nothing is done again."""
        answers = await self._understood(batch)
        lost = [verb for verb, answer in zip(batch, answers, strict=True) if answer == LOST]
        if not lost:
            return answers
        await self._recall({verb.project for verb in lost})
        again = iter(await self._understood(lost))
        return [next(again) if answer == LOST else answer for answer in answers]

    async def _understood(self, batch: list[_Verb]) -> list[Any]:
        answers = await self._do(lambda: self._answers(batch))
        if any(isinstance(answer, self._unheard_of) for answer in answers):
            await self._do(self._teach)
            answers = await self._do(lambda: self._answers(batch))
        return answers

    async def _answers(self, batch: list[_Verb]) -> list[Any]:
        given = self._word, int(time.monotonic() < self._recalling_until)
        # Not by the client's own scripts, which ask each time whether they are there.
        async with self._redis.pipeline(transaction=False) as pipeline:
            for verb in batch:
                keys = [_memory(verb.project), *verb.keys]
                pipeline.evalsha(verb.script, len(keys), *keys, *given, *verb.values)
            return await pipeline.execute(raise_on_error=False)

    async def _teach(self) -> None:
        """Let Redis know the scripts: none of a batch was done if it does not."""
        for script in _SCRIPTS:
            await self._redis.script_load(script)

    async def _recall(self, projects: Iterable[str] = ()) -> None:
        """Learn since when Redis remembers, and let that hold for projects of which it does not."""
        keys = MEMORY, f"{MEMORY}:young"
        word, left = await self._do(
            lambda: self._redis.eval(REMEMBER, len(keys), *keys, new_id(), self._recall_ms)
        )
        self._recalling_until = time.monotonic() + max(0, left) / 1000
        before, self._word = self._word, word
        if before not in (word, ""):
            log.warning("limits: Redis has lost its memory; it is told again what nodes know")
            self._known.clear()
            for span, told in self._told.values():
                pairs = (each for pair in told.items() for each in pair)
                self._put(AGAIN, span.project, [_spent(span)], list(pairs))
        await self._do(lambda: self._write(word, projects))

    async def _write(self, word: str, projects: Iterable[str]) -> None:
        """Let Redis remember from now on what is counted of projects."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for project in projects:
                pipeline.set(_memory(project), word, ex=KEPT_S)
            await pipeline.execute()

    async def _do(self, what: Callable[[], Awaitable[T]]) -> T:
        """Do it; Away if Redis does not, which is asked again a little later."""
        try:
            if time.monotonic() < self._away_until:
                raise TimeoutError
            return await what()
        except _errors() as error:
            if time.monotonic() >= self._away_until:
                self._away_until = time.monotonic() + PAUSE_S
            raise Away(str(error)) from error


def _errors() -> tuple[type[Exception], ...]:
    """Return what a Redis that is away, starting or full raises."""
    from redis.exceptions import RedisError

    return (RedisError, OSError, TimeoutError)


def roll_of(node: str) -> str:
    """Return where it is written which of a node's workers live."""
    return f"standpipe:node:{node}"


def _prefix(project: str) -> str:
    # All of a project is in one slot of a cluster.
    return f"standpipe:{{{project}}}"


def _memory(project: str) -> str:
    return f"{_prefix(project)}:memory"


def _of(project: str, subject: Subject) -> str:
    return f"{_prefix(project)}:{subject.kind}:{subject.id}"


def _spent(span: Span) -> str:
    return f"{_of(span.project, span.subject)}:spent:{span.name}"


def _keys(want: Want) -> list[str]:
    keys = [f"{_prefix(want.project)}:done:{want.call}"]
    names = periods(want.at)
    for subject in want.subjects:
        of = _of(want.project, subject)
        keys += [f"{of}:{each}" for each in ("window", "calls", "holds", "held")]
        keys += [f"{of}:spent:{names[period]}" for period, _ in budgets(subject)]
    return keys


def _limits(subject: Subject) -> list[str | int]:
    limits = subject.limits
    counts = (limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent_calls)
    money = (budget for _, budget in budgets(subject))
    return ["" if each is None else each for each in (*counts, *money)]


def _figures(told: Sequence[str | int]) -> Figures:
    requests, requests_reset, tokens, tokens_reset, *counts = told
    open_, held, day, month = map(int, counts)
    return Figures(
        requests=int(requests),
        requests_reset=float(requests_reset),
        tokens=int(tokens),
        tokens_reset=float(tokens_reset),
        open=open_,
        held=held,
        day=day,
        month=month,
    )
