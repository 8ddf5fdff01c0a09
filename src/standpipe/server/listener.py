"""uvicorn on listening sockets, with our protocol and none of its signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from standpipe.server.protocol import Limits, protocol_class

#: Seconds that cancelled calls have to write their records.
_LAST_WORDS = 5.0


async def serve(
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    *,
    limits: Limits,
    grace: float = 25.0,
    stop: asyncio.Event,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serve `app` until `stop` is set, then let the running calls finish for `grace` seconds.

    Calls that are not done by then are cancelled and waited for. `on_ready` is called once the
    application has started and connections are accepted. The sockets are closed in the end.
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
    await _Server(config, grace=grace, stop=stop, on_ready=on_ready).serve(list(sockets))


class _Server(uvicorn.Server):
    """uvicorn's server, stopped by an event and not by signals."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        grace: float,
        stop: asyncio.Event,
        on_ready: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self._grace = grace
        self._stop = stop
        self._on_ready = on_ready

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @override
    async def main_loop(self) -> None:
        if self._on_ready is not None:
            self._on_ready()
        await self._stop.wait()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await self._all_done()
        await self._cancel_all()
        await self.lifespan.shutdown()

    async def _all_done(self) -> None:
        while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110  # uvicorn keeps two sets and no event
            await asyncio.sleep(0.02)

    async def _cancel_all(self) -> None:
        tasks = set(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_WORDS)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
