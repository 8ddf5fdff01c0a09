"""A worker's side of the limiter: one connection, made with the first call that has limits.

What the limiter has not said that it counted is told again when the connection is made anew, so
that neither its end nor a new one's beginning loses a call.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
from typing_extensions import override

from standpipe.errors import Unavailable
from standpipe.limits import address, messages
from standpipe.limits.messages import Done, End, Hello, Message, Verdict, Want

#: Seconds that a call waits for a limiter that is away, and for the word of one that is there: it
#: may have to ask the store what was spent.
PATIENCE_S = 1.0
VERDICT_S = 6.0
#: Seconds between two tries to reach it.
PAUSE_S = 0.05


class Limiter:
    """Asks whether calls may begin, and tells how they ended."""

    def __init__(self, path: Path, worker: str = "") -> None:
        self._path = path
        self._worker = worker
        self._link: _Link | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_closed = False
        self._asked: dict[str, tuple[Want, asyncio.Future[Verdict]]] = {}
        #: Calls that have begun, and ends that were not counted yet.
        self._open: dict[str, Want] = {}
        self._ended: dict[str, End] = {}

    async def begin(self, want: Want) -> Verdict:
        """Return whether a call may begin; who is told that it may must `end` it.

        Raises Unavailable if nobody can say.
        """
        waiting: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._asked[want.call] = want, waiting
        try:
            await self._ask(want)
            async with asyncio.timeout(VERDICT_S):
                verdict = await waiting
        except TimeoutError:
            self._give_up(want)
            raise Unavailable("the limits of this key cannot be checked now; try again") from None
        except asyncio.CancelledError:
            self._give_up(want)
            raise
        finally:
            del self._asked[want.call]
        if verdict.reason is None:
            self._open[want.call] = want
        return verdict

    def end(self, end: End) -> None:
        """Tell how a call ended that has begun, without waiting."""
        self._say(end)
        self._ended[end.call] = msgspec.structs.replace(end, want=self._open.pop(end.call))

    def close(self) -> None:
        """End the connection, once what was said has gone out."""
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._link is not None:
            self._link.close()

    async def _ask(self, want: Want) -> None:
        """Let a call be asked about; TimeoutError if there is nobody to ask."""
        if self._link is not None:
            self._say(want)
            return
        connecting = self._begin_to_connect()
        # Whoever leaves must not cancel what others wait for.
        done, _ = await asyncio.wait([connecting], timeout=PATIENCE_S)
        if not done:
            raise TimeoutError

    def _begin_to_connect(self) -> asyncio.Task[None]:
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
        return self._connecting

    async def _connect(self) -> None:
        """Try until there is a connection, then say all that a new limiter does not know."""
        while (found := self._reached()) is None:  # noqa: ASYNC110 (another process's doing)
            await asyncio.sleep(PAUSE_S)
        link = _Link(self._heard, self._lost)
        await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=found)
        self._link = link
        self._say(Hello(self._worker))
        for end in self._ended.values():
            self._say(end)
        for want in self._open.values():
            self._say(msgspec.structs.replace(want, has_begun=True))
        for want, _ in self._asked.values():
            self._say(want)

    def _reached(self) -> socket.socket | None:
        try:
            return address.connect(self._path)
        except OSError:
            return None

    def _give_up(self, want: Want) -> None:
        """Let a call be none whose verdict comes too late; who did not hear of it need not."""
        if self._link is not None:
            end = End(want.call, want.project, counts=False)
            self._ended[want.call] = end
            self._say(end)

    def _say(self, message: Message) -> None:
        if self._link is not None:
            self._link.say(message)

    def _heard(self, message: Message) -> None:
        if isinstance(message, Done):
            self._ended.pop(message.call, None)
        elif isinstance(message, Verdict) and message.call in self._asked:
            _, waiting = self._asked[message.call]
            if not waiting.done():
                waiting.set_result(message)

    def _lost(self) -> None:
        self._link = None
        if not self._is_closed and (self._open or self._ended or self._asked):
            self._begin_to_connect()


class _Link(asyncio.Protocol):
    """The connection."""

    def __init__(self, heard: Callable[[Message], None], lost: Callable[[], None]) -> None:
        self._heard = heard
        self._lost = lost
        self._splitter = messages.Splitter()
        self._transport: asyncio.Transport | None = None

    def say(self, message: Message) -> None:
        """Send a message, without waiting."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(messages.encode(message))

    def close(self) -> None:
        """Send what is not sent yet, then end."""
        if self._transport is not None:
            self._transport.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Of no such class in uvloop, but one of its kind.
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        for message in self._splitter.feed(data):
            self._heard(message)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()
