"""Calls that were made elsewhere and are reported here; spec 2.2, 2.3, 1.8."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from standpipe.api.http import Json, read_json, token, writer
from standpipe.api.nul import refuse_nul
from standpipe.calls.callers import Caller, Callers
from standpipe.calls.incoming import text
from standpipe.calls.keeping import Keeper
from standpipe.config import Content
from standpipe.wire import tags
from standpipe.wire.ids import new_id
from standpipe.wire.record import Outcome, Record

_US_PER_MS = 1000
#: Times are kept as 64-bit integers; what lies beyond this is no time of day.
_LATEST_MS = 1e14


class Report(msgspec.Struct, frozen=True):
    """The body: every field is optional, and the payloads are anything."""

    requestedAt: float | None = None  # noqa: N815 (the wire's name)
    receivedAt: float | None = None  # noqa: N815 (the wire's name)
    reqPayload: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815 (the wire's name)
    respPayload: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815 (the wire's name)
    statusCode: float | None = None  # noqa: N815 (the wire's name)
    errorMessage: str | None = None  # noqa: N815 (the wire's name)
    tags: dict[str, Any] | None = None


class AnthropicReport(Report, frozen=True):
    """The body of a report on a call that was made at Anthropic's."""

    metadata: dict[str, Any] | None = None


class Reports:
    """The handlers."""

    def __init__(self, callers: Callers, keeper: Keeper, *, content: Content) -> None:
        self._callers = callers
        self._keeper = keeper
        self._content = content

    async def report(self, request: Request) -> Response:
        """POST /report."""
        caller = await writer(request, self._callers)
        return await self._kept(request, await read_json(request, Report), caller)

    async def report_anthropic(self, request: Request) -> Response:
        """POST /report-anthropic: kept in OpenAI's form."""
        caller = await writer(request, self._callers)
        body = await read_json(request, AnthropicReport)
        return await self._kept(request, _in_openai_form(body), caller)

    async def _kept(self, request: Request, body: Report, caller: Caller) -> Response:
        agent = request.headers.get("user-agent")
        content = caller.content or self._content
        told = _record(body, caller, agent.encode("latin-1") if agent else None)
        kept = self._keeper.contents.plain(told, content, token(request))
        if content == "redacted":
            kept = await self._keeper.redacted(kept)
        await self._keeper.keep_report(kept)
        return Json({"status": "ok"}, headers=self._told(told) if content == "none" else None)

    def _told(self, report: Record) -> dict[str, str]:
        """Return the header that says that nothing but numbers is kept."""
        dropped = "reqPayload=dropped, respPayload=dropped"
        more = ", tags=dropped" if self._keeper.contents.drops(report.metadata) else ""
        return {"standpipe-fidelity": dropped + more}

    async def check_cache(self, request: Request) -> Response:
        """POST /check-cache: the deprecated leftover, which never finds anything (spec 1.8)."""
        await writer(request, self._callers)
        await read_json(request, dict[str, Any])
        return Json({"respPayload": None})


def _in_openai_form(body: AnthropicReport) -> Report:
    """Return the report of a chat completion; a payload that is no message stays as it is."""
    # That dialect is imported where it is used, and few use it.
    from standpipe.providers.anthropic.report import report_to_openai

    request, response = _value(body.reqPayload), _value(body.respPayload)
    told, answered = report_to_openai(request, response)
    return Report(
        requestedAt=body.requestedAt,
        receivedAt=body.receivedAt,
        reqPayload=body.reqPayload if told is request else _raw(told),
        respPayload=body.respPayload if answered is response else _raw(answered),
        statusCode=body.statusCode,
        errorMessage=body.errorMessage,
        tags={**(body.metadata or {}), **(body.tags or {})},
    )


def _record(body: Report, caller: Caller, agent: bytes | None) -> Record:
    now = time.time_ns() // 1000
    requested = _time(body.requestedAt, now)
    payload = _object(body.reqPayload)
    model, messages = payload.get("model"), payload.get("messages")
    status = _status(body.statusCode)
    return Record(
        id=new_id(),
        kind="report",
        project=caller.project,
        key=caller.key,
        requested_at=requested,
        received_at=_time(body.receivedAt, max(now, requested)),
        outcome=_outcome(status),
        status=status,
        logged=True,
        model=model if isinstance(model, str) and isinstance(messages, list) else None,
        error=body.errorMessage,
        streamed=payload.get("stream") is True,
        metadata={**_labels(payload.get("metadata")), **tags.clean(body.tags or {})},
        user_agent=text(agent),
        request=bytes(body.reqPayload),
        response=bytes(body.respPayload),
    )


def _time(milliseconds: float | None, default: int) -> int:
    if milliseconds is None or not 0 <= milliseconds <= _LATEST_MS:
        return default
    return int(milliseconds * _US_PER_MS)


def _status(code: float | None) -> int | None:
    return int(code) if code is not None and 0 <= code < 1000 else None


def _outcome(status: int | None) -> Outcome:
    if status is None or status < 400:
        return "complete"
    return "refused" if status < 500 else "failed"


def _value(raw: msgspec.Raw) -> Any:
    """Return what the JSON says; None where not all of it can be held."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _object(raw: msgspec.Raw) -> dict[str, Any]:
    value = _value(raw)
    return value if isinstance(value, dict) else {}


def _labels(metadata: object) -> dict[str, str]:
    """Return a reported request's metadata as far as it is one: it may be anything."""
    if not isinstance(metadata, dict):
        return {}
    refuse_nul(metadata, "reqPayload.metadata")
    return {name: value for name, value in metadata.items() if isinstance(value, str)}
