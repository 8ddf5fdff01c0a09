"""One request and its answer, whoever gives it: what is the same over ASGI and without it.

It knows nothing of parsing, time-outs or pipelining; the protocol feeds it and is told when the
answer is complete.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterable, Sequence
from typing import Protocol

import msgspec
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from standpipe import errors
from standpipe.outbox import Outbox
from standpipe.server.head import Header
from standpipe.wire.ids import new_id

logger = logging.getLogger("standpipe.server")

#: The first line of an answer with a status.
_STATUS = {status: line.rstrip() for status, line in STATUS_LINE.items()}

_BUG = "internal server error; the log has more under this request's id"


class Line(Protocol):
    """The connection that an exchange is on."""

    transport: asyncio.Transport
    flow: FlowControl
    #: All that are answering requests, on any connection.
    tasks: set[asyncio.Task[None]]
    #: What is sent goes through it.
    outbox: Outbox

    def completed(self, exchange: Exchange) -> None:
        """Take note that the last byte of an answer was sent."""


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
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"x-request-id", request_id.encode()),
        *told,
    ]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    lines = [_STATUS[error.status], *map(b": ".join, headers), b"connection: close"]
    return b"\r\n".join([*lines, b"", content if with_body else b""])


class Exchange(ABC):
    """A request being read and answered; how it is answered is said by the two kinds of it."""

    __slots__ = (
        "_event",
        "_held_head",
        "_is_running",
        "_line",
        "_more_body",
        "_pieces",
        "_told",
        "buffered",
        "complete",
        "keep_alive",
        "lost",
        "task",
        "written",
    )

    def __init__(self, line: Line, told: Sequence[Header], keep_alive: bool) -> None:
        self._line = line
        #: Headers that any answer to this request gets.
        self._told = told
        #: False once it is known that the connection closes after this answer.
        self.keep_alive = keep_alive
        #: True once the last byte of the answer was sent.
        self.complete = False
        #: True once any byte of the answer was.
        self.written = False
        #: True once the client is gone, or was answered otherwise, before the answer was complete.
        self.lost = False
        #: Bytes of the request's body that nobody has asked for yet.
        self.buffered = 0
        #: Made when the body has to be waited for, which it seldom has to.
        self._event: asyncio.Event | None = None
        self._pieces: list[bytes] = []
        self._more_body = True
        #: The answer's head until the first piece of its body, with which it leaves.
        self._held_head: bytes | None = None
        #: What `run` is run by, once the protocol has begun with it.
        self.task: asyncio.Task[None]
        self._is_running = False

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

    def feed_whole(self, body: bytes) -> None:
        """Take the request's body in one piece, before anybody waits for it."""
        self._pieces = [body]
        self._more_body = False

    def close_after(self) -> None:
        """Let this answer be the connection's last, if its head has not said otherwise already."""
        if not self._has_head():
            self.keep_alive = False

    def lose(self) -> None:
        """Give up: the client is gone or was answered otherwise; what is sent now is lost."""
        if not self.complete:
            self.lost = True
        self._wake()

    async def run(self) -> None:
        """Let the application answer; answer for it if it fails or falls silent."""
        self._is_running = True
        try:
            if not self.lost:
                await self._answer()
                if not self.complete:
                    self._expect_complete()
        except asyncio.CancelledError:
            self._fail(errors.Unavailable("the server is stopping"))
            raise
        except Exception:
            request_id = new_id()
            logger.exception("request %s failed", request_id, extra={"request_id": request_id})
            self._fail(errors.InternalError(_BUG), request_id)
        finally:
            # Not by a callback of the task's: that is a turn of the loop more, 0.4 µs.
            self._line.tasks.discard(self.task)

    # The answering side.

    @abstractmethod
    def _answer(self) -> Awaitable[None]:
        """Let the application answer."""

    @property
    def _is_bodiless(self) -> bool:
        """Tell a request whose answer has no body."""
        return False

    async def _news(self) -> None:
        """Wait until more of the body has come, or the client is gone."""
        if self._more_body:
            self._line.flow.resume_reading()
        if self._event is None:
            self._event = asyncio.Event()
        self._event.clear()
        await self._event.wait()

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()

    def _take_body(self) -> bytes:
        """Return what has come of the body since the last time."""
        pieces, self._pieces = self._pieces, []
        self.buffered = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _head(self, status: int, headers: Iterable[Header], framing: Iterable[bytes] = ()) -> bytes:
        """Return the head of the answer. Raises RuntimeError for a header with a line break."""
        lines = [_STATUS[status], *map(b": ".join, headers)]
        if self._told:
            lines += map(b": ".join, self._told)
        lines += framing
        if not self.keep_alive:
            lines.append(b"connection: close")
        lines += (b"", b"")
        head = b"\r\n".join(lines)
        breaks = len(lines) - 1
        if head.count(b"\n") != breaks or head.count(b"\r") != breaks:
            raise RuntimeError("a header of the answer holds a line break")
        return head

    def _hold(self, head: bytes) -> None:
        """Keep the head until the body begins."""
        self._expect_no_head()
        self._held_head = head

    def _expect_no_head(self) -> None:
        if self._has_head():
            raise RuntimeError("the answer has already begun")

    def _has_head(self) -> bool:
        return self.written or self._held_head is not None

    def _write_body(self, data: bytes) -> None:
        """Write a piece of the body as it is framed, behind the head that was held for it."""
        if self.complete or not self._has_head():
            raise RuntimeError("a body must come after the answer's head and before its end")
        if self._held_head is not None:
            data = self._held_head + data
            self._held_head = None
        if data:
            self._write(data)

    def _write(self, data: bytes) -> None:
        self.written = True
        self._line.outbox.put(self._line.transport, data)

    def _finish(self) -> None:
        self.complete = True
        self._line.completed(self)

    def _expect_complete(self) -> None:
        if not self.complete and not self.lost:
            request_id = new_id()
            logger.error(
                "request %s got no whole answer", request_id, extra={"request_id": request_id}
            )
            self._fail(errors.InternalError(_BUG), request_id)

    def _fail(self, error: errors.ApiError, request_id: str | None = None) -> None:
        """End the exchange: with the error, or by a visible cut if the answer has begun."""
        if self.complete or self.lost:
            return
        self.keep_alive = False
        if not self.written:
            answer = error_answer(
                error,
                request_id or new_id(),
                with_body=not self._is_bodiless,
                told=self._told,
            )
            self._write(answer)
        self._finish()


def chunk(data: bytes) -> bytes:
    """Return a piece of a body as a chunk, b"" for none: an empty one would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


#: What ends a body in chunks.
LAST_CHUNK = b"0\r\n\r\n"
