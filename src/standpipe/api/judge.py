"""POST /criteria/judge: an answer, wherever it was made, judged by a criterion (spec 2.6)."""

from __future__ import annotations

from typing import Any

import msgspec

from standpipe import errors
from standpipe.api.http import decoded, refuse_read_only
from standpipe.calls import incoming as control
from standpipe.calls.callers import Caller
from standpipe.calls.incoming import Incoming
from standpipe.calls.lifetime import JSON, error_headers
from standpipe.calls.reply import Reply
from standpipe.criteria.asking import OnBehalf
from standpipe.criteria.case import Case
from standpipe.criteria.judging import Judging
from standpipe.criteria.library import Library
from standpipe.criteria.verdict import Failure, Success
from standpipe.errors import Refused
from standpipe.providers.openai import CODES
from standpipe.wire import messages
from standpipe.wire.checks import Issues
from standpipe.wire.ids import new_id
from standpipe.wire.known_secrets import KnownSecrets

Json = dict[str, Any]


class JudgeInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the answer answers."""

    messages: list[Json]
    tool_choice: Any = None
    tools: list[Json] | None = None


class JudgeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body."""

    #: May end in `@` and a version.
    criterion_id: str
    output: Json
    input: JudgeInput | None = None


class JudgeRoute:
    """Answers the route; a judge's call is one of the caller's own."""

    def __init__(self, judging: Judging, library: Library) -> None:
        self._judging = judging
        self._library = library

    async def answer(self, incoming: Incoming, caller: Caller, body: bytes, reply: Reply) -> str:
        """Answer a request and return its id, that of the judge's call if there was one.

        Of what there is no score, there is no 200.
        """
        refuse_read_only(caller)
        asked = decoded(body, JudgeBody)
        case = _case(asked)
        (selected,) = await self._library.select(caller.project, [asked.criterion_id])
        whose = OnBehalf(caller, incoming, logged=control.wants_log(incoming))
        ruling = await self._judging.rule(selected, case, whose)
        call = ruling.call or new_id()
        named = (b"x-request-id", call.encode())
        if isinstance(ruling.verdict, Failure):
            error = _refused(selected.name, ruling.verdict)
            said = KnownSecrets().hide(msgspec.json.encode(errors.body(error)), incoming.token)
            await reply.whole(error.status, [*error_headers(error), named], said)
        else:
            await reply.whole(200, [JSON, named], msgspec.json.encode(_told(ruling.verdict)))
        return call


def _told(verdict: Success) -> Json:
    explanation = {} if verdict.explanation is None else {"explanation": verdict.explanation}
    usage = {} if verdict.tokens is None else {"usage": {"total_tokens": verdict.tokens}}
    return {"score": verdict.score, **explanation, **usage}


def _refused(name: str, failure: Failure) -> Refused:
    default = "BAD_REQUEST" if failure.code < 500 else "BAD_GATEWAY"
    code = {403: "FORBIDDEN", 503: "SERVICE_UNAVAILABLE", 504: "GATEWAY_TIMEOUT", **CODES}
    message = f"criterion {name}: {failure.message}"
    return Refused(failure.code, code.get(failure.code, default), message)


def _case(asked: JudgeBody) -> Case:
    """Return what is to be judged; BadRequest, with all its issues, where it is no answer."""
    issues = Issues()
    output = {"role": "assistant", **asked.output}
    messages.ROLES["assistant"](output, ("output",), issues)
    given = asked.input or JudgeInput([])
    if asked.input is not None:
        messages.messages(given.messages, ("input", "messages"), issues)
    if issues.found:
        raise issues.error()
    return Case(
        output=output,
        messages=given.messages,
        tools=given.tools or [],
        tool_choice=given.tool_choice,
    )
