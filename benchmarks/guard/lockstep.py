"""A client and a provider in one thread, in turns, so that each read finds the same bytes.

Nobody sends before the other has what was sent: what a worker does for a call is the same each
time, however slow it is.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from bodies import answer, events, question

#: Seconds until a worker that says nothing is given up.
DEADLINE_S = 120.0
MODEL = "up:mock"
_CACHED = "op-cache: readWrite\r\n"


class Lockstep:
    """One connection to a worker, and the one that the worker keeps to its provider."""

    def __init__(self, port: int) -> None:
        self._address = "127.0.0.1", port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(DEADLINE_S)
        self._client: socket.socket | None = None
        self._upstream: socket.socket | None = None

    @property
    def port(self) -> int:
        """Where the provider listens."""
        return int(self._listening.getsockname()[1])

    def whole(self, token: str, *, cached: bool = False) -> None:
        """Place a call and let it be answered whole; `cached`, so that it may be answered again."""
        self._ask(token, question(MODEL), _CACHED if cached else "")
        upstream = self._asked()
        body = answer()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        upstream.sendall(head % len(body) + body)
        _take(self._connected(), _is_whole)

    def again(self, token: str) -> None:
        """Place a call that is answered from the cache."""
        self._ask(token, question(MODEL), _CACHED)
        _take(self._connected(), _is_whole)

    def streamed(self, token: str) -> None:
        """Place a call and let it be answered by a stream, each event once the last was seen."""
        self._ask(token, question(MODEL, streamed=True))
        upstream, client = self._asked(), self._connected()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        upstream.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        *chunks, last = events()
        for chunk in chunks:
            upstream.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            _take(client, lambda data: data.endswith(b"\n\n\r\n"))
        upstream.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last))
        _take(client, lambda data: data.endswith(b"\r\n0\r\n\r\n"))

    def close(self) -> None:
        """Close all connections."""
        for each in (self._client, self._upstream, self._listening):
            if each is not None:
                each.close()

    def _ask(self, token: str, body: bytes, more: str = "") -> None:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        )
        self._connected().sendall(head.encode() + body)

    def _connected(self) -> socket.socket:
        if self._client is None:
            self._client = socket.create_connection(self._address, timeout=DEADLINE_S)
        return self._client

    def _asked(self) -> socket.socket:
        """Return the provider's connection once a whole request has come."""
        if self._upstream is None:
            self._upstream, _ = self._listening.accept()
            self._upstream.settimeout(DEADLINE_S)
            self._upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _take(self._upstream, _is_whole)
        return self._upstream


def _is_whole(data: bytes) -> bool:
    head, ended, body = data.partition(b"\r\n\r\n")
    if not ended:
        return False
    lines = head.lower().split(b"\r\n")
    size = next(line for line in lines if line.startswith(b"content-length:"))
    return len(body) == int(size.partition(b":")[2])


def _take(connection: socket.socket, is_all: Callable[[bytes], bool]) -> bytes:
    """Return what comes until it is all; ConnectionError if it ends before or is a refusal."""
    data = b""
    while not is_all(data):
        more = connection.recv(1 << 16)
        if not more:
            raise ConnectionError(f"the connection ended after {data!r}")
        data += more
    if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"refused: {data!r}")
    return data
