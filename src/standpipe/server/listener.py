"""The listening sockets, and uvicorn on them with our protocol and none of its signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from standpipe.errors import ConfigError
from standpipe.server.protocol import Limits, protocol_class

_BACKLOG = 2048
#: Seconds that cancelled calls have to write their records.
_LAST_WORDS = 5.0

_TROUBLES = {
    errno.EADDRINUSE: "port {port} is taken: choose another one with server.port "
    "(STANDPIPE_SERVER_PORT), or stop what listens there",
    errno.EACCES: "port {port} needs privileges: choose one above 1023 with server.port "
    "(STANDPIPE_SERVER_PORT)",
    errno.EADDRNOTAVAIL: "{host} is no address of this machine: set server.host "
    "(STANDPIPE_SERVER_HOST)",
}


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises ConfigError if it can't be had."""
    return bind_each(host, port, 1)[0]


def bind_each(host: str, port: int, workers: int) -> list[socket.socket]:
    """Return one listening socket a worker, all on one port, for the kernel to spread among."""
    family, address = _resolve(host, port)
    sockets: list[socket.socket] = []
    try:
        # The first without SO_REUSEPORT: with it, a second server would share the port unnoticed.
        probe = _bound(family, address, shared=False)
        address = probe.getsockname()
        probe.close()
        sockets.extend(_bound(family, address, shared=True) for _ in range(workers))
    except OSError as failure:
        for bound in sockets:
            bound.close()
        trouble = _TROUBLES.get(failure.errno or 0, "cannot listen on {host}, port {port}: {why}")
        raise ConfigError(trouble.format(host=host, port=port, why=failure.strerror)) from failure
    return sockets


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(
            host or "::", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as failure:
        raise ConfigError(
            f"{host!r} is no host that can be found: set server.host (STANDPIPE_SERVER_HOST)"
        ) from failure
    # "localhost" is both; the IPv4 one is the one that every machine has.
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address


def _bound(
    family: socket.AddressFamily, address: tuple[object, ...], *, shared: bool
) -> socket.socket:
    """Return a listening socket; it listens at once, so that nobody else can bind beside it."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared and hasattr(socket, "SO_REUSEPORT"):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        bound.bind(address)
        bound.listen(_BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


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
