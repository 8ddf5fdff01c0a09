"""HTTP/1.1 on one connection.

It reads requests, holds them to the limits, answers the bad ones itself and starts the
application for the good ones, one after the other. What happens to a good one is `exchange`'s:
`direct`'s for a call to a model, `asgi`'s for all else.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Sequence
from enum import Enum, auto

import httptools
from starlette.types import Scope
from typing_extensions import override
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from standpipe.errors import (
    ApiError,
    BodyTimeout,
    BodyTooLarge,
    HeadersTooLarge,
    InternalError,
    Unparsable,
)
from standpipe.server.asgi import AsgiExchange
from standpipe.server.cors import preflight
from standpipe.server.deadline import SLACK, Deadline
from standpipe.server.direct import DirectExchange
from standpipe.server.exchange import Exchange, error_answer
from standpipe.server.forwarded import Proxies
from standpipe.server.head import Head, Header, check, target, without_upgrade
from standpipe.server.repeated import Repeated
from standpipe.server.service import Limits, Service
from standpipe.server.tls import in_kernel
from standpipe.wire.ids import new_id

logger = logging.getLogger("standpipe.server")

#: Bytes parsed at a time: what is held of a head may pass its limit by this much, unseen.
_SLICE = 65536
#: Requests that may wait behind the one being answered before we stop reading.
_PIPELINE = 16
#: Heads in a row that are remembered though each differs from the one before, and of those that
#: follow each so many-th.
_VAIN, _RARELY = 3, 16


class Reading(Enum):
    """What the connection's next bytes belong to."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()
    #: To nobody: they are thrown away until the connection closes.
    CLOSING = auto()


# By its module's name a member is there in a quarter of the time that its class takes.
_NOTHING, _HEAD, _BODY, _CLOSING = Reading


