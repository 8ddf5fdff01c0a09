"""How an operation is described, besides its `Endpoint`."""

from __future__ import annotations

from typing import Any

import msgspec

from standpipe.api.schema import Schema
from standpipe.errors import (
    ApiError,
    Cut,
    Forbidden,
    KeyRefused,
    NotACompletion,
    NotFound,
    PaymentRequired,
    RateLimited,
    Silent,
    Unreachable,
)

JSON = "application/json"
EVENTS = "text/event-stream"

#: How a call to a model fails, besides what any operation may meet.
CALL_ERRORS = (
    PaymentRequired,
    Forbidden,
    NotFound,
    RateLimited,
    KeyRefused,
    Unreachable,
    NotACompletion,
    Cut,
    Silent,
)


class Header(msgspec.Struct, frozen=True):
    """A header that means something, in a request or in an answer."""

    description: str
    schema: Schema
    deprecated: bool = False


class Query(msgspec.Struct, frozen=True):
    """A query parameter; `style` deepObject is `name[key]=value`."""

    name: str
    description: str
    schema: Schema
    style: str = "form"


class Operation(msgspec.Struct, frozen=True):
    """One operation: its group, what it takes, what it gives, how it fails."""

    group: str
    #: What 200 brings, in words.
    gives: str
    #: Content type to schema.
    answer: dict[str, Schema]
    more: str = ""
    #: Name of the body's schema, None where none is read.
    body: str | None = None
    #: Bodies to begin with; the first is the simplest.
    examples: dict[str, Any] = {}
    query: tuple[Query, ...] = ()
    #: What `{id}` in the path is.
    names: str = ""
    #: Names of CONTROL that are heeded.
    headers: tuple[str, ...] = ()
    #: Names of ANSWER_HEADERS on a 200, besides `x-request-id`.
    answer_headers: tuple[str, ...] = ()
    #: Besides those that any operation with a key, or with a body, may meet.
    errors: tuple[type[ApiError], ...] = ()
