"""CORS: which pages a browser lets call us, and read what we answer.

It keeps nobody out: that is the key's work. Credentials (cookies) are never asked for, so `*` may
stand for all origins and for all headers of an answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from starlette.types import Receive, Scope, Send

from standpipe.server.head import Header

#: What a page may send beside what any page may: OpenAI's, Anthropic's and OpenPipe's clients do.
_NAMES = frozenset(
    {
        b"accept",
        b"anthropic-beta",
        b"anthropic-dangerous-direct-browser-access",
        b"anthropic-version",
        b"authorization",
        b"content-type",
        b"idempotency-key",
        b"openai-organization",
        b"openai-project",
        b"traceparent",
        b"tracestate",
        b"user-agent",
        b"x-api-key",
    }
)
_FAMILIES = (b"op-", b"standpipe-", b"x-stainless-")
#: Seconds that a browser need not ask again.
_MAX_AGE = b"600"


class Cors:
    """The origins that may call."""

    def __init__(self, origins: Collection[str]) -> None:
        self._all = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def told(self, headers: Iterable[Header]) -> list[Header]:
        """Return the headers that an answer gets whose request had these."""
        if self._all:
            return [(b"access-control-allow-origin", b"*"), _EXPOSED]
        origin = dict(headers).get(b"origin")
        if origin not in self._origins:
            return [_VARY]
        return [(b"access-control-allow-origin", origin), _EXPOSED, _VARY]

    def is_preflight(self, method: bytes, headers: Iterable[Header]) -> bool:
        """Tell whether a browser asks if it may ask, and may."""
        if method != b"OPTIONS":
            return False
        sent = dict(headers)
        origin = sent.get(b"origin")
        is_known = origin is not None and (self._all or origin in self._origins)
        return is_known and b"access-control-request-method" in sent


async def preflight(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer a preflight of an origin that may call; what its answers get is added to all."""
    asked = dict(scope["headers"]).get(b"access-control-request-headers", b"").lower()
    names = [name.strip() for name in asked.split(b",")]
    allowed = [name for name in names if name in _NAMES or name.startswith(_FAMILIES)]
    headers = [
        (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
        (b"access-control-max-age", _MAX_AGE),
    ]
    if allowed:
        headers.append((b"access-control-allow-headers", b", ".join(allowed)))
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body"})


_EXPOSED = (b"access-control-expose-headers", b"*")
#: To caches: another origin gets another answer.
_VARY = (b"vary", b"origin")
