"""The listening sockets; no server yet, so that whoever only opens them stays small."""

from __future__ import annotations

import errno
import socket

from standpipe.errors import ConfigError

_BACKLOG = 2048

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


def bind_beside(bound: socket.socket, count: int) -> list[socket.socket]:
    """Return `count` more sockets on the port of one of ours, none if it is less than one.

    They do not listen yet: clients would wait in one that nobody serves. ConfigError if they
    cannot be had.
    """
    address = bound.getsockname()
    try:
        return [_bound(bound.family, address, shared=True, listens=False) for _ in range(count)]
    except OSError as failure:
        raise ConfigError(f"no more sockets on port {address[1]}: {failure.strerror}") from failure


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
    family: int, address: tuple[object, ...], *, shared: bool, listens: bool = True
) -> socket.socket:
    """Return a socket; if it listens at once, nobody else can bind beside it."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared and hasattr(socket, "SO_REUSEPORT"):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        bound.bind(address)
        if listens:
            bound.listen(_BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound
