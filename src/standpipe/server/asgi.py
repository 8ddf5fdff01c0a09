"""An exchange over ASGI: the way of every route but those that call models, and the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Scope
from typing_extensions import override

from standpipe import errors
from standpipe.server.exchange import LAST_CHUNK, Exchange, Line, chunk
from standpipe.server.head import Header

#: Where the scope's `extensions` hold the `Connection`.
EXTENSION = "standpipe.connection"


class Connection:
    """What an application may know of its client's connection, for one request.

    `on_lost` is called once, on the event loop, when the client is gone before its answer is
    complete. Look at `lost` before setting it: what is past is not announced again.
    """

    __slots__ = ("lost", "on_lost")

    def __init__(self) -> None:
        self.lost = False
        self.on_lost: Callable[[], None] | None = None

    def lose(self) -> None:
        """Note that the client is gone, and tell whoever asked."""
        self.lost = True
        hook, self.on_lost = self.on_lost, None
        if hook is not None:
            hook()


class AsgiExchange(Exchange):
    """A request answered by an ASGI application. Its head and first body bytes leave together."""

    __slots__ = (
        "_answer_left",
        "_app",
        "_bodiless",
        "_chunked",
        "_continue_owed",
        "_end_told",
        "connection",
        "scope",
    )

    def __init__(
        self,
        line: Line,
        told: Sequence[Header],
        keep_alive: bool,
        app: ASGIApp,
        scope: Scope,
        expects_continue: bool,
    ) -> None:
        super().__init__(line, told, keep_alive)
        self.connection = Connection()
        self.scope = scope
        scope["extensions"] = {EXTENSION: self.connection}
        self._app = app
        self._end_told = False
        self._continue_owed = expects_continue
        self._answer_left: int | None = None
        self._chunked = False
        self._bodiless = False

    @override
    def lose(self) -> None:
        super().lose()
        if self.lost:
            self.connection.lose()

    @override
    async def _answer(self) -> None:
        try:
            await self._app(self.scope, self.receive, self.send)
        except ClientDisconnect:
            self._fail(errors.InternalError("the request was not read to its end"))

    async def receive(self) -> Message:
        """Return the next ASGI message of the request; `http.disconnect` once all is over."""
        if self._continue_owed and not self.lost and not self.complete:
            self._continue_owed = False
            self._line.outbox.put(self._line.transport, b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self._has_news():
            await self._news()
        if self.lost or self.complete:
            return {"type": "http.disconnect"}
        self._end_told = not self._more_body
        return {"type": "http.request", "body": self._take_body(), "more_body": self._more_body}

    async def send(self, message: Message) -> None:
        """Take an ASGI message of the answer; the head is held until the body begins."""
        if self._line.flow.write_paused and not self.lost:
            await self._line.flow.drain()
        if self.lost:
            return
        if message["type"] == "http.response.start":
            self._begin(message)
        elif message["type"] == "http.response.body":
            last = not message.get("more_body", False)
            self._write_body(self._framed(message.get("body", b""), last=last))
            if last:
                self._finish()
        else:
            raise RuntimeError(f"no such answer message: {message['type']}")

    def _has_news(self) -> bool:
        if self.lost or self.complete:
            return True
        return not self._end_told and (bool(self._pieces) or not self._more_body)

    @property
    @override
    def _is_bodiless(self) -> bool:
        return bool(self.scope["method"] == "HEAD")

    def _begin(self, message: Message) -> None:
        status: int = message["status"]
        headers = [
            header
            for header in message.get("headers", ())
            if not self._is_framing(header[0].lower(), header[1])
        ]
        self._hold(self._head(status, headers, self._framing(status)))

    def _is_framing(self, name: bytes, value: bytes) -> bool:
        """Note what a header says of the framing; True if we write that header ourselves."""
        if name == b"content-length":
            self._answer_left = int(value)
        elif name == b"connection":
            self.keep_alive = self.keep_alive and b"close" not in value.lower()
            return True
        return name == b"transfer-encoding"

    def _framing(self, status: int) -> list[bytes]:
        """Return the line that says how the body ends, and decide whether the connection does."""
        if self._continue_owed and self._more_body:
            # Whether the body still follows is the client's choice: its next bytes are ambiguous.
            self.keep_alive = False
        self._bodiless = self._is_bodiless or status in {204, 304}
        if self._answer_left is not None or self._bodiless:
            return []
        self._chunked = self.scope["http_version"] == "1.1"
        self.keep_alive = self.keep_alive and self._chunked
        return [b"transfer-encoding: chunked"] if self._chunked else []

    def _framed(self, body: bytes, *, last: bool) -> bytes:
        if self._bodiless:
            return b""
        if self._chunked:
            return chunk(body) + LAST_CHUNK if last else chunk(body)
        if self._answer_left is not None:
            self._answer_left -= len(body)
            if self._answer_left < 0 or (last and self._answer_left):
                raise RuntimeError("the answer's body is not as long as its Content-Length says")
        return body

    @override
    def _finish(self) -> None:
        self.connection.on_lost = None
        super()._finish()
        self._wake()  # whoever waits for a disconnect
