"""The counters of several nodes, in Redis: each verb is one script there, and so atomic.

Verbs go out in batches, one after the other: what ends is counted before what begins after it, and
a Redis that is far away costs a batch one trip. A call that is there is said to be there again and
again; of those of which nothing is heard any more, what they held is given back.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from typing_extensions import override

from standpipe.limits import verdicts
from standpipe.limits.ledger import Away, Crossing, Ledger, Span, budgets, crossings, spans
from standpipe.limits.messages import End, Subject, Verdict, Want, periods
from standpipe.limits.scripts import BEGIN, END
from standpipe.limits.verdicts import Figures, Obstacle

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

#: Seconds after which a call of which nothing is heard is none.
LEASE_S = 10.0
#: Seconds that Redis has for a batch.
TIMEOUT_S = 1.0
#: Seconds for which one that is away is left alone.
PAUSE_S = 0.3
#: Seconds that what was spent in a period is kept: longer than any period.
KEPT_S = 40 * 86_400
#: Verbs in a batch.
MOST = 200


_BEGIN, _END = (hashlib.sha1(script.encode()).hexdigest() for script in (BEGIN, END))  # noqa: S324


class _Verb(NamedTuple):
    #: Its name: the hash of its text.
    script: str
    keys: list[str]
    values: list[str | int | float]
    answer: asyncio.Future[Any]


class Shared(Ledger):
    """The counters in Redis; each verb raises Away if that does not answer."""

    def __init__(
        self,
        url: str,
        *,
        lease_s: float = LEASE_S,
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
        self._waiting: list[_Verb] = []
        self._sending: asyncio.Task[None] | None = None

    @override
    async def unknown(self, want: Want) -> list[Span]:
        wanted = list(spans(want))
        if not wanted:
            return []
        found = await self._do(lambda: self._redis.mget([_spent(span) for span in wanted]))
        return [span for span, spent in zip(wanted, found, strict=True) if spent is None]

    @override
    async def know(self, span: Span, spent: int, at: int) -> None:
        del at
        await self._do(lambda: self._redis.set(_spent(span), spent, nx=True, ex=KEPT_S))

    async def forget(self, of: Iterable[Span]) -> None:
        """Let what was spent be asked for again."""
        keys = [_spent(span) for span in of]
        await self._do(lambda: self._redis.delete(*keys))

    @override
    async def begin(self, want: Want) -> Verdict:
        place, reason, wait, *told = await self._begun(want)
        size = len(Figures._fields)
        figures = [_figures(told[at : at + size]) for at in range(0, len(told), size)]
        if not reason:
            return verdicts.granted(want, figures)
        subject = want.subjects[int(place)]
        found = Obstacle(reason, verdicts.limit_of(subject.limits, reason))
        return verdicts.refused(want, subject.kind, found, float(wait) if wait else None, figures)

    @override
    async def end(self, want: Want, end: End, cost: int) -> list[Crossing]:
        values = (end.call, want.tokens, end.tokens, cost, int(end.counts))
        told = await self._put(_END, want, values)
        if not told:
            return []  # counted before
        found = []
        for place, subject in enumerate(want.subjects):
            after = told[2 * place : 2 * place + 2]
            for (period, _), spent in zip(budgets(subject), map(int, after), strict=True):
                span = Span(want.project, subject, period, periods(want.at)[period])
                found += crossings(span, spent - cost, spent)
        return found

    @override
    async def keep(self, wants: Iterable[Want]) -> None:
        answers = [self._begun(msgspec.structs.replace(want, has_begun=True)) for want in wants]
        if answers:
            await asyncio.wait(answers)

    @override
    async def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        await self._redis.aclose()

    def _begun(self, want: Want) -> asyncio.Future[Any]:
        values: list[str | int] = [want.call, self._lease_ms, want.tokens, want.cost]
        values.append(int(want.has_begun))
        for subject in want.subjects:
            values += _limits(subject)
        return self._put(_BEGIN, want, values)

    def _put(self, script: str, want: Want, values: Sequence[str | int]) -> asyncio.Future[Any]:
        """Let a verb go out with the next batch."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Nobody may be there to hear it.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        now = self._clock()
        self._waiting.append(
            _Verb(script, _keys(want), ["" if now is None else now, *values], answer)
        )
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
            answers = await self._do(lambda: self._answers(batch))
            if any(isinstance(answer, self._unheard_of) for answer in answers):
                await self._do(self._teach)
                answers = await self._do(lambda: self._answers(batch))
        except Away as away:
            answers = [away] * len(batch)
        for verb, answer in zip(batch, answers, strict=True):
            if verb.answer.done():
                continue
            if isinstance(answer, Exception):
                verb.answer.set_exception(Away(str(answer)))
            else:
                verb.answer.set_result(answer)

    async def _answers(self, batch: list[_Verb]) -> list[Any]:
        # Not by the client's own scripts, which ask each time whether they are there.
        async with self._redis.pipeline(transaction=False) as pipeline:
            for verb in batch:
                pipeline.evalsha(verb.script, len(verb.keys), *verb.keys, *verb.values)
            return await pipeline.execute(raise_on_error=False)

    async def _teach(self) -> None:
        """Let Redis know the scripts: none of a batch was done if it does not."""
        for script in (BEGIN, END):
            await self._redis.script_load(script)

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


def _prefix(project: str) -> str:
    # All of a project is in one slot of a cluster.
    return f"standpipe:{{{project}}}"


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
