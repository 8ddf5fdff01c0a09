"""Tries at a target: sent, judged, tried again before the first byte or given up."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType

import msgspec
from typing_extensions import override

from standpipe.calls.call import Call
from standpipe.calls.provider_keys import ProviderKey, ProviderKeys
from standpipe.calls.routes import Route, Target
from standpipe.calls.standing import UNWATCHED, Standing
from standpipe.errors import ApiError, Refused, Silent, Unreachable, UpstreamError
from standpipe.providers.dialect import Outgoing
from standpipe.providers.table import Provider
from standpipe.upstream.answer import Answer
from standpipe.upstream.transport import Headers, Request, Transport
from standpipe.wire import trace
from standpipe.wire.record import Attempt

#: Largest answer taken in one piece, and largest error body read, in bytes.
ANSWER_LIMIT = 256 * 1024 * 1024
ERROR_LIMIT = 1024 * 1024
#: Statuses of a provider, beside all of 500 and more, after which another try may do better.
AGAIN = frozenset((408, 429))
#: Those with which a provider's Retry-After is about more than the one call.
_BUSY = frozenset((429, 503))
#: Those under 500 that are the target's trouble and not the request's: out of money, too slow, too
#: many. A 404 may be either: the model that is not there, or what the request refers to.
_TARGETS_OWN = frozenset((402, 408, 429))
_UNKNOWN = 404
#: Longest Retry-After that is waited for, and the pause where none is told, in seconds.
PATIENCE = 5.0
PAUSE = 0.25
#: What is said of an attempt that its call did not wait for.
GIVEN_UP = "given up before its answer"


class Upstream(msgspec.Struct, frozen=True):
    """A provider and the way to it."""

    provider: Provider
    transport: Transport
    keys: ProviderKeys
    #: It is told of the trace that a call is part of.
    traced: bool = False

    @override
    def __repr__(self) -> str:
        return f"Upstream({self.provider.name})"


class Turn(msgspec.Struct, frozen=True):
    """One target's turn in a call."""

    route: Route
    target: Target
    upstream: Upstream
    standing: Standing = UNWATCHED
    #: Tells whether a failed attempt may be made again here: no other target is left.
    may_repeat: Callable[[], bool] = lambda: True

    @property
    def retries(self) -> int:
        """How often a failed attempt is made again at this target, as things are now."""
        return self.route.retries if self.may_repeat() else 0


class Held:
    """An answer with status 200 until its end, which says how its target and its attempt ended.

    A context manager that gives the answer, its body still to be read, and closes it.
    """

    __slots__ = ("_answer", "_attempts", "_place", "_since", "_turn")

    def __init__(self, answer: Answer, turn: Turn, since: float, attempts: list[Attempt]) -> None:
        self._answer = answer
        self._turn = turn
        self._since = since
        self._attempts = attempts
        #: The attempt that was answered is the newest.
        self._place = len(attempts) - 1

    def __enter__(self) -> Answer:
        return self._answer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._answer.close()
        standing = self._turn.standing
        if error is None:
            standing.worked(self._answer.first_byte_us / 1e6, since=self._since)
        elif isinstance(error, UpstreamError):
            standing.failed(self._turn.route)
            broken = self._attempts[self._place]
            self._attempts[self._place] = msgspec.structs.replace(broken, error=error.message)


async def attempt(call: Call, turn: Turn, outgoing: Outgoing) -> AbstractContextManager[Answer]:
    """Return an answer with status 200, its body still to be read.

    Raises the last attempt's error once the turn's retries are used up or another try is pointless.
    A key that is refused is no try where the provider has another that does not rest.
    """
    keys = turn.upstream.keys
    tried = keys_refused = 0
    while True:
        since, key = time.monotonic(), keys.only or keys.take()
        try:
            answer = await _once(call, turn, key, outgoing)
        except ApiError as error:
            if keys.refused(key, error) and keys_refused < len(keys) - 1:
                keys_refused += 1
                call.retried = True
                continue
            _note(turn, error, since)
            pause = _pause(error)
            if pause is None or tried >= turn.retries:
                raise
        else:
            is_alone = turn.standing is UNWATCHED
            return answer if is_alone else Held(answer, turn, since, call.attempts)
        tried += 1
        call.retried = True
        await asyncio.sleep(pause)


async def _once(call: Call, turn: Turn, key: ProviderKey, outgoing: Outgoing) -> Answer:
    span = secrets.token_hex(8) if turn.upstream.traced else None
    extra = outgoing.extra if span is None else outgoing.extra + _trace(call, span)
    request = Request("POST", outgoing.path, key.headers, outgoing.body, extra)
    started = time.time_ns() // 1000
    try:
        answer = await turn.upstream.transport.send(request)
    except ApiError as error:
        call.attempts.append(_unanswered(turn, key, started, span, error.message))
        raise
    except asyncio.CancelledError:
        call.attempts.append(_unanswered(turn, key, started, span, GIVEN_UP))
        raise
    target = turn.target
    noted = Attempt(
        target.provider,
        target.model,
        started,
        answer.status,
        None,
        answer.first_byte_us,
        key.place,
        span,
    )
    if answer.status == 200:
        call.attempts.append(noted)
        return answer
    refusal = await _error(answer, turn.upstream.provider, key)
    call.attempts.append(msgspec.structs.replace(noted, error=refusal.message))
    raise refusal


def _trace(call: Call, span: str) -> Headers:
    incoming = call.incoming
    return trace.headers(incoming.traceparent, incoming.tracestate, call=call.id, span=span)


def _note(turn: Turn, error: ApiError, since: float) -> None:
    """Note what an attempt without an answer says of its target."""
    if not isinstance(error, Refused):
        turn.standing.failed(turn.route)
    elif error.status in _BUSY and error.retry_after:
        turn.standing.asked_to_wait(error.retry_after)
    elif error.status in _TARGETS_OWN or error.status >= 500:
        turn.standing.failed(turn.route)
    elif error.status != _UNKNOWN:
        turn.standing.worked(since=since)  # to refuse what is wrong is to work


async def _error(answer: Answer, provider: Provider, key: ProviderKey) -> ApiError:
    try:
        with answer:
            body = await answer.body(ERROR_LIMIT)
    except UpstreamError:  # the status says enough
        body = b""
    if key.secret is not None:
        body = body.replace(key.secret, b"***")
    headers: Mapping[bytes, bytes] = dict(answer.headers)
    return provider.dialect.error(answer.status, headers, body, provider.name)


def _unanswered(
    turn: Turn, key: ProviderKey, started: int, span: str | None, error: str
) -> Attempt:
    target = turn.target
    return Attempt(target.provider, target.model, started, error=error, key=key.place, span=span)


def _pause(error: ApiError) -> float | None:
    """Return how long to wait before another try, None where it is pointless."""
    if isinstance(error, Refused):
        is_again = error.status in AGAIN or error.status >= 500
    else:
        is_again = isinstance(error, Unreachable | Silent)
    if not is_again:
        return None
    if error.retry_after is None:
        return PAUSE
    return error.retry_after if error.retry_after <= PATIENCE else None
