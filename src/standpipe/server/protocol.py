"""HTTP/1.1 on one connection: uvicorn's httptools protocol, hardened.

It reads requests, holds them to the limits, answers the bad ones itself and starts the
application for the good ones, one after the other. What happens to a good one is `exchange`'s:
`direct`'s for a call to a model, `asgi`'s for all else.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any

import httptools
import msgspec
from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

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
from standpipe.server.deadline import Deadline
from standpipe.server.direct import DirectExchange, Route
from standpipe.server.door import Door
from standpipe.server.exchange import Exchange, error_answer
from standpipe.server.forwarded import Proxies
from standpipe.server.head import Header, check, target, without_upgrade
from standpipe.server.tls import in_kernel
from standpipe.wire.ids import new_id

logger = logging.getLogger("standpipe.server")

#: Bytes parsed at a time: what is held of a head may pass its limit by this much, unseen.
_SLICE = 65536
#: Requests that may wait behind the one being answered before we stop reading.
_PIPELINE = 16


class Limits(msgspec.Struct, frozen=True):
    """What a client may take of us. Times in seconds, sizes in bytes."""

    #: The request line and all headers.
    header_bytes: int = 65536
    #: How many headers.
    headers: int = 200
    #: From the connection's or the request's first byte to the end of its head.
    header_timeout: float = 10.0
    #: From one piece of a body to the next.
    body_timeout: float = 30.0
    #: From the end of a head to the end of its body.
    body_total: float = 600.0
    body_bytes: int = 33554432
    #: From an answer to the next request.
    keep_alive: float = 75.0
    #: For a refused client to read its answer while it is still sending.
    linger: float = 1.0


class Reading(Enum):
    """What the connection's next bytes belong to."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()
    #: To nobody: they are thrown away until the connection closes.
    CLOSING = auto()


