"""The pool of connections to one provider."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from pathlib import Path

from typing_extensions import override

from standpipe.config import Timeouts
from standpipe.errors import Unreachable
from standpipe.outbox import Outbox
from standpipe.upstream import tls
from standpipe.upstream.answer import Answer
from standpipe.upstream.connection import Connection, Owner
from standpipe.upstream.dial import Addresses, dial, tunnel
from standpipe.upstream.proxy import Proxy
from standpipe.upstream.transport import (
    Headers,
    Origin,
    Request,
    Transport,
    head_of,
    lines_of,
)

_HEADS_KEPT = 512


class Pool(Transport, Owner):
    """Kept-alive connections to one origin, the one used last first.

    When `max_connections` are in use, callers wait in the order they came, for at most
    `timeouts.connect` together with connecting. `proxy` is the URL of an HTTP proxy. Raises
    ConfigError for a `ca_file` that cannot be used, ValueError for a `proxy` that is none.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        timeouts: Timeouts | None = None,
        max_connections: int = 1000,
        ca_file: Path | None = None,
        proxy: str | None = None,
    ) -> None:
        self.origin = origin
        self.address = origin.address
        self.timeouts = timeouts or Timeouts()
        self.outbox = Outbox()
        self._max = max_connections
        self._tls = tls.context(ca_file) if origin.scheme == "https" else None
        self._proxy = Proxy.parse(proxy) if proxy else None
        way = self._proxy or origin
        self._addresses = Addresses(way.host, way.port)
        self._heads: dict[tuple[str, str, Headers], bytes] = {}
        self._idle: dict[Connection, None] = {}
        self._all: set[Connection] = set()
        #: Places taken: connections that are open or being opened.
        self._taken = 0
        #: A free connection for each, or None for a place to open one in.
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._emptied: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def open_connections(self) -> int:
        """Connections that are open, in use or not."""
        return len(self._all)

    @property
    def idle_connections(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    @property
    def waiting_calls(self) -> int:
        """Callers that wait for a connection."""
        return len(self._waiting)

    @override
    async def send(self, request: Request) -> Answer:
        head = self._head(request)
        connection = self._pop_idle() or await self._acquire()
        reused = connection.served > 0
        answer = connection.start(head, request.body)
        try:
            # As `wait_head` does, without a coroutine more on the way of nearly every call.
            await answer.arrival()
            if not answer.headed:
                await answer.wait_head()
            answer.decode()
        except BaseException as error:
            answer.close()
            if not isinstance(error, Unreachable) or not reused or answer.touched:
                raise
        else:
            return answer
        # A kept connection that died without a byte: the provider had closed it (RFC 9112, 9.3.1).
        # The others have been idle for longer than it was.
        self._drop_idle()
        connection = await self._acquire()
        answer = connection.start(head, request.body)
        await answer.wait_head()
        answer.decode()
        return answer

    @override
    async def close(self) -> None:
        self._closed = True
        self._addresses.close()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(self._unreachable("the pool is closed"))
        self._waiting.clear()
        for connection in tuple(self._all):
            connection.close()
        if self._all:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied

    @override
    def on_free(self, connection: Connection) -> None:
        if not (self._waiting and self._hand_over(connection)):
            self._idle[connection] = None

    @override
    def on_lost(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        if connection not in self._all:
            # It never was ours: whoever opens it gives the place up.
            return
        self._all.remove(connection)
        self._vacate()
        if self._emptied is not None and not self._all and not self._emptied.done():
            self._emptied.set_result(None)

    def _drop_idle(self) -> None:
        for connection in tuple(self._idle):
            connection.close()

    def _head(self, request: Request) -> bytes:
        key = (request.method, request.path, request.headers)
        head = self._heads.get(key)
        if head is None:
            head = head_of(self.origin, *key)
            if len(self._heads) >= _HEADS_KEPT:
                self._heads.clear()
            self._heads[key] = head
        extra = lines_of(request.extra) if request.extra else b""
        return b"%b%bContent-Length: %d\r\n\r\n" % (head, extra, len(request.body))

    def _vacate(self) -> None:
        """Give up a place, or hand it to whoever waits longest."""
        if not self._hand_over(None):
            self._taken -= 1

    def _hand_over(self, connection: Connection | None) -> bool:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _pop_idle(self) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if not connection.lost:
                return connection
        return None

    async def _acquire(self) -> Connection:
        """Return a connection of the waiting line's, or a new one."""
        placed = False
        try:
            async with asyncio.timeout(self.timeouts.connect):
                connection = await self._place()
                placed = True
                return connection if connection is not None else await self._open()
        except TimeoutError as error:
            seconds = f"timeouts.connect, {self.timeouts.connect:g} seconds"
            busy = f"none of {self._max} connections was free within {seconds}"
            why = f"no connection within {seconds}" if placed else busy
            raise self._unreachable(why) from error
        except OSError as error:
            raise self._unreachable(_reason(error)) from error

    async def _place(self) -> Connection | None:
        """Take a place; return the connection in it, None where one is still to be opened."""
        if self._closed:
            raise self._unreachable("the pool is closed")
        if self._taken < self._max:
            self._taken += 1
            return None
        while True:
            connection = await self._turn()
            # One that was lost after it was handed over has given up its place itself.
            if connection is None or not connection.lost:
                return connection

    async def _turn(self) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except BaseException:
            self._give_back(waiter)
            raise

    def _give_back(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Pass on what was handed to a caller who had gone by then."""
        if not waiter.done() or waiter.cancelled():
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        elif waiter.exception() is None:
            connection = waiter.result()
            if connection is None:
                self._vacate()
            elif not connection.lost:
                self.on_free(connection)

    async def _open(self) -> Connection:
        """Open a connection in a place that is taken; give the place up if that fails."""
        try:
            connection = await self._connect()
        except BaseException:
            self._vacate()
            raise
        self._all.add(connection)
        return connection

    async def _connect(self) -> Connection:
        connected = await dial(self._addresses, self.timeouts.connect)
        if self._proxy is not None:
            await tunnel(connected, self._proxy, self.address)
        secure = self._tls is not None
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self),
            sock=connected,
            ssl=self._tls,
            server_hostname=self.origin.host if secure else None,
            ssl_handshake_timeout=self.timeouts.connect if secure else None,
        )
        if self._closed or connection.lost:
            connection.abandon()
            raise ConnectionError("the connection was closed as soon as it was opened")
        return connection

    def _unreachable(self, why: str) -> Unreachable:
        by = "" if self._proxy is None else f" by the proxy {self._proxy.host}:{self._proxy.port}"
        return Unreachable(f"cannot reach {self.address}{by}: {why}")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"its name was not found: {error.strerror}"
    if error.errno:
        # asyncio's own text repeats the address.
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
