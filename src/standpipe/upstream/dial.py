"""From a host's name to a connected socket: DNS kept for 30 s, each address in turn, CONNECT."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

from standpipe.upstream.proxy import Proxy

#: Seconds for which a name's addresses are used again.
DNS_SECONDS = 30.0

_CONNECT_HEAD_BYTES = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")

Found = list[tuple[Any, ...]]


class Addresses:
    """The addresses of one host, looked up once for all who ask meanwhile."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._found: Found = []
        self._expires_at = 0.0
        self._lookup: asyncio.Task[Found] | None = None

    async def get(self) -> Found:
        """Return what getaddrinfo knows; raises socket.gaierror."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._expires_at:
            return self._found
        if self._lookup is None:
            self._lookup = loop.create_task(self._look_up())
            self._lookup.add_done_callback(self._done)
        lookup = self._lookup
        # Not `await lookup`: one asker who is cancelled must not cancel the others' look-up.
        await asyncio.wait((lookup,))
        return lookup.result()

    async def _look_up(self) -> Found:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        self._found = list(found)
        self._expires_at = loop.time() + DNS_SECONDS
        return self._found

    def _done(self, lookup: asyncio.Task[Found]) -> None:
        self._lookup = None
        if not lookup.cancelled():
            # Reading it keeps asyncio from reporting an error that nobody is left to hear.
            lookup.exception()

    def prefer(self, address: tuple[Any, ...]) -> None:
        """Put the address that answered first; the others may be unreachable from here."""
        self._found.sort(key=lambda found: found is not address)

    def close(self) -> None:
        """Give up a look-up that is under way."""
        if self._lookup is not None:
            self._lookup.cancel()


async def dial(addresses: Addresses, seconds: float) -> socket.socket:
    """Return a socket connected to the first address that takes it; OSError of the last if none.

    Every address gets its share of `seconds`.
    """
    found = list(await addresses.get())
    refusal: OSError = OSError("it has no address")
    for address in found:
        try:
            async with asyncio.timeout(seconds / len(found)):
                connected = await _connect(address)
        except OSError as error:
            refusal = error
        else:
            addresses.prefer(address)
            return connected
    raise refusal


async def _connect(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, target = address
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(made, target)
    except BaseException:
        made.close()
        raise
    return made


async def tunnel(connected: socket.socket, proxy: Proxy, target: str) -> None:
    """Ask a proxy for a way to `target` (host:port); ConnectionError says why not.

    Closes the socket if it fails.
    """
    try:
        await asyncio.get_running_loop().sock_sendall(connected, _connect_head(proxy, target))
        _check_connected(await _read_head(connected))
    except BaseException:
        connected.close()
        raise


def _connect_head(proxy: Proxy, target: str) -> bytes:
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode("ascii")
    if proxy.authorization is not None:
        head += b"Proxy-Authorization: " + proxy.authorization + b"\r\n"
    return head + b"\r\n"


async def _read_head(connected: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    head = b""
    while b"\r\n\r\n" not in head:
        data = await loop.sock_recv(connected, 4096)
        head += data
        if not data or len(head) > _CONNECT_HEAD_BYTES:
            raise ConnectionError("the proxy did not answer CONNECT")
    return head


def _check_connected(head: bytes) -> None:
    status = _STATUS.match(head)
    if status is None:
        raise ConnectionError("the proxy answered CONNECT with something that is not HTTP")
    if not status[1].startswith(b"2"):
        raise ConnectionError(f"the proxy answered CONNECT with {status[1].decode()}")
    if head.index(b"\r\n\r\n") + 4 < len(head):
        raise ConnectionError("the proxy spoke before it was asked")
