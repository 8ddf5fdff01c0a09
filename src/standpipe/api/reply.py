"""A call's reply over ASGI."""

from __future__ import annotations

from starlette.types import Send

from standpipe.calls.reply import Headers
from standpipe.server.asgi import Connection


class AsgiReply:
    """Sends a reply as ASGI messages; whoever serves them joins head and first bytes."""

    def __init__(self, send: Send, connection: Connection) -> None:
        self._send = send
        self._connection = connection

    @property
    def gone(self) -> bool:
        """True once the client is."""
        return self._connection.lost

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a complete answer."""
        await self._head(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self, status: int, headers: Headers) -> None:
        """Send the head of a stream."""
        await self._head(status, headers)

    async def write(self, data: bytes) -> None:
        """Send a piece of a stream."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    def pass_on(self, data: bytes) -> bool:
        """Send nothing: what is to be done with a piece is said by `write`."""
        del data
        return False

    async def end(self, data: bytes) -> None:
        """Send the last piece of a stream."""
        await self._send({"type": "http.response.body", "body": data})

    async def _head(self, status: int, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
