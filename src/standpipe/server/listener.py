"""uvicorn on listening sockets, with our protocol and none of its signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override
from uvicorn.config import STARTUP_FAILURE

from standpipe.server.direct import Route
from standpipe.server.door import Door
from standpipe.server.protocol import HardenedProtocol
from standpipe.server.service import Limits, Service

#: Seconds that cancelled calls have to write their records.
_LAST_WORDS = 5.0
#: Seconds between two looks at who is still there.
_LOOK = 0.02
#: Seconds for TLS handshakes that have begun: until they are done nobody knows the connection.
_SHAKE = 1.0
#: Connections accepted in a turn of the loop. libuv takes one from each of its sockets, and with a
#: thousand calls under way a turn takes 30 ms: those who came behind them waited for seconds.
_AT_ONCE = 16
#: Seconds that are longer than any connection.
_NEVER = 1e6


async def serve(
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    *,
    limits: Limits,
    door: Door | None = None,
    routes: Mapping[bytes, Route] | None = None,
    grace: float = 25.0,
    stop: asyncio.Event,
    is_replaced: Callable[[], bool] = lambda: False,
    on_ready: Callable[[Traffic], None] | None = None,
) -> None:
    """Serve `app` until `stop` is set, then let the running calls finish for `grace` seconds.

    A POST of one of the targets in `routes` is answered there, without ASGI.
    Calls that are not done by then are cancelled and waited for. Idle connections are closed at
    once; but while `is_replaced` says that somebody else serves the sockets now, they may ask once
    more in that time. `on_ready` is called once the application has started and connections are
    accepted. The sockets are closed in the end.
    Raises SystemExit if the application fails to start; the log says why.
    """
    config = uvicorn.Config(
        app,
        http=HardenedProtocol,  # as it is known; we make it ourselves
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    service = Service(app, routes or {}, limits, door or Door())
    server = _Server(config, service, _Ending(stop, grace, is_replaced), on_ready)
    await server.serve(list(sockets))


class Traffic:
    """What is going on at the door now."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def connections(self) -> int:
        """Connections that are open, idle or not."""
        return len(self._service.connections)

    @property
    def requests(self) -> int:
        """Requests that are being answered."""
        return len(self._service.tasks)


class _Ending(NamedTuple):
    """When and how a server stops: see `serve`."""

    stop: asyncio.Event
    grace: float
    is_replaced: Callable[[], bool]


class _Server(uvicorn.Server):
    """uvicorn's server, stopped by an event and not by signals."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        ending: _Ending,
        on_ready: Callable[[Traffic], None] | None,
    ) -> None:
        super().__init__(config)
        self._service = service
        self._tls = service.door.tls
        # A TLS connection has its time to begin; when it ends is the protocol's to say.
        self._tls_times: dict[str, Any] = {}
        if self._tls is not None:
            self._tls_times = {
                "ssl_handshake_timeout": service.limits.header_timeout,
                "ssl_shutdown_timeout": _NEVER,
            }
        self._stop, self._grace, self._is_replaced = ending
        self._on_ready = on_ready
        #: The sockets, and doubles of them.
        self._doors: list[socket.socket] = []

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        loop = asyncio.get_running_loop()
        for listening in sockets or []:
            self._doors += [listening, *(listening.dup() for _ in range(1, _AT_ONCE))]
        self.servers = [
            await loop.create_server(
                lambda: HardenedProtocol(self._service, loop),
                sock=listening,
                ssl=self._tls,
                backlog=self.config.backlog,
                **self._tls_times,
            )
            for listening in self._doors
        ]
        self.started = True

    @override
    async def main_loop(self) -> None:
        if self._on_ready is not None:
            self._on_ready(Traffic(self._service))
        await self._stop.wait()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in self._doors:
            listening.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await self._all_done()
        for connection in list(self._service.connections):
            connection.shutdown()
        await self._cancel_all()
        await self.lifespan.shutdown()

    async def _all_done(self) -> None:
        """Return once nobody is left, having told each connection what is going on.

        One that was accepted a moment ago is seen at a later look: so there are two at least.
        """
        connections = self._service.connections
        told: dict[bool, set[HardenedProtocol]] = {True: set(), False: set()}
        loop = asyncio.get_running_loop()
        earliest = loop.time() + (_SHAKE if self._tls is not None else 0.0)
        while True:
            is_replaced = self._is_replaced()
            for connection in connections - told[is_replaced]:
                connection.leave() if is_replaced else connection.shutdown()
            told[is_replaced] = set(connections)
            await asyncio.sleep(_LOOK)
            if connections or self._service.tasks:  # two sets, and no event
                continue
            if loop.time() >= earliest:
                return

    async def _cancel_all(self) -> None:
        tasks = set(self._service.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_WORDS)
        self._service.outbox.flush()
        for connection in list(self._service.connections):
            connection.transport.abort()
