"""Tries at a target: sent, judged, tried again before the first byte or given up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from typing_extensions import override

from standpipe.calls.call import Call, now_us
from standpipe.calls.routes import Target
from standpipe.errors import ApiError, Refused, Silent, Unreachable
from standpipe.providers.dialect import Outgoing
from standpipe.providers.table import Provider
from standpipe.upstream.answer import Answer
from standpipe.upstream.transport import Headers, Request, Transport
from standpipe.wire.record import Attempt

#: Largest answer taken in one piece, and largest error body read, in bytes.
ANSWER_LIMIT = 256 * 1024 * 1024
ERROR_LIMIT = 1024 * 1024
#: Statuses of a provider after which another try may do better.
AGAIN = frozenset((408, 429, 500, 502, 503, 504))
#: Longest Retry-After that is waited for, and the pause where none is told, in seconds.
PATIENCE = 5.0
PAUSE = 0.25


class Upstream(msgspec.Struct, frozen=True):
    """A provider and the way to it."""

    provider: Provider
    transport: Transport
    #: The request's headers, the provider's key among them.
    headers: Headers
    #: The key itself, to keep it out of what the provider says of it.
    key: bytes | None = None

    @override
    def __repr__(self) -> str:
        return f"Upstream({self.provider.name})"


async def attempt(call: Call, target: Target, upstream: Upstream, outgoing: Outgoing) -> Answer:
    """Return an answer with status 200, its body still to be read.

    Raises the last attempt's error once `target.retries` are used up or another try is pointless.
    """
    tried = 0
    while True:
        try:
            return await _once(call, target, upstream, outgoing)
        except (Refused, Unreachable, Silent) as error:
            pause = _pause(error)
            if tried >= target.retries or pause is None:
                raise
        tried += 1
        call.retried = True
        await asyncio.sleep(pause)


async def _once(call: Call, target: Target, upstream: Upstream, outgoing: Outgoing) -> Answer:
    request = Request("POST", outgoing.path, upstream.headers, outgoing.body, outgoing.extra)
    started = now_us()
    try:
        answer = await upstream.transport.send(request)
    except ApiError as error:
        call.attempts.append(_attempt(target, started, error=error.message))
        raise
    noted = _attempt(target, started, status=answer.status, first_byte_us=answer.first_byte_us)
    if answer.status == 200:
        call.attempts.append(noted)
        return answer
    refusal = await _error(answer, upstream)
    call.attempts.append(msgspec.structs.replace(noted, error=refusal.message))
    raise refusal


async def _error(answer: Answer, upstream: Upstream) -> ApiError:
    async with answer:
        body = await answer.body(ERROR_LIMIT)
    if upstream.key is not None:
        body = body.replace(upstream.key, b"***")
    headers: Mapping[bytes, bytes] = dict(answer.headers)
    provider = upstream.provider
    return provider.dialect.error(answer.status, headers, body, provider.name)


def _attempt(
    target: Target,
    started: int,
    *,
    status: int | None = None,
    error: str | None = None,
    first_byte_us: int | None = None,
) -> Attempt:
    return Attempt(
        provider=target.provider,
        model=target.model,
        started_at=started,
        status=status,
        error=error,
        first_byte_us=first_byte_us,
    )


def _pause(error: ApiError) -> float | None:
    """Return how long to wait before another try, None where it is pointless."""
    if isinstance(error, Refused) and error.status not in AGAIN:
        return None
    if error.retry_after is None:
        return PAUSE
    return error.retry_after if error.retry_after <= PATIENCE else None
