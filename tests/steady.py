"""Clients that keep their connections and call again and again, and for whom nothing may go wrong.

Unlike most clients they never try again: a connection that is refused or ends where it should not
is a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from serving import PATIENCE, Standpipe


@dataclass
class Wish:
    """What a client asks for, again and again, and how long it thinks in between."""

    model: str
    stream: bool = False
    #: Seconds, at most.
    pause: float = 0.1


@dataclass
class Line:
    """A client's connection, made when it is needed."""

    port: int
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer; ConnectionError or EOFError if it has no end."""
        if self.reader is None or self.writer is None or self.reader.at_eof():
            await self.close()
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        body = await self._body(self.reader, head)
        if "connection: close" in head:
            await self.close()
        return int(head.split(" ", 2)[1]), body

    async def close(self) -> None:
        """Hang up."""
        if self.writer is not None:
            self.writer.close()
            with contextlib.suppress(ConnectionError):
                await self.writer.wait_closed()
        self.reader = self.writer = None

    @staticmethod
    async def _body(reader: asyncio.StreamReader, head: str) -> bytes:
        if "content-length: " in head:
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            return await reader.readexactly(length)
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return body


@dataclass
class Load:
    """Many such clients."""

    server: Standpipe
    #: Whole answers, and why others were none.
    answered: int = 0
    streamed: int = 0
    failures: list[str] = field(default_factory=list)
    stopped: bool = False

    async def run(self, wishes: list[Wish]) -> None:
        """Let a client ask for each wish until stopped; each finishes what it has begun."""
        async with asyncio.TaskGroup() as group:
            for number, wish in enumerate(wishes):
                group.create_task(self._client(wish, random.Random(number)))

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return once it is so; a guard against hangs, not a goal."""
        async with asyncio.timeout(PATIENCE):
            while not is_so():  # noqa: ASYNC110  # no event says it
                await asyncio.sleep(0.05)

    async def more(self, streams: int) -> None:
        """Return once so many more streams were answered."""
        wanted = self.streamed + streams
        await self.until(lambda: self.streamed >= wanted)

    async def call(self, line: Line, wish: Wish) -> None:
        """Ask once, and take down how it went."""
        try:
            status, body = await line.ask(request(self.server, wish))
        except (OSError, EOFError) as failure:
            self.failures.append(f"{wish.model}: {failure!r}")
            await line.close()
            return
        is_whole = status == 200 and (not wish.stream or body.endswith(b"data: [DONE]\n\n"))
        if not is_whole:
            self.failures.append(f"{wish.model}: {status} {body[-200:]!r}")
        self.answered += is_whole
        self.streamed += is_whole and wish.stream

    async def _client(self, wish: Wish, chance: random.Random) -> None:
        line = Line(self.server.port)
        while not self.stopped:
            await asyncio.sleep(chance.random() * wish.pause)
            await self.call(line, wish)
        await line.close()


def request(server: Standpipe, wish: Wish) -> bytes:
    """Return the bytes of a request that leaves the connection open."""
    messages = [{"role": "user", "content": "Hi"}]
    asked = {"model": wish.model, "messages": messages, "stream": wish.stream}
    body = json.dumps(asked).encode()
    head = (
        "POST /api/v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
        f"Authorization: Bearer {server.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
