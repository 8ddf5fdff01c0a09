"""One connection to a provider: HTTP/1.1, time-outs and flow control.

Where connections come from and where they go when they are free is the pool's.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools
from typing_extensions import override

from standpipe.config import Timeouts
from standpipe.errors import Cut, Silent, Unreachable, UpstreamError
from standpipe.outbox import LARGE, Outbox
from standpipe.upstream.answer import Answer

#: Unread bytes of an answer at which a connection stops reading.
BUFFER_BYTES = 256 * 1024
#: Seconds that a connection may wait for its next request.
KEEP_ALIVE = 30.0

_HEAD_BYTES = 128 * 1024
_HEADERS = 300

_LATE = {
    "first_byte": "did not begin to answer",
    "idle": "sent nothing more",
    "total": "did not finish its answer",
}


class Owner(Protocol):
    """Whoever counts the connections."""

    timeouts: Timeouts
    #: How messages name the provider: host and port.
    address: str
    #: What is sent goes through it.
    outbox: Outbox

    def on_free(self, connection: Connection) -> None:
        """Take a connection whose answer has finished and which can carry another."""
        ...

    def on_lost(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        ...


class Connection(asyncio.Protocol):
    """A connection to a provider; carries one answer at a time.

    One timer serves it for its whole life. It looks every `step` seconds at the latest, `step`
    being the shortest time-out, so that no request has to arm or cancel one.
    """

    __slots__ = (
        "_answer",
        "_asked",
        "_head_bytes",
        "_headers",
        "_interim",
        "_keep",
        "_loop",
        "_owner",
        "_parser",
        "_paused",
        "_seen_at",
        "_started_at",
        "_step",
        "_timer",
        "_transport",
        "_unsent",
        "lost",
        "served",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answer: Answer | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = self._unsent = 0
        self._interim = self._keep = self._paused = False
        self._started_at = self._seen_at = self._asked = 0.0
        times = owner.timeouts
        self._step = min(times.first_byte, times.idle, times.total, KEEP_ALIVE)
        #: Whether it is closed, or about to be.
        self.lost = False
        #: Answers that finished on it.
        self.served = 0

    def start(self, head: bytes, body: bytes) -> Answer:
        """Send a request and return its answer, which nothing has come of yet."""
        self._answer = answer = Answer(self, self._loop)
        self._started_at = self._seen_at = self._asked = self._loop.time()
        self._head_bytes = self._unsent = 0
        self._headers = []
        if self._transport is not None:
            self._owner.outbox.put(self._transport, head + body)
            if len(body) > LARGE:  # it was sent at once, but that may take more than one write
                self._unsent = self._transport.get_write_buffer_size()
        return answer

    def resume(self) -> None:
        """Go on reading after the reader has emptied the buffer."""
        self._seen_at = self._loop.time()
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def abandon(self) -> None:
        """Close at once, whatever is under way; its answer hears nothing more."""
        self._answer = None
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close at once; tell the answer that is under way."""
        answer = self._answer
        if answer is None:
            self.abandon()
            return
        why = f"the connection to {self._owner.address} was closed: the gateway is stopping"
        self._fail(answer, Cut(why) if answer.headed else Unreachable(why))

    # asyncio's callbacks

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._seen_at = self._loop.time()
        self._timer = self._loop.call_later(self._step, self._look)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
        answer, self._answer = self._answer, None
        if answer is not None:
            self._end_lost(answer, exc)
        # The parser holds our methods: without this the collector would have to find the circle.
        self._parser = self._timer = self._transport = None
        self._owner.on_lost(self)

    @override
    def eof_received(self) -> None:
        self.lost = True

    @override
    def data_received(self, data: bytes) -> None:
        answer, parser = self._answer, self._parser
        if answer is None or parser is None:
            # Nobody asked: whatever it is, the next answer would be taken for it.
            self.abandon()
            return
        answer.touched = True
        self._seen_at = self._loop.time()
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._end_garbled(answer, error)
            return
        if not answer.headed:
            self._limit_head(answer, len(data))
            return
        if answer.finished:
            self._part(answer)
        elif not answer.chunks and answer.taker is not None:
            return  # it was taken already
        elif answer.unread > BUFFER_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        answer.wake()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request."""
        if self._answer is None or self._answer.finished:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; those after the body are dropped."""
        if len(self._headers) == _HEADERS:
            raise ValueError(f"more than {_HEADERS} headers")
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the head, unless it is an interim one (1xx)."""
        if self._parser is None or self._answer is None:
            return
        status = self._parser.get_status_code()
        self._interim = status < 200
        if self._interim:
            self._headers = []
            return
        self._keep = self._parser.should_keep_alive()
        self._answer.on_head(status, self._headers)
        self._headers = []

    def on_body(self, data: bytes) -> None:
        """Hand a piece of the body on."""
        if self._answer is not None:
            self._answer.on_body(data)

    def on_message_complete(self) -> None:
        """Note the end of the answer."""
        if not self._interim and self._answer is not None:
            self._answer.on_end()

    # ends

    def _part(self, answer: Answer) -> None:
        """Leave a finished answer to its reader and be free, or close."""
        self._answer = None
        self.served += 1
        transport = self._transport
        if transport is None or self.lost:
            return
        # An answer that came before the whole request was sent leaves the rest in the way.
        if not self._keep or transport.get_write_buffer_size():
            self.abandon()
            return
        if self._paused:
            self._paused = False
            transport.resume_reading()
        self._owner.on_free(self)

    def _fail(self, answer: Answer, error: UpstreamError) -> None:
        answer.on_failure(error)
        self.abandon()
        answer.wake()

    def _end_lost(self, answer: Answer, exc: Exception | None) -> None:
        where = self._owner.address
        why = f": {exc.strerror or exc}" if isinstance(exc, OSError) else ""
        if not answer.headed:
            answer.on_failure(
                Unreachable(f"{where} closed the connection before its answer began{why}")
            )
        elif exc is None and _ends_with_connection(answer):
            answer.on_end()
        else:
            answer.on_failure(Cut(f"the answer of {where} ended before its end{why}"))
        answer.wake()

    def _end_garbled(self, answer: Answer, error: Exception) -> None:
        where = self._owner.address
        if not answer.headed:
            why = f"{where} answered with something that is not HTTP: {_reason(error)}"
            self._fail(answer, Unreachable(why))
        elif answer.finished:
            # The answer itself is whole; what followed it spoils only the connection.
            self.abandon()
            answer.wake()
        else:
            self._fail(answer, Cut(f"the answer of {where} is broken: {_reason(error)}"))

    def _limit_head(self, answer: Answer, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > _HEAD_BYTES:
            where = self._owner.address
            self._fail(answer, Unreachable(f"{where} answered with an endless head"))

    # time

    def _look(self) -> None:
        """Fail, close or look again later."""
        now = self._loop.time()
        answer = self._answer
        due, late = self._due(now)
        if now < due:
            self._timer = self._loop.call_at(min(due, now + self._step), self._look)
        elif answer is None or late is None:
            self.abandon()
        else:
            self._fail(answer, late)

    def _due(self, now: float) -> tuple[float, Silent | None]:
        """Return when this state ends, and with which error; None for a quiet end."""
        answer, times = self._answer, self._owner.timeouts
        if answer is None:
            return self._seen_at + KEEP_ALIVE, None
        if answer.headed:
            if answer.unread:
                # It is our reader who is slow.
                self._seen_at = now
            due, name, seconds = self._seen_at + times.idle, "idle", times.idle
        else:
            due, name, seconds = (
                self._asked_at(now) + times.first_byte,
                "first_byte",
                times.first_byte,
            )
        if self._started_at + times.total <= due:
            due, name, seconds = self._started_at + times.total, "total", times.total
        where = self._owner.address
        return due, Silent(f"{where} {_LATE[name]} within timeouts.{name}, {seconds:g} seconds")

    def _asked_at(self, now: float) -> float:
        """Return since when the provider may answer: while it still takes the request, from now."""
        unsent = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if unsent != self._unsent:
            self._unsent = unsent
            self._asked = now
        return self._asked


def _ends_with_connection(answer: Answer) -> bool:
    return answer.header(b"content-length") is None and not answer.header(b"transfer-encoding")


def _reason(error: Exception) -> str:
    return str(error.__context__ or error)
