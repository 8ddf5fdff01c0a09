"""Every error of Standpipe, one tree.

StandpipeError
├── ConfigError              a setting is wrong; start-up stops and says which
├── StoreUnavailable         the database cannot be reached, is locked or is migrating
└── ApiError                 what a caller can be answered with
    ├── RequestError         the caller's
    │   ├── Unparsable        400  PARSE_ERROR
    │   ├── BadRequest        400  BAD_REQUEST
    │   ├── Unauthorized      401  UNAUTHORIZED
    │   ├── PaymentRequired   402  PAYMENT_REQUIRED
    │   ├── Forbidden         403  FORBIDDEN
    │   ├── NotFound          404  NOT_FOUND
    │   ├── MethodNotAllowed  405  METHOD_NOT_SUPPORTED
    │   ├── BodyTimeout       408  TIMEOUT
    │   ├── BodyTooLarge      413  PAYLOAD_TOO_LARGE
    │   ├── WrongMediaType    415  UNSUPPORTED_MEDIA_TYPE
    │   ├── RateLimited       429  TOO_MANY_REQUESTS
    │   └── HeadersTooLarge   431  HEADERS_TOO_LARGE
    ├── UpstreamError        the provider's, or the network's on the way to it
    │   ├── Refused           as sent
    │   ├── KeyRefused        502  BAD_GATEWAY; the provider does not take our key
    │   ├── Unreachable       502  BAD_GATEWAY
    │   ├── NotACompletion    502  BAD_GATEWAY
    │   ├── Cut               502  BAD_GATEWAY; in a stream, its last event
    │   └── Silent            504  GATEWAY_TIMEOUT
    ├── Unavailable           503  SERVICE_UNAVAILABLE; our own trouble, with Retry-After
    └── InternalError         500  INTERNAL_SERVER_ERROR; a bug

`body` and `event` are the one place that turns an error into what goes over the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class StandpipeError(Exception):
    """Something that Standpipe knows how to name."""


class ConfigError(StandpipeError):
    """A setting cannot be used; the message names it and says what would do."""


class StoreUnavailable(StandpipeError):
    """The store cannot be reached, is locked or is being migrated; trying again may help.

    `why` is what a caller may be told: the message may name hosts and users.
    """

    def __init__(self, message: str, why: str = "it cannot be reached") -> None:
        super().__init__(message)
        self.why = why


class ApiError(StandpipeError):
    """An answer with an error status.

    `param` names the offending field in the request, None where no single field is at fault.
    `retry_after` is in seconds, None where waiting does not help.
    `openai_type` and `openai_code` are OpenAI's own literals where it has them.
    `reason` is what it is counted as where it leaves no record, None for its code.
    """

    status = 500
    code = "INTERNAL_SERVER_ERROR"
    openai_type = "server_error"
    openai_code: str | None = None
    retry_after: float | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        openai_code: str | None = None,
        issues: Sequence[str] = (),
        retry_after: float | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.param = param
        self.issues = tuple(issues)
        if openai_code is not None:
            self.openai_code = openai_code
        if retry_after is not None:
            self.retry_after = retry_after


class RequestError(ApiError):
    """The request is at fault; sending it again unchanged gives the same answer."""

    openai_type = "invalid_request_error"


class Unparsable(RequestError):
    """The body is not JSON in UTF-8, or the request is not HTTP we accept."""

    status = 400
    code = "PARSE_ERROR"


class BadRequest(RequestError):
    """A field is missing, of the wrong type, out of range, or cannot be honoured."""

    status = 400
    code = "BAD_REQUEST"


class Unauthorized(RequestError):
    """No key, or none that we know."""

    status = 401
    code = "UNAUTHORIZED"
    openai_code = "invalid_api_key"


class PaymentRequired(RequestError):
    """The budget of the key or its project is spent."""

    status = 402
    code = "PAYMENT_REQUIRED"
    openai_type = "insufficient_quota"
    openai_code = "insufficient_quota"


class Forbidden(RequestError):
    """The key is known and does not allow this."""

    status = 403
    code = "FORBIDDEN"
    openai_type = "permission_error"


class NotFound(RequestError):
    """There is no such path, model, completion or project for this key."""

    status = 404
    code = "NOT_FOUND"


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""

    status = 405
    code = "METHOD_NOT_SUPPORTED"


class BodyTimeout(RequestError):
    """The request's headers or body stopped coming, or took too long."""

    status = 408
    code = "TIMEOUT"


class BodyTooLarge(RequestError):
    """The request body is over `server.max_body_bytes`."""

    status = 413
    code = "PAYLOAD_TOO_LARGE"


class WrongMediaType(RequestError):
    """The request body is not JSON, or is compressed."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"


class RateLimited(RequestError):
    """The key or its project has as many calls, or tokens, as it may; later it has fewer."""

    status = 429
    code = "TOO_MANY_REQUESTS"
    openai_type = "requests"
    openai_code = "rate_limit_exceeded"
    retry_after = 1.0


class HeadersTooLarge(RequestError):
    """The request's headers are too long or too many."""

    status = 431
    code = "HEADERS_TOO_LARGE"


class UpstreamError(ApiError):
    """The provider answered with an error, answered wrongly, or not at all."""

    openai_type = "api_error"


class Refused(UpstreamError):
    """The provider said no; its status and message are the answer.

    `body` is the provider's own answer, kept so that the record of a failure is whole.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        openai_type: str = "api_error",
        openai_code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message, param=param, openai_code=openai_code, retry_after=retry_after)
        self.status = status
        self.code = code
        self.openai_type = openai_type
        self.body = body


class KeyRefused(UpstreamError):
    """The provider does not take the key that it was given; the operator must act."""

    status = 502
    code = "BAD_GATEWAY"


class Unreachable(UpstreamError):
    """No connection to the provider could be made, or it ended before an answer began."""

    status = 502
    code = "BAD_GATEWAY"


class NotACompletion(UpstreamError):
    """The provider answered 200 with something that is no chat completion."""

    status = 502
    code = "BAD_GATEWAY"


class Cut(UpstreamError):
    """The provider's answer ended before its end."""

    status = 502
    code = "BAD_GATEWAY"


class Silent(UpstreamError):
    """The provider sent nothing within `timeouts.first_byte`, `.idle` or `.total`."""

    status = 504
    code = "GATEWAY_TIMEOUT"


class Unavailable(ApiError):
    """We cannot do it now, through no fault of the caller."""

    status = 503
    code = "SERVICE_UNAVAILABLE"
    retry_after = 1.0


class InternalError(ApiError):
    """A bug of ours; the request id finds it in the log."""

    status = 500
    code = "INTERNAL_SERVER_ERROR"


def body(error: ApiError) -> dict[str, Any]:
    """Return the JSON body of an error: OpenPipe's shape and OpenAI's in one (spec 1.10, 5.5)."""
    top: dict[str, Any] = {"message": error.message, "code": error.code}
    if error.issues:
        top["issues"] = [{"message": issue} for issue in error.issues]
    return {**top, **event(error)}


def event(error: ApiError) -> dict[str, Any]:
    """Return the JSON of the event that ends a failed stream (spec 5.9)."""
    inner = {
        "message": error.message,
        "type": error.openai_type,
        "param": error.param,
        "code": error.openai_code or error.code,
    }
    return {"error": inner}
