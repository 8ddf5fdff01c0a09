"""The OpenAPI 3.1 document, put together from endpoints, operations, schemas and errors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from standpipe import __version__, errors
from standpipe.api.answer_schema import ANSWERS
from standpipe.api.chat_schema import CHAT
from standpipe.api.endpoints import ENDPOINTS, PREFIXES, ROOT_ENDPOINTS, Auth, Endpoint
from standpipe.api.operation import JSON, Header, Operation, Query
from standpipe.api.operations import ANSWER_HEADERS, CONTROL, OPERATIONS, RATES, SCHEMAS
from standpipe.api.schema import ref, text
from standpipe.errors import ApiError, UpstreamError

Json = dict[str, Any]

_NOTES = {"/api/v1": "OpenPipe's prefix.", "/v1": "OpenAI's prefix."}
_ROOT = {"url": "/", "description": "Without a prefix."}
_SERVERS = [{"url": prefix, "description": _NOTES[prefix]} for prefix in PREFIXES]

_WITH_KEY = (errors.Unauthorized, errors.Unavailable)
_AUTH: dict[Auth, tuple[type[ApiError], ...]] = {
    "key": _WITH_KEY,
    "admin": (*_WITH_KEY, errors.Forbidden),
    "none": (),
}
_WITH_BODY = (
    errors.Unparsable,
    errors.BadRequest,
    errors.BodyTimeout,
    errors.BodyTooLarge,
    errors.WrongMediaType,
)
_ALWAYS = (errors.HeadersTooLarge, errors.InternalError)
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")


@cache
def document() -> Json:
    """Return the document; it is the same for every request and must not be changed."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Standpipe",
            "version": __version__,
            "summary": "An OpenAI-compatible inference gateway that remembers.",
            "description": "OpenPipe's API under `/api/v1`, OpenAI's under `/v1`: one "
            "implementation. Where a time is text in the one and a number in the other, each "
            "prefix has its own.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": _SERVERS,
        "security": [{"key": []}],
        "tags": [{"name": name} for name in dict.fromkeys(o.group for o in OPERATIONS.values())],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of a project; it says whose the calls are.",
                }
            },
            "headers": {name: _header(header) for name, header in ANSWER_HEADERS.items()},
            "schemas": {**CHAT, **ANSWERS, **SCHEMAS},
        },
    }


def error_classes() -> list[type[ApiError]]:
    """Return the errors of `errors` that a caller can be answered with and whose status is fixed.

    In the order of the tree. `errors.Refused` is not among them: it has its provider's status.
    """
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    return [
        each
        for each in found
        if issubclass(each, ApiError) and "status" in vars(each) and each is not ApiError
    ]


def meaning(error: type[ApiError]) -> str:
    """Return the first sentence of an error's docstring."""
    return (error.__doc__ or "").partition("\n")[0]


def _paths() -> Json:
    paths: Json = {}
    seen: set[str] = set()
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, seen)
    for endpoint in ROOT_ENDPOINTS:
        item = paths.setdefault(endpoint.path, {})
        item["servers"] = [_ROOT, *_SERVERS] if item else [_ROOT]
        item.setdefault(endpoint.method.lower(), _operation(endpoint, seen))
    return paths


def _operation(endpoint: Endpoint, seen: set[str]) -> Json:
    told = OPERATIONS[endpoint.operation]
    described: Json = {"tags": [told.group], "summary": endpoint.summary}
    if endpoint.operation not in seen:  # an id names one operation; its second path has none
        described["operationId"] = endpoint.operation
        seen.add(endpoint.operation)
    if told.more:
        described["description"] = told.more
    if endpoint.deprecated:
        described["deprecated"] = True
    if endpoint.auth == "none":
        described["security"] = []
    if parameters := _parameters(endpoint, told):
        described["parameters"] = parameters
    if told.body:
        described["requestBody"] = _body(told.body, told.examples)
    described["responses"] = _responses(endpoint, told)
    return described


def _parameters(endpoint: Endpoint, told: Operation) -> list[Json]:
    names = _PATH_PARAMETER.findall(endpoint.path)
    return [
        *(_path(name, told.names) for name in names),
        *(_query(query) for query in told.query),
        *({"name": name, "in": "header", **_header(CONTROL[name])} for name in told.headers),
    ]


def _path(name: str, meaning: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": meaning,
        "schema": text(),
    }


def _query(query: Query) -> Json:
    return {
        "name": query.name,
        "in": "query",
        "description": query.description,
        "style": query.style,
        "explode": True,
        "schema": query.schema,
    }


def _header(header: Header) -> Json:
    deprecated = {"deprecated": True} if header.deprecated else {}
    return {"description": header.description, "schema": header.schema, **deprecated}


def _body(name: str, examples: Json) -> Json:
    shown = {title: {"value": value} for title, value in examples.items()}
    return {"required": True, "content": {JSON: {"schema": ref(name), "examples": shown}}}


def _responses(endpoint: Endpoint, told: Operation) -> Json:
    good = {
        "description": told.gives,
        "headers": _headers("x-request-id", *told.answer_headers),
        "content": {media: {"schema": schema} for media, schema in told.answer.items()},
    }
    classes = [
        *(_WITH_BODY if told.body else ()),
        *_AUTH[endpoint.auth],
        *told.errors,
        *_ALWAYS,
    ]
    by_status: dict[int, list[type[ApiError]]] = {}
    for error in sorted(dict.fromkeys(classes), key=lambda each: each.status):
        by_status.setdefault(error.status, []).append(error)
    relays = any(issubclass(error, UpstreamError) for error in classes)
    bad = {str(status): _failure(found, relays=relays) for status, found in by_status.items()}
    # Such as 405, and in calls whatever status a provider answered with.
    rates = RATES if relays else ()
    often = ("x-request-id", "retry-after", "x-should-retry", *rates)
    other = _error_answer("Any other error.", *often)
    return {"200": good, **bad, "default": other}


def _failure(classes: list[type[ApiError]], *, relays: bool) -> Json:
    """Return the answer of one status; `relays` if a provider may have said the same."""
    told = " ".join(f"`{error.code}`: {meaning(error)}" for error in classes)
    waits = relays or any(error.retry_after is not None for error in classes)
    extra = [*(["retry-after"] if waits else []), *(["x-should-retry", *RATES] if relays else [])]
    return _error_answer(told, "x-request-id", *extra)


def _error_answer(told: str, *headers: str) -> Json:
    return {
        "description": told,
        "headers": _headers(*headers),
        "content": {JSON: {"schema": ref("Error")}},
    }


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def operations(paths: Json) -> Iterable[tuple[str, str, Json, Json]]:
    """Yield method, path, operation and path item of a document's paths."""
    for path, item in paths.items():
        for method, operation in item.items():
            if method != "servers":
                yield method.upper(), path, operation, item
