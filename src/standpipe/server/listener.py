"""uvicorn on listening sockets, with our protocol and none of its signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override
from uvicorn.server import ServerState

from standpipe.server.protocol import Limits, protocol_class

#: Seconds that cancelled calls have to write their records.
_LAST_WORDS = 5.0
#: Seconds between two looks at who is still there.
_LOOK = 0.02


async def serve(
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    *,
    limits: Limits,
    grace: float = 25.0,
    stop: asyncio.Event,
    is_replaced: Callable[[], bool] = lambda: False,
    on_ready: Callable[[Traffic], None] | None = None,
) -> None:
    """Serve `app` until `stop` is set, then let the running calls finish for `grace` seconds.

    Calls that are not done by then are cancelled and waited for. Idle connections are closed at
    once; but while `is_replaced` says that somebody else serves the sockets now, they may ask once
    more in that time. `on_ready` is called once the application has started and connections are
    accepted. The sockets are closed in the end.
    Raises SystemExit if the application fails to start; the log says why.
    """
    config = uvicorn.Config(
        app,
        http=protocol_class(limits),
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
    server = _Server(config, grace=grace, stop=stop, is_replaced=is_replaced, on_ready=on_ready)
    await server.serve(list(sockets))


class Traffic:
    """What is going on at the door now."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    @property
    def connections(self) -> int:
        """Connections that are open, idle or not."""
        return len(self._state.connections)

    @property
    def requests(self) -> int:
        """Requests that are being answered."""
        return len(self._state.tasks)


class _Server(uvicorn.Server):
    """uvicorn's server, stopped by an event and not by signals."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        grace: float,
        stop: asyncio.Event,
        is_replaced: Callable[[], bool],
        on_ready: Callable[[Traffic], None] | None,
    ) -> None:
        super().__init__(config)
        self._grace = grace
        self._stop = stop
        self._is_replaced = is_replaced
        self._on_ready = on_ready

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @override
    async def main_loop(self) -> None:
        if self._on_ready is not None:
            self._on_ready(Traffic(self.server_state))
        await self._stop.wait()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await self._all_done()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._cancel_all()
        await self.lifespan.shutdown()

    async def _all_done(self) -> None:
        """Return once nobody is left, having told each connection what is going on.

        One that was accepted a moment ago is seen at a later look: so there are two at least.
        """
        connections: set[Any] = self.server_state.connections
        told: dict[bool, set[Any]] = {True: set(), False: set()}
        while True:
            is_replaced = self._is_replaced()
            for connection in connections - told[is_replaced]:
                connection.leave() if is_replaced else connection.shutdown()
            told[is_replaced] = set(connections)
            await asyncio.sleep(_LOOK)
            if not (connections or self.server_state.tasks):  # two sets, and no event
                return

    async def _cancel_all(self) -> None:
        tasks = set(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_WORDS)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
