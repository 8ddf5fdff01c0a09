"""What a stored call becomes for OpenTelemetry: a span, and one below it for each attempt. Pure.

By the semantic conventions for generative AI, in the JSON form of OTLP. Every id is made of the
call's own or stands in it, so what is sent twice is seen once by whoever looks for that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from standpipe.drain.span_text import texts
from standpipe.store.rows import Row
from standpipe.wire.record import Attempt, Usage
from standpipe.wire.trace import SAMPLED, own_trace, parent_of

Json = dict[str, Any]
Attributes = Mapping[str, Any]

_SERVER, _CLIENT = 2, 3
_ERROR = 2
_INT64 = 1 << 63

#: `gen_ai.operation.name` by the kind of a call. One that was made elsewhere is traced there.
OPERATIONS = {
    "chat": "chat",
    "judge": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
#: `gen_ai.provider.name`, where the conventions have another word than we.
PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}


class _Context(NamedTuple):
    """Where a call stands in its trace."""

    trace: str
    #: The caller's span, None where the trace begins here.
    parent: str | None
    is_sampled: bool


class Origin(NamedTuple):
    """Where a provider is."""

    address: str
    port: int | None


def origins(urls: Mapping[str, str]) -> dict[str, Origin]:
    """Return where providers are, by name, for those whose base URL is known."""
    split = ((name, urlsplit(url)) for name, url in urls.items())
    return {name: Origin(url.hostname, url.port) for name, url in split if url.hostname}


def spans_of(row: Row, places: Mapping[str, Origin], *, content: bool) -> list[Json]:
    """Return the spans of a call; none for one that the caller's trace leaves out.

    `content` adds the texts and errors that the row has.
    """
    context = _context(row)
    if row.kind not in OPERATIONS or not context.is_sampled:
        return []
    own = _id(row.id, "call")
    span = _span(
        *(context.trace, own, context.parent, _SERVER, _name(row.kind, row.model)),
        *(row.requested_at, row.received_at),
        _call(row, content=content),
    )
    if row.outcome in ("failed", "cut", "lost"):
        span["status"] = {"code": _ERROR, **({"message": row.error} if content else {})}
    below = _attempts(row, context.trace, own, places, content=content)
    return [span, *below]


def _context(row: Row) -> _Context:
    parent = parent_of(row.traceparent)
    if parent is None:
        return _Context(own_trace(row.id), None, True)
    return _Context(parent.trace, parent.span, bool(parent.flags & SAMPLED))


def _call(row: Row, *, content: bool) -> Json:
    first = row.first_byte_at
    return {
        "gen_ai.operation.name": OPERATIONS[row.kind],
        "gen_ai.provider.name": row.provider and PROVIDERS.get(row.provider, row.provider),
        "gen_ai.request.model": row.model,
        "gen_ai.request.stream": row.streamed or None,
        "gen_ai.response.model": row.provider_model,
        "gen_ai.response.id": row.completion_id,
        "gen_ai.response.finish_reasons": [row.finish_reason] if row.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": first and (first - row.requested_at) / 1e6,
        **_usage(row.usage),
        "http.request.method": "POST",
        "http.response.status_code": row.status,
        "user_agent.original": row.user_agent if content else None,
        "error.type": None if row.outcome == "complete" else _error_type(row),
        "standpipe.call.id": row.id,
        "standpipe.project.id": row.project,
        "standpipe.key.id": row.key,
        "standpipe.outcome": row.outcome,
        "standpipe.cost.dollars": None if row.cost is None else float(row.cost),
        **(texts(row) if content else {}),
    }


def _usage(usage: Usage | None) -> Json:
    counts = usage or Usage()
    return {
        "gen_ai.usage.input_tokens": counts.prompt_tokens,
        "gen_ai.usage.output_tokens": counts.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": counts.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": counts.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": counts.reasoning_tokens,
    }


def _error_type(row: Row) -> str:
    return str(row.status) if row.status is not None and row.status >= 400 else row.outcome


def _attempts(
    row: Row, trace: str, parent: str, places: Mapping[str, Origin], *, content: bool
) -> Iterator[Json]:
    """Yield a span of each attempt; it ends where the next begins, the last with the call."""
    ends = (*(each.started_at for each in row.attempts[1:]), row.received_at)
    for place, (attempt, end) in enumerate(zip(row.attempts, ends, strict=False)):
        span = _span(
            *(trace, attempt.span or _id(row.id, f"attempt {place}"), parent, _CLIENT),
            _name(row.kind, attempt.model),
            *(attempt.started_at, end),
            _attempt(row, attempt, places.get(attempt.provider)),
        )
        if attempt.error is not None or (attempt.status or 0) >= 400:
            span["status"] = {"code": _ERROR, **({"message": attempt.error} if content else {})}
        yield span


def _attempt(row: Row, attempt: Attempt, place: Origin | None) -> Json:
    first = attempt.first_byte_us
    has_failed = attempt.error is not None or (attempt.status or 0) >= 400
    status = "unreachable" if attempt.status is None else str(attempt.status)
    # Tokens are the call's: on both they would be counted twice.
    return {
        "gen_ai.operation.name": OPERATIONS[row.kind],
        "gen_ai.provider.name": PROVIDERS.get(attempt.provider, attempt.provider),
        "gen_ai.request.model": attempt.model,
        "gen_ai.response.time_to_first_chunk": None if first is None else first / 1e6,
        "http.response.status_code": attempt.status,
        "server.address": place and place.address,
        "server.port": place and place.port,
        "error.type": ("cut" if status == "200" else status) if has_failed else None,
    }


def _span(
    trace: str,
    own: str,
    parent: str | None,
    kind: int,
    name: str,
    start_us: int,
    end_us: int,
    attributes: Attributes,
) -> Json:
    return {
        "traceId": trace,
        "spanId": own,
        **({"parentSpanId": parent} if parent else {}),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(start_us * 1000),
        "endTimeUnixNano": str(max(start_us, end_us) * 1000),
        "attributes": keyed(attributes),
    }


def keyed(attributes: Attributes) -> list[Json]:
    """Return attributes as OTLP has them, without those that are None."""
    return [
        {"key": name, "value": _value(value)}
        for name, value in attributes.items()
        if value is not None
    ]


def _value(value: Any) -> Json:
    match value:
        case bool():
            return {"boolValue": value}
        case int() if -_INT64 <= value < _INT64:
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_value(each) for each in value]}}
        case _:
            return {"stringValue": _storable(str(value))}


def _storable(text: str) -> str:
    # A lone surrogate, which JSON may spell and UTF-8 may not.
    return text.encode("utf-8", "replace").decode()


def _name(kind: str, model: str | None) -> str:
    return _storable(f"{OPERATIONS[kind]} {model}" if model else OPERATIONS[kind])


def _id(call: str, what: str) -> str:
    return hashlib.sha256(f"{what} {call}".encode()).hexdigest()[:16]


def encoded(spans: list[Json]) -> bytes:
    """Return the spans of a call as JSON, without the brackets around them."""
    return msgspec.json.encode(spans)[1:-1]
