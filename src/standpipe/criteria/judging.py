"""Verdicts: a criterion applied to a case, by its judge or by a check."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from standpipe.calls.emulation.checker import Checker
from standpipe.criteria import checks, judge, reward
from standpipe.criteria.asking import Asking, OnBehalf, Said
from standpipe.criteria.case import Case
from standpipe.criteria.definition import Definition, Fault, Judged, Reward
from standpipe.criteria.selection import Selected
from standpipe.criteria.verdict import Failure, Verdict
from standpipe.errors import ApiError

Json = dict[str, Any]

#: Statuses with which a provider says that it does not know a parameter.
_UNKNOWN_PARAMETER = (400, 422)


class Ruling(NamedTuple):
    """A verdict, and the call in which its judge gave it."""

    verdict: Verdict
    #: Id of the judge's last record, None where no model was asked.
    call: str | None = None


class Judging:
    """Applies criteria."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._checker = Checker()

    async def close(self) -> None:
        """End what was started for checks."""
        await self._checker.close()

    async def fault(self, definition: Definition) -> Fault | None:
        """Return why a pattern or a schema cannot be used, None for one that can."""
        return await checks.fault(definition, self._checker)

    async def rule(self, selected: Selected, case: Case, whose: OnBehalf) -> Ruling:
        """Return what a criterion says of a case; whatever goes wrong is a Failure."""
        definition = selected.definition
        try:
            if isinstance(definition, Judged):
                return await self._judged(selected.name, definition, case, whose)
            if isinstance(definition, Reward):
                return await self._rewarded(selected.name, definition, case, whose)
            return Ruling(await checks.check(definition, case.text, self._checker))
        except ApiError as error:
            return Ruling(Failure(error.status, error.message))

    async def _judged(self, name: str, definition: Judged, case: Case, whose: OnBehalf) -> Ruling:
        body = judge.request(definition, case)
        ask = self._ask(name, body)
        said = await ask(body, whose)
        if said.status in _UNKNOWN_PARAMETER and b"logprobs" in said.body:
            said = await ask(judge.without_logprobs(body), whose)
        return Ruling(_verdict(said, functools.partial(judge.verdict, definition)), said.id)

    async def _rewarded(self, name: str, definition: Reward, case: Case, whose: OnBehalf) -> Ruling:
        body = reward.request(definition, case)
        said = await self._ask(name, body)(body, whose)
        return Ruling(_verdict(said, functools.partial(reward.verdict, definition)), said.id)

    def _ask(self, name: str, body: Json) -> Callable[[Json, OnBehalf], Awaitable[Said]]:
        most = judge.most_tokens(body)
        return functools.partial(
            self._asking.ask, kind="judge", labels={"criterion": name}, most_tokens=most
        )


def _verdict(said: Said, read: Callable[[Json], Verdict]) -> Verdict:
    try:
        answer = msgspec.json.decode(said.body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        return Failure(judge.BAD_GATEWAY, f"the judge's answer cannot be read: {error}")
    if said.status != 200:
        return Failure(said.status, f"the judge failed: {answer['message']}")
    return read(answer)
