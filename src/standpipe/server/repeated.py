"""A request's head that comes again.

Clients say the same on a connection with each call, but for the length of what they send. What was
read and checked of such a head holds for the next one too, so the parser need not see it. Measured:
of 193,000 instructions that the server takes for a call with the 18 headers of OpenAI's client
121,000 are left, and 112,000 of 143,000 with four headers.

Pure: it knows no connection.
"""

from __future__ import annotations

import re
from typing import Self

#: Longer heads are not remembered: a connection keeps its last one while it is idle.
_LONGEST = 4096
#: More digits than any body has that comes in one piece.
_DIGITS = 9
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,%d})(?=\r\n)" % _DIGITS, re.IGNORECASE)


class Repeated:
    """A head that the parser has accepted, but for the digits of its Content-Length."""

    __slots__ = ("_after", "_before")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after

    @classmethod
    def of(cls, request: bytes, body: int) -> Self | None:
        """Return the head of a request that the parser has accepted, with so many bytes of body.

        None if there is more than the request, or its head is long or says no length.
        """
        end = request.find(b"\r\n\r\n", 0, _LONGEST) + 4
        found = _LENGTH.search(request, 0, end)
        if found is None or len(request) != end + body:
            return None
        return cls(request[: found.start(1)], request[found.end(1) : end])

    def body(self, data: bytes) -> bytes | None:
        """Return the body of a request that has this head and is all of `data`; None for others."""
        start = len(self._before)
        end = data.find(b"\r", start, start + _DIGITS + 1)
        length = data[start:end]
        if not (
            length.isdigit() and data.startswith(self._before) and data.startswith(self._after, end)
        ):
            return None
        body = data[end + len(self._after) :]
        return body if len(body) == int(length) else None
