"""Requests of the routes that pass through: read for what we must know, else sent on as they came.

Embeddings, OpenAI's older completions, and its responses. What these take grows faster than any
table of theirs, so a request is checked in the fields that mean something here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from standpipe.errors import BadRequest, Unparsable
from standpipe.wire import chat
from standpipe.wire.checks import Check, Issues, fields, flag
from standpipe.wire.record import Kind

Json = dict[str, Any]


class Route(msgspec.Struct, frozen=True):
    """A route that passes through, as data."""

    kind: Kind
    #: Under our prefixes, and under a provider's base URL.
    path: str
    #: An array that every answer has.
    mark: str
    #: `stream: true` asks for events.
    streams: bool = False
    #: The events end in `[DONE]`, and `stream_options.include_usage` asks for usage.
    like_chat: bool = False
    #: Fields that are ours unless the provider's row says `forward_store`.
    ours: tuple[str, ...] = ("store", "metadata")
    #: Fields that may not be true, and why.
    refused: Mapping[str, str] = {}


ROUTES: dict[Kind, Route] = {
    route.kind: route
    for route in (
        Route(kind="embeddings", path="/embeddings", mark="data"),
        Route(
            kind="completions",
            path="/completions",
            mark="choices",
            streams=True,
            like_chat=True,
        ),
        Route(
            kind="responses",
            path="/responses",
            mark="output",
            streams=True,
            # The provider's own state hangs on them: `previous_response_id` needs what it stored.
            ours=(),
            refused={"background": "what is made in the background could not be fetched here"},
        ),
    )
}

#: The checks of the fields that we read. Null means absent.
_FIELDS: Mapping[str, Check] = {
    **{name: chat.FIELDS[name] for name in ("model", "stream", "store", "metadata", "n")},
    "stream_options": fields({}, {"include_usage": flag}),
}


class PassedRequest(msgspec.Struct, frozen=True):
    """A request that passed the checks."""

    route: Route
    #: The whole body, in its order; of a field given twice, the last.
    fields: dict[str, msgspec.Raw]
    model: str
    stream: bool = False
    include_usage: bool = False
    store: bool | None = None
    metadata: dict[str, str] = {}
    #: How many choices the answer will have.
    choices: int = 1


def parse(body: bytes, route: Route) -> PassedRequest:
    """Return the request of a body.

    Unparsable if it is not JSON in UTF-8; BadRequest, with all its issues, where a field that we
    read is wrong.
    """
    raw = chat.decode(body)
    issues = Issues()
    values = _values(raw, issues)
    if issues.found:
        raise issues.error()
    for name, why in route.refused.items():
        if bytes(raw.get(name, b"")) == b"true":
            raise BadRequest(f"{name}: {why}; leave it out", param=name)
    options = values.get("stream_options") or {}
    return PassedRequest(
        route=route,
        fields=raw,
        model=values["model"],
        stream=route.streams and values.get("stream", False),
        include_usage=bool(options.get("include_usage")),
        store=values.get("store"),
        metadata=values.get("metadata", {}),
        choices=int(values.get("n", 1)) * _prompts(raw.get("prompt")),
    )


def changed(request: PassedRequest, changes: Mapping[str, Any]) -> PassedRequest:
    """Return the request with these fields replaced or added; raises as `parse` does."""
    return parse(msgspec.json.encode({**request.fields, **changes}), request.route)


def _values(raw: dict[str, msgspec.Raw], issues: Issues) -> Json:
    if "model" not in raw:
        issues.add(("model",), "is required")
    values: Json = {}
    for name in _FIELDS.keys() & raw.keys():
        try:
            value = msgspec.json.decode(raw[name])
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unparsable(f"Failed to parse request body: {name}: {error}") from None
        if value is not None or name == "model":
            _FIELDS[name](value, (name,), issues)
            values[name] = value
    return values


def _prompts(raw: msgspec.Raw | None) -> int:
    """Return how many prompts there are: an array of numbers is one, in tokens."""
    try:
        prompts = msgspec.json.decode(raw, type=list[msgspec.Raw]) if raw is not None else []
    except (msgspec.DecodeError, msgspec.ValidationError):
        return 1
    many = all(bytes(prompt).lstrip()[:1] in (b'"', b"[") for prompt in prompts)
    return len(prompts) if prompts and many else 1
