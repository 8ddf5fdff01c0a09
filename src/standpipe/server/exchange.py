"""One request and its answer: the ASGI side of a connection.

It knows nothing of parsing, time-outs or pipelining; the protocol feeds it and is told when the
answer is complete.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from standpipe import errors
from standpipe.server.head import Header
from standpipe.wire.ids import new_id

logger = logging.getLogger("standpipe.server")

#: Where the scope's `extensions` hold the `Connection`.
EXTENSION = "standpipe.connection"

_BUG = "internal server error; the log has more under this request's id"


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


def error_answer(
    error: errors.ApiError,
    request_id: str,
    *,
    with_body: bool = True,
    told: Sequence[Header] = (),
) -> bytes:
    """Return the whole HTTP answer for `error`, after which the connection closes.

    `told` are headers that any answer to this request gets.
    """
    content = msgspec.json.encode(errors.body(error))
    lines = [
        STATUS_LINE[error.status],
        b"content-type: application/json\r\n",
        b"content-length: %d\r\n" % len(content),
        b"x-request-id: %b\r\n" % request_id.encode(),
    ]
    lines += [b"%b: %b\r\n" % header for header in told]
    if error.retry_after is not None:
        lines.append(b"retry-after: %d\r\n" % max(1, round(error.retry_after)))
    lines.append(b"connection: close\r\n\r\n")
    if with_body:
        lines.append(content)
    return b"".join(lines)


class Exchange:
    """A request being read and answered. Its head and first body bytes leave in one write."""

    def __init__(
        self,
        scope: Scope,
        *,
        transport: asyncio.Transport,
        flow: FlowControl,
        keep_alive: bool,
        expects_continue: bool,
        on_complete: Callable[[Exchange], None],
        told: Sequence[Header] = (),
        is_preflight: bool = False,
    ) -> None:
        self.connection = Connection()
        self.scope = scope
        scope["extensions"] = {EXTENSION: self.connection}
        self.transport = transport
        self.flow = flow
        self.on_complete = on_complete
        #: A browser asks whether it may ask: no application answers that.
        self.is_preflight = is_preflight
        self._told = told
        #: False once it is known that the connection closes after this answer.
        self.keep_alive = keep_alive
        #: True once the last byte of the answer was handed to the socket.
        self.complete = False
        #: True once any byte of the answer was handed to the socket.
        self.written = False
        #: Bytes of the request's body that nobody has asked for yet.
        self.buffered = 0
        #: Made when `receive` has to wait, which it seldom has to.
        self._event: asyncio.Event | None = None
        self._pieces: list[bytes] = []
        self._more_body = True
        self._end_told = False
        self._continue_owed = expects_continue
        self._head: bytes | None = None
        self._answer_left: int | None = None
        self._chunked = False
        self._bodiless = False

    # The protocol's side.

    def feed(self, data: bytes) -> None:
        """Take a piece of the request's body."""
        self._pieces.append(data)
        self.buffered += len(data)
        self._wake()

    def feed_end(self) -> None:
        """Take the end of the request's body."""
        self._more_body = False
        self._wake()

    def close_after(self) -> None:
        """Let this answer be the connection's last, if its head has not said otherwise already."""
        if self._head is None and not self.written:
            self.keep_alive = False

    def lose(self) -> None:
        """Give up: the client is gone or was answered otherwise; what is sent now is lost."""
        if not self.complete:
            self.connection.lose()
        self._wake()

    # The application's side.

    async def run(self, app: ASGIApp) -> None:
        """Let `app` answer; answer for it if it fails or falls silent."""
        if self.connection.lost:
            return
        try:
            await app(self.scope, self.receive, self.send)
        except ClientDisconnect:
            self._fail(errors.InternalError("the request was not read to its end"))
        except asyncio.CancelledError:
            self._fail(errors.Unavailable("the server is stopping"))
            raise
        except Exception:
            request_id = new_id()
            logger.exception("request %s failed", request_id, extra={"request_id": request_id})
            self._fail(errors.InternalError(_BUG), request_id)
        else:
            self._expect_complete()

    async def receive(self) -> Message:
        """Return the next ASGI message of the request; `http.disconnect` once all is over."""
        if self._continue_owed and not self.connection.lost:
            self._continue_owed = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self._has_news():
            if self._more_body:
                self.flow.resume_reading()
            await self._news()
        if self.connection.lost or self.complete:
            return {"type": "http.disconnect"}
        body = b"".join(self._pieces)
        self._pieces.clear()
        self.buffered = 0
        self._end_told = not self._more_body
        return {"type": "http.request", "body": body, "more_body": self._more_body}

    async def send(self, message: Message) -> None:
        """Take an ASGI message of the answer; the head is held until the body begins."""
        if self.flow.write_paused and not self.connection.lost:
            await self.flow.drain()
        if self.connection.lost:
            return
        if message["type"] == "http.response.start":
            self._begin(message)
        elif message["type"] == "http.response.body":
            self._write(message.get("body", b""), last=not message.get("more_body", False))
        else:
            raise RuntimeError(f"no such answer message: {message['type']}")

    async def _news(self) -> None:
        if self._event is None:
            self._event = asyncio.Event()
        self._event.clear()
        await self._event.wait()

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()

    def _has_news(self) -> bool:
        if self.connection.lost or self.complete:
            return True
        return not self._end_told and (bool(self._pieces) or not self._more_body)

    def _begin(self, message: Message) -> None:
        if self._head is not None or self.written:
            raise RuntimeError("the answer has already begun")
        status: int = message["status"]
        lines = [STATUS_LINE[status]]
        lines += [
            b"%b: %b\r\n" % (name, value)
            for name, value in message.get("headers", ())
            if not self._is_framing(name.lower(), value)
        ]
        lines += [b"%b: %b\r\n" % header for header in self._told]
        lines += self._framing(status)
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("a header of the answer holds a line break")
        self._head = head + b"\r\n"

    def _is_framing(self, name: bytes, value: bytes) -> bool:
        """Note what a header says of the framing; True if we write that header ourselves."""
        if name == b"content-length":
            self._answer_left = int(value)
        elif name == b"connection":
            self.keep_alive = self.keep_alive and b"close" not in value.lower()
            return True
        return name == b"transfer-encoding"

    def _framing(self, status: int) -> list[bytes]:
        lines = []
        self._bodiless = self.scope["method"] == "HEAD" or status in {204, 304}
        if self._answer_left is None and not self._bodiless:
            self._chunked = self.scope["http_version"] == "1.1"
            self.keep_alive = self.keep_alive and self._chunked
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
        if self._continue_owed and self._more_body:
            # Whether the body still follows is the client's choice: its next bytes are ambiguous.
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        return lines

    def _write(self, body: bytes, *, last: bool) -> None:
        if self.complete or (self._head is None and not self.written):
            raise RuntimeError("a body must come after the answer's head and before its end")
        data = self._framed(body, last=last)
        if self._head is not None:
            data = self._head + data
            self._head = None
        if data:
            self.written = True
            self.transport.write(data)
        if last:
            self._finish()

    def _framed(self, body: bytes, *, last: bool) -> bytes:
        if self._bodiless:
            return b""
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return data + b"0\r\n\r\n" if last else data
        if self._answer_left is not None:
            self._answer_left -= len(body)
            if self._answer_left < 0 or (last and self._answer_left):
                raise RuntimeError("the answer's body is not as long as its Content-Length says")
        return body

    def _finish(self) -> None:
        self.complete = True
        self.connection.on_lost = None
        self._wake()
        self.on_complete(self)

    def _expect_complete(self) -> None:
        if not self.complete and not self.connection.lost:
            request_id = new_id()
            logger.error(
                "request %s got no whole answer", request_id, extra={"request_id": request_id}
            )
            self._fail(errors.InternalError(_BUG), request_id)

    def _fail(self, error: errors.ApiError, request_id: str | None = None) -> None:
        """End the exchange: with the error, or by a visible cut if the answer has begun."""
        if self.complete or self.connection.lost:
            return
        self.keep_alive = False
        if not self.written:
            with_body = self.scope["method"] != "HEAD"
            answer = error_answer(
                error, request_id or new_id(), with_body=with_body, told=self._told
            )
            self.written = True
            self.transport.write(answer)
        self._finish()
