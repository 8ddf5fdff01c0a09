"""What every handler but the chat route shares: key, body, answer, error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from standpipe import errors
from standpipe.api.call import check_json
from standpipe.calls.callers import Caller, Callers
from standpipe.calls.incoming import read, token_of
from standpipe.calls.lifetime import error_headers
from standpipe.errors import (
    ApiError,
    BadRequest,
    InternalError,
    StoreUnavailable,
    Unavailable,
    Unparsable,
)
from standpipe.server.refusals import Refusals
from standpipe.wire.ids import new_id
from standpipe.wire.invalid import invalid
from standpipe.wire.known_secrets import KnownSecrets

log = logging.getLogger(__name__)

T = TypeVar("T")

_encode = msgspec.json.encode


class Json(Response):
    """An answer in JSON."""

    media_type = "application/json"

    @override
    def render(self, content: Any) -> bytes:
        """Return the body."""
        return _encode(content)


class ErrorAnswers:
    """Answers with errors of the tree, and counts them."""

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    def answer(self, error: ApiError, own: bytes | None = None) -> Response:
        """Return the answer that an error stands for, without the caller's own key."""
        self._refusals.count(error)
        headers = {name.decode(): value.decode() for name, value in error_headers(error)}
        content = KnownSecrets().hide(_encode(errors.body(error)), own)
        return Response(content, status_code=error.status, headers=headers)

    async def on_error(self, request: Request, error: Exception) -> Response:
        """Answer with an error of the tree; the store's absence is 503, never 401 or 500."""
        if isinstance(error, StoreUnavailable):
            message = f"the store is away: {error.why}; calls go on, reading must wait"
            error = Unavailable(message)
        assert isinstance(error, ApiError)  # noqa: S101 (registered for these two alone)
        return self.answer(error, token(request))

    async def on_bug(self, request: Request, _: Exception) -> Response:
        """Answer what nobody foresaw; `RequestIds` logs it under the same id."""
        request_id = request.scope[REQUEST_ID]
        return self.answer(InternalError(f"internal error; request id {request_id}"))


def token(request: Request) -> bytes | None:
    """Return the caller's key as it was sent, None without one."""
    return token_of(request.headers.get("authorization", "").encode("latin-1"))


async def reader(request: Request, callers: Callers) -> Caller:
    """Return who asks; any key may read."""
    return await callers.check(read(request.scope["headers"]).authorization)


async def writer(request: Request, callers: Callers) -> Caller:
    """Return who asks; Unauthorized for a read-only key (spec 1.10)."""
    caller = await reader(request, callers)
    refuse_read_only(caller)
    return caller


def refuse_read_only(caller: Caller) -> None:
    """Raise Unauthorized for a read-only key (spec 1.10)."""
    if caller.read_only:
        raise errors.Unauthorized(
            "This key is read-only; use a read/write key (`standpipe keys create` makes one)",
            openai_code="insufficient_permissions",
            reason="read_only_key",
        )


async def read_json(request: Request, kind: type[T]) -> T:
    """Return the body as `kind`; Unparsable if it is no JSON, BadRequest naming a wrong field."""
    content_type = request.headers.get("content-type")
    check_json(content_type.encode("latin-1") if content_type else None)
    return decoded(await request.body(), kind)


def decoded(body: bytes, kind: type[T]) -> T:
    """Return a body as `kind`; Unparsable if it is no JSON, BadRequest naming a wrong field."""
    try:
        body.decode()
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unparsable(f"Failed to parse request body: {error}") from error
    except RecursionError as error:
        raise BadRequest("Input validation failed: the body is nested too deep") from error


def convert(value: Mapping[str, Any], kind: type[T]) -> T:
    """Return query parameters as `kind`; BadRequest naming a wrong one."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from error


#: Where the scope holds the id that the answer will have.
REQUEST_ID = "standpipe.request_id"


class RequestIds:
    """Puts an `x-request-id` on every answer, and into the log with what went wrong."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and add the header to the head of the answer."""
        request_id = new_id()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                headers.append((b"x-request-id", request_id.encode()))
                message["headers"] = headers
            await send(message)

        try:
            await self._app({**scope, REQUEST_ID: request_id}, receive, send_with_id)
        except ClientDisconnect:
            raise
        except Exception:
            # Answered by `on_bug`, unless the answer had begun: then it stays without an end.
            log.exception("request %s: a bug", request_id, extra={"request_id": request_id})
