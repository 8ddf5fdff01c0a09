"""Bedrock's errors, as answers and inside streams. Pure.

https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html, seen 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from standpipe.errors import ApiError, KeyRefused, NotACompletion, Refused
from standpipe.providers.openai import CODES, seconds
from standpipe.wire.fold import decode_object
from standpipe.wire.lenient import mapping, text

Json = dict[str, Any]

#: A model that failed is no fault of the request, whatever the status says.
_STATUSES = {424: 502}
_TYPES = {429: "rate_limit_error"}
_CODES = {
    "ThrottlingException": "rate_limit_exceeded",
    "ResourceNotFoundException": "model_not_found",
}
_TOO_LONG = re.compile(
    r"input is too long|prompt is too long|too many input tokens|maximum context", re.IGNORECASE
)


def error(status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str) -> ApiError:
    """Return the error that an answer with `status` other than 200 stands for."""
    kind = _kind(headers)
    if status in {401, 403}:
        # What AWS says with it may quote the request's headers.
        return KeyRefused(
            f"provider {provider!r} refused its key with status {status}"
            f"{f' ({kind})' if kind else ''}; check the key, the region and the access to the "
            f"model that [providers.{provider}] has"
        )
    if status < 400:
        return NotACompletion(f"provider {provider!r} answered with status {status}, not 200")
    return _refused(_STATUSES.get(status, status), kind, headers, body, provider)


def message_of(body: Json) -> str:
    """Return the message of an error body, empty if there is none."""
    told = text(body.get("message")) or text(body.get("Message"))
    # As a gateway on the way there would put it.
    return told or text(mapping(body.get("error")).get("message"))


def failure_of(headers: Mapping[str, str], payload: bytes) -> str | None:
    """Return what a frame tells of an error, None for one that is an event."""
    kind = headers.get(":message-type")
    if kind == "event":
        return None
    if kind == "exception":
        said = message_of(decode_object(payload) or {})
        name = headers.get(":exception-type", "")
    else:
        said, name = headers.get(":error-message", ""), headers.get(":error-code", "")
    return ": ".join(filter(None, (name, said))) or "it gave no reason"


def _kind(headers: Mapping[bytes, bytes]) -> str:
    """Return the name of the exception, without the namespace that may follow it."""
    name = headers.get(b"x-amzn-errortype", b"").decode("latin-1").partition(":")[0]
    return name if name.isascii() and name.isalnum() else ""


def _refused(
    status: int, kind: str, headers: Mapping[bytes, bytes], body: bytes, provider: str
) -> Refused:
    message = message_of(decode_object(body) or {})
    default = "BAD_REQUEST" if status < 500 else "INTERNAL_SERVER_ERROR"
    fallback = "invalid_request_error" if status < 500 else "server_error"
    return Refused(
        status,
        CODES.get(status, default),
        message or f"provider {provider!r} answered with status {status}",
        openai_type=_TYPES.get(status, fallback),
        openai_code="context_length_exceeded" if _TOO_LONG.search(message) else _CODES.get(kind),
        retry_after=seconds(headers.get(b"retry-after")),
        body=body,
    )
