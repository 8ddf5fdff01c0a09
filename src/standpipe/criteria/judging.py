"""Verdicts: a criterion applied to a case, by its judge or by a check."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import msgspec

from standpipe.calls.emulation.checker import Checker
from standpipe.criteria import checks, judge
from standpipe.criteria.asking import Asking, OnBehalf, Said
from standpipe.criteria.case import Case
from standpipe.criteria.definition import Definition, Fault, Judged
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
            return Ruling(await checks.check(definition, case.text, self._checker))
        except ApiError as error:
            return Ruling(Failure(error.status, error.message))

    async def _judged(self, name: str, definition: Judged, case: Case, whose: OnBehalf) -> Ruling:
        body = judge.request(definition, case)
        most = judge.most_tokens(body)
        ask = functools.partial(
            self._asking.ask, kind="judge", labels={"criterion": name}, most_tokens=most
        )
        said = await ask(body, whose)
        if said.status in _UNKNOWN_PARAMETER and b"logprobs" in said.body:
            said = await ask(judge.without_logprobs(body), whose)
        return Ruling(_verdict(definition, said), said.id)


def _verdict(definition: Judged, said: Said) -> Verdict:
    try:
        answer = msgspec.json.decode(said.body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        return Failure(judge.BAD_GATEWAY, f"the judge's answer cannot be read: {error}")
    if said.status != 200:
        return Failure(said.status, f"the judge failed: {answer['message']}")
    return judge.verdict(definition, answer)
