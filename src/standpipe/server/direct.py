"""An exchange without ASGI: calls to models, which the protocol hands to their route itself.

There is no scope, no message and no queue between the socket and the route: the exchange is what
the body is read from and what the answer is written to. It serves a plain POST in HTTP/1.1 alone,
all else goes over ASGI. Measured: 184,000 instructions of a call were the server's over ASGI, and
53,000 are so (`docs/lab.md`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from typing_extensions import override

from standpipe.server.exchange import LAST_CHUNK, Exchange, Line, chunk
from standpipe.server.head import Head, Header


class DirectExchange(Exchange):
    """A request answered by a route of ours; a client that leaves cancels it."""

    __slots__ = ("_route", "head")

    def __init__(
        self,
        line: Line,
        told: Sequence[Header],
        keep_alive: bool,
        route: Route,
        head: Head,
    ) -> None:
        super().__init__(line, told, keep_alive)
        self._route = route
        self.head = head

    @override
    def lose(self) -> None:
        super().lose()
        if self.lost and self._is_running:
            self.task.cancel()

    @override
    def _answer(self) -> Awaitable[None]:
        return self._route(self)

    def body(self) -> bytes | Awaitable[bytes]:
        """Return the request's body if all of it is there, else what waits for the rest."""
        return self._body_to_come() if self._more_body else self._take_body()

    async def _body_to_come(self) -> bytes:
        while self._more_body:
            await self._news()
        return self._take_body()

    # What a call answers to: see `calls.reply.Reply`.

    @property
    def gone(self) -> bool:
        """True once the client is."""
        return self.lost

    async def whole(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """Send a complete answer, in one piece."""
        if self._line.flow.write_paused:
            await self._drained()
        if not self.lost:
            self._expect_no_head()
            length = b"content-length: %d" % len(body)
            head = self._head(status, headers, (length,))
            # As `_write` and `_finish` do: most answers are whole.
            self.written = self.complete = True
            self._line.outbox.put(self._line.transport, head + body)
            self._line.completed(self)

    async def begin(self, status: int, headers: Iterable[Header]) -> None:
        """Make the head of a stream; it leaves with the first piece."""
        if not self.lost:
            self._hold(self._head(status, headers, (b"transfer-encoding: chunked",)))

    async def write(self, data: bytes) -> None:
        """Send a piece of a stream."""
        if self._line.flow.write_paused:
            await self._drained()
        if not self.lost:
            self._write_body(chunk(data))

    def pass_on(self, data: bytes) -> bool:
        """Send a piece of a stream that has begun; False where that must wait, or is for nobody."""
        if self._line.flow.write_paused or self.lost or self.complete or not self.written:
            return False
        self._line.outbox.put(self._line.transport, b"%x\r\n%b\r\n" % (len(data), data))
        return True

    async def end(self, data: bytes) -> None:
        """Send the last piece of a stream."""
        if self._line.flow.write_paused:
            await self._drained()
        if not self.lost:
            self._write_body(chunk(data) + LAST_CHUNK)
            self._finish()

    async def _drained(self) -> None:
        """Wait while the client is slow to read, unless it is gone."""
        if not self.lost:
            await self._line.flow.drain()


#: What answers a request; it reads the exchange's body and answers on it.
Route = Callable[[DirectExchange], Awaitable[None]]
