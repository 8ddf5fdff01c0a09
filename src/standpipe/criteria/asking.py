"""Calls of our own: through the way of every other call, in this process, and for a caller.

So they are routed, limited, recorded and paid for as what the caller asks itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from standpipe.calls.call import Call, without_text
from standpipe.calls.callers import Caller
from standpipe.calls.chat import Chat
from standpipe.calls.incoming import Incoming
from standpipe.calls.reply import Headers
from standpipe.criteria.budget import Budget
from standpipe.drain.prices import Used
from standpipe.drain.rows import answers
from standpipe.wire.record import Kind, Usage
from standpipe.wire.summaries import sent
from standpipe.wire.summary import Summary

Json = dict[str, Any]


class OnBehalf(msgspec.Struct, frozen=True):
    """For whom a call is made, and within what."""

    caller: Caller
    #: What came with the caller's own request.
    incoming: Incoming
    #: Id of the call that this one is made for, None where it is made for none.
    parent: str | None = None
    #: Whether its text is kept; None for what the configuration says.
    logged: bool | None = None
    #: What it may cost with others, None for no limit.
    budget: Budget | None = None


class Said(NamedTuple):
    """How a call was answered."""

    #: Of its record.
    id: str
    status: int
    body: bytes


class Asking:
    """Makes the calls."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def ask(
        self,
        body: Json,
        whose: OnBehalf,
        *,
        kind: Kind,
        labels: Mapping[str, str],
        most_tokens: int,
    ) -> Said:
        """Make a call and return its answer, an error too.

        `labels` are its metadata, and its answer has at most so many tokens. Cancelled, it is
        given up as if its client had left.

        Raises Unavailable where the spool has no room for its record, PaymentRequired where what it
        may cost is not left of a budget; NotFound or BadRequest then for a model that there is not.
        """
        text = msgspec.json.encode(body)
        incoming = _incoming(whose, labels)
        call = Call(incoming, whose.caller, text, kind=kind, parent=whose.parent)
        if whose.budget is None:
            return await self._carried(call)
        dearest = self._dearest(call, body["model"], most_tokens)
        held = await whose.budget.hold(dearest, call.requested_at)
        try:
            return await self._carried(call)
        finally:
            whose.budget.settle(held, _used(call), call.requested_at)

    async def _carried(self, call: Call) -> Said:
        reply = _Kept()
        await self._chat.carry(call, reply)
        return Said(call.id, reply.status, reply.body)

    def _dearest(self, call: Call, model: str, most_tokens: int) -> list[Used]:
        """Return what a call may use at most, as far as one can tell, at each of its targets."""
        prompt, _ = sent(call.body)
        tokens = prompt.prompt_tokens if prompt else None
        answers = self._chat.answers(model)
        usage = Usage(
            prompt_tokens=(tokens or 0) * answers, completion_tokens=most_tokens * answers
        )
        targets = self._chat.targets(model, call.incoming)
        return [Used(target.provider, (target.model,), usage, None) for target in targets]


def _used(call: Call) -> list[Used]:
    record = call.record()
    if record.logged:
        record = without_text(record)
    return list(answers(record, Summary(), record.usage))


def _incoming(whose: OnBehalf, labels: Mapping[str, str]) -> Incoming:
    """Return the headers of a call: what a provider has not is done without."""
    logged = {None: None, True: b"true", False: b"false"}[whose.logged]
    return Incoming(
        authorization=whose.incoming.authorization,
        api_key=whose.incoming.api_key,
        traceparent=whose.incoming.traceparent,
        tracestate=whose.incoming.tracestate,
        log_request=logged,
        # Not in the body: no provider is to see them, whatever it is sent of other calls.
        tags=msgspec.json.encode(labels),
        fidelity=b"best-effort",
    )


class _Kept:
    """A reply that keeps a whole answer; nobody here asks for a stream."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""

    @property
    def gone(self) -> bool:
        """True once whoever asks wants no answer any more."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Keep a complete answer."""
        del headers
        self.status, self.body = status, body

    async def begin(self, status: int, headers: Headers) -> None:
        """Keep the head of a stream."""
        del headers
        self.status = status

    async def write(self, data: bytes) -> None:
        """Keep a piece of a stream."""
        self.body += data

    def pass_on(self, data: bytes) -> bool:
        """Send nothing: what is to be done with a piece is said by `write`."""
        del data
        return False

    async def end(self, data: bytes) -> None:
        """Keep the last piece of a stream."""
        self.body += data
