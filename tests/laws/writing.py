"""How a wrong request is written, and what goes with it: the answer that it must get."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from serving import KEY

CHAT = "/api/v1/chat/completions"
#: What a server takes unless it is told otherwise.
BODY_LIMIT = 32 * 1024 * 1024

AUTH = b"Authorization: Bearer " + KEY.encode()
JSON = b"Content-Type: application/json"
HI = [{"role": "user", "content": "Hi"}]
FIELDS_OF_GOOD: dict[str, Any] = {"model": "ok", "messages": HI}
GOOD = json.dumps(FIELDS_OF_GOOD).encode()


@dataclass(frozen=True)
class Malformed:
    """A request as it goes over the wire, and its answer."""

    raw: bytes
    status: int
    code: str
    #: The field that the answer must name; None: not looked at.
    param: str | None = None
    #: The answer comes from a call, so there must be a record of it.
    is_call: bool = False


def post(path: str, body: bytes, *headers: bytes) -> bytes:
    """Return a POST with key and content type, and with these headers besides."""
    return request("POST", path, body, AUTH, JSON, *headers)


def request(method: str, path: str | bytes, body: bytes | None, *headers: bytes) -> bytes:
    """Return a request with these headers alone, and with those that frame it."""
    target = path.encode() if isinstance(path, str) else path
    lines = [b"%b %b HTTP/1.1" % (method.encode(), target), b"Host: a", b"Connection: close"]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, *headers, b"", body or b""])


def get(path: str | bytes) -> bytes:
    return request("GET", path, None, AUTH)


def framed(*lines: bytes, body: bytes = b"") -> bytes:
    """Return a chat request whose framing is all in `lines`."""
    head = [b"POST %b HTTP/1.1" % CHAT.encode(), b"Host: a", AUTH, JSON, *lines]
    return b"\r\n".join([*head, b"", body])


def chunked(body: bytes) -> bytes:
    return framed(b"Transfer-Encoding: chunked", body=body)


def call(body: bytes, code: str, param: str | None = None) -> Malformed:
    return Malformed(post(CHAT, body), 400, code, param, is_call=True)


def good_with(**changes: Any) -> bytes:
    return json.dumps({**FIELDS_OF_GOOD, **changes}).encode()


def deep(levels: int, opening: bytes, closing: bytes) -> bytes:
    return opening * levels + b"0" + closing * levels