class HardenedProtocol(asyncio.Protocol):
    """One connection.

    A client that closes its sending side is taken to be gone, as by most servers.
    """

    # Ten thousand may be idle: with a dictionary each took 2 KB more.
    __slots__ = (
        "_active",
        "_body_due",
        "_body_seen",
        "_client",
        "_deadline",
        "_deaf",
        "_door",
        "_feeding",
        "_has_begun",
        "_has_moved",
        "_headers",
        "_incoming",
        "_is_tls",
        "_leaving",
        "_limits",
        "_loop",
        "_parser",
        "_proxies",
        "_reading",
        "_refusal",
        "_repeated",
        "_routes",
        "_server",
        "_service",
        "_stopping",
        "_unlike",
        "_unseen",
        "_unsent",
        "_upgrading",
        "_url",
        "_waiting",
        "flow",
        "outbox",
        "tasks",
        "transport",
    )

    transport: asyncio.Transport
    flow: FlowControl

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._limits, self._door, self._routes = service.limits, service.door, service.routes
        self.tasks, self.outbox = service.tasks, service.outbox
        self._parser = httptools.HttpRequestParser(self)
        self._deadline = Deadline(loop, self._expire)
        self._reading = _NOTHING
        #: No further request is read: the connection closes after what was read.
        self._deaf = False
        #: The server is stopping: each answer is its connection's last.
        self._stopping = False
        #: Another server takes the connections to come: the next answer is this one's last.
        self._leaving = False
        #: What to answer once the earlier requests are answered.
        self._refusal: ApiError | None = None
        #: The exchange whose body is being read, the one being answered, and those that wait.
        self._incoming: Exchange | None = None
        self._active: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        #: The head being read; names of headers in lower case.
        self._url = b""
        self._headers: list[Header] = []
        #: The head read last, where it is a call's and may come again.
        self._repeated: Repeated | None = None
        #: Heads since one came that was the one remembered.
        self._unlike = 0
        self._upgrading = False
        #: Whether the bytes being read brought anything, and how many they are.
        self._has_moved = False
        self._feeding = 0
        #: The head being read began with the bytes being read, not before them.
        self._has_begun = False
        #: Bytes read since a head began or a piece of a body came.
        self._unseen = self._body_seen = 0
        self._is_tls = False
        #: When the body must be there, by the loop's clock.
        self._body_due = 0.0
        self._unsent = 0
        #: Ours and theirs.
        self._server: tuple[str, int | None] | None = None
        self._client: tuple[str, int] | None = None
        #: None unless the peer is one of them, and believed what it says of its client.
        self._proxies: Proxies | None = None

    # The transport's side.

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # which it is
        self._service.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self._server, self._client = get_local_addr(transport), get_remote_addr(transport)
        wire = transport.get_extra_info("socket")
        if wire.family in {socket.AF_INET, socket.AF_INET6}:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._is_tls = transport.get_extra_info("ssl_object") is not None
        proxies = self._door.proxies
        if proxies is not None and self._client is not None and proxies.trusts(self._client[0]):
            self._proxies = proxies
        self._deadline.set(self._limits.header_timeout)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._service.connections.discard(self)
        self._lose_client()
        self.flow.resume_writing()
        self._deadline.stop()
        self._deaf = True
        self._incoming = None
        self._parser = None  # type: ignore[assignment]  # breaks the cycle: it holds us

    @override
    def pause_writing(self) -> None:
        self.flow.pause_writing()

    @override
    def resume_writing(self) -> None:
        self.flow.resume_writing()

    @override
    def eof_received(self) -> None:
        self.outbox.flush()  # what was answered before: the transport closes behind us
        # Now, and not when what is still unsent has been flushed.
        self._lose_client()

    @override
    def data_received(self, data: bytes) -> None:
        is_first = self._reading is _NOTHING and self._active is None
        if is_first and self._repeated is not None and not self._deaf:
            again = self._again(self._repeated, data)
            if again is not None and len(again[1]) <= self._limits.body_bytes:
                self._admit_again(*again)
                return
        for start in range(0, len(data), _SLICE):
            if self._deaf:
                return
            self._feed(data[start : start + _SLICE])
            if self._has_moved:
                self._reset_deadline()
        if is_first and len(data) <= _SLICE:
            self._remember(data)

    def leave(self) -> None:
        """Answer what is asked already, and else one request more, and tell the client that it is.

        A connection that was closed while idle could cross a request on its way.
        """
        self._leaving = True
        last = self._waiting[-1] if self._waiting else self._active
        if last is not None:
            last.close_after()

    def shutdown(self) -> None:
        """Finish what was begun, then close."""
        self._stopping = True
        if self._active is not None:
            self._active.keep_alive = False
        elif self._reading is _NOTHING and not self._is_tls:
            self.outbox.flush()
            self.transport.close()
        elif self._reading in {_NOTHING, _BODY}:
            self._linger()  # answered already: nobody will read the rest

    def _lose_client(self) -> None:
        exchanges = [self._active, *self._waiting]
        self._waiting.clear()
        self._active = None
        for exchange in exchanges:
            if exchange is not None:
                exchange.lose()

    # The parser's side: what raises in here comes out of `feed_data` as a callback error.

    def _feed(self, data: bytes) -> None:
        self._has_moved = self._has_begun = False
        self._feeding = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._replay(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as failure:
            self._refuse(_cause(failure))
        except httptools.HttpParserError as failure:
            self._refuse(Unparsable(f"this is not HTTP that can be read: {failure}"))
        if not self._has_moved and self._reading is not _NOTHING:
            # A header or trailer is only seen once the next one begins; this sees it grow.
            self._unseen += len(data)
            if self._unseen > self._limits.header_bytes:
                self._refuse(_too_long(self._limits))

    def _reset_deadline(self) -> None:
        """Give what is awaited now its time, since the last bytes have brought something."""
        if self._reading is _NOTHING:
            if self._active is None:
                self._deadline.set(self._limits.keep_alive)
            else:
                self._deadline.clear()
        elif self._reading is _HEAD:
            self._deadline.set(self._limits.header_timeout)
        elif self._reading is _BODY:
            left = self._body_due - self._loop.time()
            self._deadline.set(min(self._limits.body_timeout, left))

    def _remember(self, data: bytes) -> None:
        """Remember the head of a call if it is all that these bytes, the first behind one, hold."""
        call, is_plain = self._active, self._reading is _NOTHING and not self._waiting
        if isinstance(call, DirectExchange) and is_plain and self._is_worth_it():
            self._repeated = Repeated.of(data, call.buffered, call.head)

    def _is_worth_it(self) -> bool:
        """Tell whether a head is to be remembered that is not the one that is; it is not cheap."""
        self._unlike += 1
        return self._unlike <= _VAIN or self._unlike % _RARELY == 0

    def _again(self, repeated: Repeated, data: bytes) -> tuple[Head, bytes] | None:
        """Return a call whose head is the one remembered but for values, None for any other."""
        body = repeated.body(data)
        if body is not None:
            self._unlike = 0
            return repeated.head, body
        varied = repeated.varied(data)
        if varied is not None and self._is_worth_it():  # perhaps all are like it from now on
            head, body = varied
            self._repeated = Repeated.of(data, len(body), head) or repeated
        return varied

    def _admit_again(self, head: Head, body: bytes) -> None:
        """Admit a call whose head is the one remembered, or much like it."""
        keep_alive = not (self._stopping or self._leaving)
        route = self._routes[self._url]
        self._headers = head.headers
        call = DirectExchange(self, self._told(), keep_alive, route, head)
        call.feed_whole(body)
        self._deaf = not keep_alive
        self._deadline.clear()
        self._start(call)

    def _replay(self, rest: bytes) -> None:
        """Read the request again as the plain one it also is, and what came behind it."""
        version = self._parser.get_http_version()
        head = without_upgrade(self._parser.get_method(), self._url, version, self._headers)
        self._upgrading = False
        self._reading = _NOTHING
        self._parser = httptools.HttpRequestParser(self)
        self._feed(head + rest)

    def on_message_begin(self) -> None:
        """Begin with a head."""
        if self._deaf:
            raise Unparsable("a request came after the connection's last")
        self._url = b""
        self._headers = []
        self._repeated = None
        self._has_moved = self._has_begun = True
        self._unseen = self._body_seen = 0
        self._reading = _HEAD

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer, which is none."""
        if self._reading is _HEAD:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Check the head and admit the request."""
        method, version = self._parser.get_method(), self._parser.get_http_version()
        if len(self._headers) > self._limits.headers:
            raise HeadersTooLarge(f"the request has over {self._limits.headers} headers")
        if not self._has_begun or self._feeding > self._limits.header_bytes:
            self._check_size()
        waits = check(method, version, self._headers, longest_body=self._limits.body_bytes)
        if self._parser.should_upgrade():
            self._upgrading = True  # llhttp reads no body now; see `_replay`
            return
        self._reading = _BODY
        self._body_due = self._loop.time() + self._limits.body_total
        self._has_moved = True
        self._unseen = 0
        keep_alive = version == "1.1" and self._parser.should_keep_alive()
        keep_alive = keep_alive and not (self._stopping or self._leaving)
        # A client that waits for a word of ours has it of ASGI's exchange.
        if method == b"POST" and version == "1.1" and not waits and self._url in self._routes:
            route = self._routes[self._url]
            head = Head(self._headers)
            self._admit(DirectExchange(self, self._told(), keep_alive, route, head))
        else:
            app = preflight if self._is_preflight(method) else self._service.app
            scope = self._scope(method, version)
            self._admit(AsgiExchange(self, self._told(), keep_alive, app, scope, waits))

    def _scope(self, method: bytes, version: str) -> Scope:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": method.decode("ascii"),
            "scheme": "https" if self._is_tls else "http",
            "root_path": "",
            "server": self._server,
            "client": self._client,
            "headers": self._headers,
            **target(self._url),
        }
        if self._proxies is not None:
            self._proxies.put_client(scope)
        return scope

    def _told(self) -> Sequence[Header]:
        """Return the headers that each answer to these request headers gets."""
        cors = self._door.cors
        return () if cors is None else cors.told(self._headers)

    def _is_preflight(self, method: bytes) -> bool:
        """Tell a request by which a browser asks whether it may ask: no application answers it."""
        cors = self._door.cors
        return cors is not None and cors.is_preflight(method, self._headers)

    def _check_size(self) -> None:
        size = len(self._url) + 4 * len(self._headers)
        size += sum([len(name) + len(value) for name, value in self._headers])
        if size > self._limits.header_bytes:
            raise _too_long(self._limits)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._has_moved = True
        self._unseen = 0
        self._body_seen += len(body)
        if self._body_seen > self._limits.body_bytes:
            raise BodyTooLarge(f"the request body is over {self._limits.body_bytes} bytes")
        exchange = self._incoming
        if exchange is not None and not exchange.complete:
            exchange.feed(body)
            if exchange.buffered > HIGH_WATER_LIMIT:
                self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        exchange, self._incoming = self._incoming, None
        if self._upgrading or exchange is None:
            return
        self._reading = _NOTHING
        self._has_moved = True
        self._deaf = not exchange.keep_alive
        exchange.feed_end()

    # What becomes of a request.

    def _admit(self, exchange: Exchange) -> None:
        self._incoming = exchange
        if self._active is None:
            self._start(exchange)
            return
        self._waiting.append(exchange)
        if len(self._waiting) >= _PIPELINE:
            self.flow.pause_reading()

    def _start(self, exchange: Exchange) -> None:
        self._active = exchange
        exchange.task = self._loop.create_task(exchange.run())
        self.tasks.add(exchange.task)

    def completed(self, exchange: Exchange) -> None:
        """Go on: the last byte of an answer was sent."""
        self._active = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if not exchange.keep_alive or self._stopping:
            self._linger()
        elif self._waiting:
            self._start(self._waiting.popleft())
        elif self._refusal is not None:
            self._answer(self._refusal)
        elif self._reading is _NOTHING:
            self._deadline.set(self._limits.keep_alive)

    def _refuse(self, error: ApiError) -> None:
        """Answer with `error` as soon as the earlier requests are answered, then close."""
        if self._deaf:
            return
        self._deaf = True
        self._deadline.clear()
        exchange, self._incoming = self._incoming, None
        if exchange is not None and not self._withdraw(exchange):
            self._linger()
        elif self._active is None:
            self._answer(error)
        else:
            self._refusal = error

    def _withdraw(self, exchange: Exchange) -> bool:
        """Take a half-read request back; False if it is too late, its answer having begun."""
        if exchange is self._active:
            self._active = None
        elif exchange in self._waiting:
            self._waiting.remove(exchange)
        exchange.lose()
        return not exchange.written

    def _answer(self, error: ApiError) -> None:
        self._door.refusals.count(error)
        answer = error_answer(error, new_id(), told=self._told())
        self.outbox.put(self.transport, answer)
        self._linger()

    def _linger(self) -> None:
        """Close our side, and soon theirs: bytes left unread would reset the answer away."""
        self._reading = _CLOSING
        self._deaf = True
        self._incoming = None
        self.flow.resume_reading()
        self.outbox.flush()
        if self._is_tls:
            self.transport.close()  # it sends what is left, says goodbye and waits for theirs
        else:
            self.transport.write_eof()
        self._deadline.set(self._limits.linger)

    def _expire(self) -> None:
        if self._reading is _HEAD:
            late = "the request's headers did not come to their end in time"
            self._refuse(BodyTimeout(late))
        elif self._reading is _BODY:
            self._expire_body()
        else:
            self._expire_closing()

    def _expire_body(self) -> None:
        if self.flow.read_paused:  # we are the slow one
            self._body_due += self._limits.body_timeout
            self._deadline.set(self._limits.body_timeout)
        elif self._body_due <= self._loop.time() + SLACK:
            self._refuse(BodyTimeout("the request's body did not come to its end in time"))
        else:
            self._refuse(BodyTimeout("the request's body stopped coming"))

    def _expire_closing(self) -> None:
        """Wait on while the client still takes what it was sent, else hang up."""
        self._reading = _CLOSING
        self._deaf = True
        self.outbox.flush()
        unsent = self.transport.get_write_buffer_size()
        if self._is_tls:
            unsent += in_kernel(self.transport)  # what is between the two, TLS does not tell
        if unsent in {0, self._unsent}:
            self.transport.abort()
            return
        self._unsent = unsent
        self._deadline.set(self._limits.keep_alive)


def _too_long(limits: Limits) -> HeadersTooLarge:
    return HeadersTooLarge(f"the request's headers are over {limits.header_bytes} bytes")


def _cause(failure: httptools.HttpParserCallbackError) -> ApiError:
    cause = failure.__context__
    if isinstance(cause, ApiError):
        return cause
    logger.error("a request's head could not be handled", exc_info=cause)
    return InternalError("internal server error")
