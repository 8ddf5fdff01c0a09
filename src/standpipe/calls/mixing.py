"""A call of a mixture: its drafts at the same time, their critique, and then the answer.

All of it is one call with one record, whose attempts say what each of them was for. What is left of
the drafts is enough where there is any, and a critique can be done without; the caller is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from standpipe.calls import mixtures
from standpipe.calls.attempts import Turn, Upstream
from standpipe.calls.call import Call
from standpipe.calls.dispatch import Dispatch, Serve
from standpipe.calls.emulation.means import Means
from standpipe.calls.emulation.source import Tries
from standpipe.calls.emulation.table import Emulation
from standpipe.calls.mixtures import Mixture
from standpipe.calls.routes import Target
from standpipe.errors import ApiError, NotACompletion
from standpipe.providers.fidelity import Plan
from standpipe.wire import choices
from standpipe.wire.chat import ChatRequest
from standpipe.wire.known_secrets import KnownSecrets
from standpipe.wire.record import Step

Json = dict[str, Any]

#: Decides what becomes of a request at a target.
Planned = Callable[[Call, ChatRequest, Target, Upstream], Plan]
#: Sends an answer to the caller.
Tell = Callable[[Emulation, Tries], Awaitable[None]]
#: A model, and what it is asked.
Asked = tuple[str, ChatRequest]


class Mixing:
    """Makes the answers of mixtures."""

    def __init__(
        self, dispatch: Dispatch, means: Means, plan: Planned, secrets: KnownSecrets
    ) -> None:
        self._dispatch = dispatch
        self._means = means
        self._plan = plan
        #: No provider is to see those of another, whatever that said.
        self._secrets = secrets

    async def serve(self, call: Call, request: ChatRequest, mixture: Mixture, tell: Tell) -> None:
        """Answer a call.

        Raises the error of the first candidate where no draft was made, and what the answer itself
        fails with.
        """
        made = _Made(call)
        drafts = await self._drafts(made, request, mixture)
        said = await self._critique(made, request, mixture, drafts)
        final = mixtures.final(request, drafts, said)

        async def at(turn: Turn) -> None:
            emulation = Emulation(self._plan(call, final, turn.target, turn.upstream))
            call.fidelity = tuple(dict.fromkeys((*made.noted, *emulation.noted)))
            tries = Tries(call, turn)
            for usage in made.usages:
                tries.tally.add(usage)
            await tell(emulation, tries)

        await self._toward(call, final, mixture.final, at)

    async def _drafts(self, made: _Made, request: ChatRequest, mixture: Mixture) -> list[Json]:
        asked = [(each.model, mixtures.draft(request, each)) for each in mixture.candidates]
        said = await self._together(made, asked, "draft")
        messages = [each for each in said if not isinstance(each, ApiError)]
        if not messages:
            raise next(each for each in said if isinstance(each, ApiError))
        if len(messages) < len(said):
            made.noted.append(mixtures.DRAFT_DROPPED)
        return [message for some in messages for message in some]

    async def _critique(
        self, made: _Made, request: ChatRequest, mixture: Mixture, drafts: Sequence[Json]
    ) -> str | None:
        asked = (mixture.critique, mixtures.critique(request, drafts))
        (said,) = await self._together(made, [asked], "critique")
        if isinstance(said, ApiError):
            made.noted.append(mixtures.CRITIQUE_DROPPED)
            return None
        return mixtures.text_of(said[0])

    async def _together(
        self, made: _Made, asked: Sequence[Asked], step: Step
    ) -> list[list[Json] | ApiError]:
        """Ask several at the same time; return the messages of each, or what it failed with."""
        parts = [made.part(request) for _, request in asked]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._said(part, request, model))
                    for part, (model, request) in zip(parts, asked, strict=True)
                ]
        finally:
            made.take(parts, step)
        return [task.result() for task in tasks]

    async def _said(self, part: Call, request: ChatRequest, model: str) -> list[Json] | ApiError:
        found: list[list[Json]] = []

        async def at(turn: Turn) -> None:
            emulation = Emulation(self._plan(part, request, turn.target, turn.upstream))
            part.fidelity = emulation.noted
            tries = Tries(part, turn)
            part.decoder = tries.tally
            completion = await emulation.source(tries, self._means).whole()
            found.append(_messages(completion, self._secrets))
            part.outcome = "complete"

        try:
            await self._toward(part, request, model, at)
        except ApiError as error:
            return error
        return found[0]

    async def _toward(self, call: Call, request: ChatRequest, model: str, at: Serve) -> None:
        """Serve a call at the targets of a model."""

        def check(target: Target, upstream: Upstream) -> Plan:
            return self._plan(call, request, target, upstream)

        turn = self._dispatch.only(call, model)
        await (self._dispatch.serve(call, model, at, check) if turn is None else at(turn))


class _Made:
    """What was made for a call before its answer."""

    def __init__(self, call: Call) -> None:
        self._call = call
        #: As told to a caller, of each that was answered; None for one that did not say.
        self.usages: list[object] = []
        #: What the caller is told.
        self.noted = ["mixture=emulated"]

    def part(self, request: ChatRequest) -> Call:
        """Return the state of one part, which has no record of its own."""
        call = self._call
        body = msgspec.json.encode(request.fields)
        part = Call(call.incoming, call.caller, body, id=call.id, requested_at=call.requested_at)
        part.metadata = call.metadata
        return part

    def take(self, parts: Sequence[Call], step: Step) -> None:
        """Take over what the parts have tried and used, however they ended."""
        tried = [
            msgspec.structs.replace(attempt, step=step)
            for part in parts
            for attempt in part.attempts
        ]
        self._call.attempts += sorted(tried, key=lambda each: each.started_at)
        self._call.retried = self._call.retried or any(part.retried for part in parts)
        for part in parts:
            if part.outcome != "complete" or part.decoder is None:
                continue
            self.noted += part.fidelity
            usage = part.decoder.usage
            self.usages.append(None if usage is None else msgspec.json.decode(usage))


def _messages(completion: Json, secrets: KnownSecrets) -> list[Json]:
    """Return the messages of a completion; NotACompletion if it has none."""
    said = secrets.hide(msgspec.json.encode(completion.get("choices")))
    try:
        return choices.messages(msgspec.json.decode(said))
    except msgspec.ValidationError as error:
        raise NotACompletion(f"the provider's answer cannot be used: {error}") from error