class HardenedProtocol(HttpToolsProtocol):
    """One connection. Build the class that a server is given with `protocol_class`.

    A client that closes its sending side is taken to be gone, as by most servers.
    """

    limits = Limits()
    door = Door()
    #: What answers a POST of a target, compared byte by byte, without ASGI.
    routes: Mapping[bytes, Route] = {}

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser = httptools.HttpRequestParser(self)
        self._deadline = Deadline(self.loop, self._expire)
        self._reading = Reading.NOTHING
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
        self._upgrading = False
        #: Whether the bytes being read brought anything, and how many they are.
        self._has_moved = False
        self._feeding = 0
        #: The head being read began with the bytes being read, not before them.
        self._has_begun = False
        #: Bytes read since a head began or a piece of a body came.
        self._unseen = 0
        self._body_seen = 0
        self._is_tls = False
        #: When the body must be there, by the loop's clock.
        self._body_due = 0.0
        self._unsent = 0
        #: None unless the peer is one of them, and believed what it says of its client.
        self._proxies: Proxies | None = None

    # The transport's side.

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        wire = transport.get_extra_info("socket")
        if wire.family in {socket.AF_INET, socket.AF_INET6}:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._is_tls = transport.get_extra_info("ssl_object") is not None
        proxies = self.door.proxies
        if proxies is not None and self.client is not None and proxies.trusts(self.client[0]):
            self._proxies = proxies
        self._deadline.set(self.limits.header_timeout)
        self._deadline.arm()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)
        self._lose_client()
        self.flow.resume_writing()
        self._deadline.stop()
        self._deaf = True
        self._incoming = None
        self.parser = None  # type: ignore[assignment]  # breaks the cycle, as uvicorn does

    @override
    def eof_received(self) -> None:
        # Now, and not when what is still unsent has been flushed.
        self._lose_client()

    @override
    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE):
            if self._deaf:
                return
            self._feed(data[start : start + _SLICE])
            self._reset_deadline()

    def leave(self) -> None:
        """Answer what is asked already, and else one request more, and tell the client that it is.

        A connection that was closed while idle could cross a request on its way.
        """
        self._leaving = True
        last = self._waiting[-1] if self._waiting else self._active
        if last is not None:
            last.close_after()

    @override
    def shutdown(self) -> None:
        """Finish what was begun, then close."""
        self._stopping = True
        if self._active is not None:
            self._active.keep_alive = False
        elif self._reading is Reading.NOTHING and not self._is_tls:
            self.transport.close()
        elif self._reading in {Reading.NOTHING, Reading.BODY}:
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
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._replay(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as failure:
            self._refuse(_cause(failure))
        except httptools.HttpParserError as failure:
            self._refuse(Unparsable(f"this is not HTTP that can be read: {failure}"))
        if not self._has_moved and self._reading is not Reading.NOTHING:
            # A header or trailer is only seen once the next one begins; this sees it grow.
            self._unseen += len(data)
            if self._unseen > self.limits.header_bytes:
                self._refuse(_too_long(self.limits))

    def _reset_deadline(self) -> None:
        """Give what is awaited now its time, if the last bytes brought anything."""
        if self._has_moved:
            match self._reading:
                case Reading.HEAD:
                    self._deadline.set(self.limits.header_timeout)
                case Reading.BODY:
                    left = self._body_due - self.loop.time()
                    self._deadline.set(min(self.limits.body_timeout, left))
                case Reading.NOTHING if self._active is None:
                    self._deadline.set(self.limits.keep_alive)
                case Reading.NOTHING:
                    self._deadline.clear()
                case Reading.CLOSING:
                    pass
        self._deadline.arm()

    def _replay(self, rest: bytes) -> None:
        """Read the request again as the plain one it also is, and what came behind it."""
        version = self.parser.get_http_version()
        head = without_upgrade(self.parser.get_method(), self.url, version, self.headers)
        self._upgrading = False
        self._reading = Reading.NOTHING
        self.parser = httptools.HttpRequestParser(self)
        self._feed(head + rest)

    @override
    def on_message_begin(self) -> None:
        if self._deaf:
            raise Unparsable("a request came after the connection's last")
        self.url = b""
        self.headers = []
        self._has_moved = self._has_begun = True
        self._unseen = self._body_seen = 0
        self._reading = Reading.HEAD

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading is Reading.HEAD:  # else it is a trailer
            self.headers.append((name.lower(), value))

    @override
    def on_headers_complete(self) -> None:
        method = self.parser.get_method()
        version = self.parser.get_http_version()
        self._check_size()
        waits = check(method, version, self.headers, longest_body=self.limits.body_bytes)
        if self.parser.should_upgrade():
            self._upgrading = True  # llhttp reads no body now; see `_replay`
            return
        self._reading = Reading.BODY
        self._body_due = self.loop.time() + self.limits.body_total
        self._has_moved = True
        self._unseen = 0
        keep_alive = self._keeps_alive(version)
        # A client that waits for a word of ours has it of ASGI's exchange.
        if method == b"POST" and version == "1.1" and not waits and self.url in self.routes:
            route, told = self.routes[self.url], self._told()
            self._admit(DirectExchange(self, route, self.headers, keep_alive=keep_alive, told=told))
        else:
            self._admit(self._asgi_exchange(method, version, keep_alive=keep_alive, waits=waits))

    def _asgi_exchange(
        self, method: bytes, version: str, *, keep_alive: bool, waits: bool
    ) -> AsgiExchange:
        scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "method": method.decode("ascii"),
            "scheme": self.scheme,
            "root_path": "",
            "server": self.server,
            "client": self.client,
            "headers": self.headers,
            "state": self.app_state.copy(),
            **target(self.url),
        }
        if self._proxies is not None:
            self._proxies.put_client(scope)
        return AsgiExchange(
            self,
            preflight if self._is_preflight(method) else self.app,
            scope,
            keep_alive=keep_alive,
            expects_continue=waits,
            told=self._told(),
        )

    def _told(self) -> Sequence[Header]:
        """Return the headers that each answer to these request headers gets."""
        return () if self.door.cors is None else self.door.cors.told(self.headers)

    def _is_preflight(self, method: bytes) -> bool:
        """Tell a request by which a browser asks whether it may ask: no application answers it."""
        return self.door.cors is not None and self.door.cors.is_preflight(method, self.headers)

    def _check_size(self) -> None:
        if len(self.headers) > self.limits.headers:
            raise HeadersTooLarge(f"the request has over {self.limits.headers} headers")
        if self._has_begun and self._feeding <= self.limits.header_bytes:
            return
        size = len(self.url) + 4 * len(self.headers)
        size += sum([len(name) + len(value) for name, value in self.headers])
        if size > self.limits.header_bytes:
            raise _too_long(self.limits)

    def _keeps_alive(self, version: str) -> bool:
        if self._stopping or self._leaving:
            return False
        return version == "1.1" and self.parser.should_keep_alive()

    @override
    def on_body(self, body: bytes) -> None:
        self._has_moved = True
        self._unseen = 0
        self._body_seen += len(body)
        if self._body_seen > self.limits.body_bytes:
            raise BodyTooLarge(f"the request body is over {self.limits.body_bytes} bytes")
        exchange = self._incoming
        if exchange is not None and not exchange.complete:
            exchange.feed(body)
            if exchange.buffered > HIGH_WATER_LIMIT:
                self.flow.pause_reading()

    @override
    def on_message_complete(self) -> None:
        exchange, self._incoming = self._incoming, None
        if self._upgrading or exchange is None:
            return
        self._reading = Reading.NOTHING
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
        self.tasks.add(self.loop.create_task(exchange.run()))

    def completed(self, exchange: Exchange) -> None:
        """Go on: the last byte of an answer was handed to the socket."""
        self.server_state.total_requests += 1
        self._active = None
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if not exchange.keep_alive or self._stopping:
            self._linger()
        elif self._waiting:
            self._start(self._waiting.popleft())
        elif self._refusal is not None:
            self._answer(self._refusal)
        elif self._reading is Reading.NOTHING:
            self._deadline.set(self.limits.keep_alive)
            self._deadline.arm()

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
        self.door.refused[error.status] += 1
        self.transport.write(error_answer(error, new_id(), told=self._told()))
        self._linger()

    def _linger(self) -> None:
        """Close our side, and soon theirs: bytes left unread would reset the answer away."""
        self._reading = Reading.CLOSING
        self._deaf = True
        self._incoming = None
        self.flow.resume_reading()
        if self._is_tls:
            self.transport.close()  # it sends what is left, says goodbye and waits for theirs
        else:
            self.transport.write_eof()
        self._deadline.set(self.limits.linger)
        self._deadline.arm()

    def _expire(self) -> None:
        match self._reading:
            case Reading.HEAD:
                late = "the request's headers did not come to their end in time"
                self._refuse(BodyTimeout(late))
            case Reading.BODY:
                self._expire_body()
            case Reading.NOTHING | Reading.CLOSING:
                self._expire_closing()

    def _expire_body(self) -> None:
        if self.flow.read_paused:  # we are the slow one
            self._body_due += self.limits.body_timeout
            self._deadline.set(self.limits.body_timeout)
            self._deadline.arm()
        elif self._body_due <= self.loop.time():
            self._refuse(BodyTimeout("the request's body did not come to its end in time"))
        else:
            self._refuse(BodyTimeout("the request's body stopped coming"))

    def _expire_closing(self) -> None:
        """Wait on while the client still takes what it was sent, else hang up."""
        self._reading = Reading.CLOSING
        self._deaf = True
        unsent = self.transport.get_write_buffer_size()
        if self._is_tls:
            unsent += in_kernel(self.transport)  # what is between the two, TLS does not tell
        if unsent in {0, self._unsent}:
            self.transport.abort()
            return
        self._unsent = unsent
        self._deadline.set(self.limits.keep_alive)
        self._deadline.arm()


def protocol_class(
    limits: Limits, door: Door, routes: Mapping[bytes, Route]
) -> type[HardenedProtocol]:
    """Return the protocol for a server with these limits, for uvicorn's `http` setting.

    `routes` answer POSTs of their targets without ASGI.
    """

    class LimitedProtocol(HardenedProtocol):
        pass

    LimitedProtocol.limits = limits
    LimitedProtocol.door = door
    LimitedProtocol.routes = routes
    return LimitedProtocol


def _too_long(limits: Limits) -> HeadersTooLarge:
    return HeadersTooLarge(f"the request's headers are over {limits.header_bytes} bytes")


def _cause(failure: httptools.HttpParserCallbackError) -> ApiError:
    cause = failure.__context__
    if isinstance(cause, ApiError):
        return cause
    logger.error("a request's head could not be handled", exc_info=cause)
    return InternalError("internal server error")
