"""Clients on raw sockets, many at once, each of which remembers what it asked and what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from serving import PATIENCE, Standpipe

#: How a call ended for its client: answered to the end, a stream ended by an error event, an answer
#: that stopped before its end, left by the client, or never answered with as much as a head.
End = Literal["whole", "failed", "cut", "left", "none"]
#: When a client leaves: never, once its stream has said this, when it is told to, or so many
#: seconds after it has asked.
Leave = Literal["never", "when-told"] | bytes | float
AT_FIRST_EVENT = b"data: "
AT_FINISH = b'"finish_reason":"stop"'


@dataclass
class Call:
    """What a client asks for, and below that what became of it."""

    model: str
    stream: bool = False
    leave: Leave = "never"
    #: Tells the rows of a server apart; goes along as metadata.
    name: str = ""
    #: More fields of the request.
    more: dict[str, Any] = field(default_factory=dict)
    #: The `x-request-id` of the answer's head.
    id: str | None = None
    status: int | None = None
    end: End = "none"
    body: bytes = b""

    @property
    def is_answered(self) -> bool:
        """Tell whether the client has a whole answer."""
        return self.end == "whole" and self.status == 200

    @property
    def said(self) -> str:
        """What the client says, by which its provider knows the call."""
        return f"This is call {self.name}"

    @property
    def text(self) -> str:
        """The content of the answer as far as it came, of one choice after the other."""
        texts: dict[int, str] = {}
        for part in self._parts():
            for choice in part.get("choices", ()):
                said = choice.get("delta") or choice.get("message") or {}
                index = choice["index"]
                texts[index] = texts.get(index, "") + (said.get("content") or "")
        return "".join(texts[index] for index in sorted(texts))

    @property
    def usage(self) -> dict[str, Any] | None:
        """The usage that the client was told, None if it was told none."""
        told = [part["usage"] for part in self._parts() if part.get("usage")]
        return told[-1] if told else None

    def _parts(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON of a whole answer, or that of each event of a stream."""
        if not self.stream or self.status != 200:
            yield json.loads(self.body or b"{}")
            return
        for line in self.body.split(b"\n"):
            if line.startswith(b"data: {") and line.endswith(b"}"):
                yield json.loads(line[6:])

    def request(self, server: Standpipe) -> bytes:
        messages = [{"role": "user", "content": self.said}]
        metadata = {"call": self.name}
        asked = {"model": self.model, "messages": messages, "stream": self.stream}
        body = json.dumps({**asked, "metadata": metadata, **self.more}).encode()
        head = (
            "POST /api/v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            f"Authorization: Bearer {server.key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


#: Returns the next call of a client.
Plan = Callable[[random.Random], Call]


async def _at_once() -> None:
    """Tell the clients that leave when told to leave at once."""


async def together(
    server: Standpipe,
    calls: Sequence[Call],
    until_told: Callable[[], Awaitable[None]] = _at_once,
) -> None:
    """Open a connection for each call, then send all; return when each has ended.

    Clients that leave when told leave when `until_told` returns.
    """
    async with contextlib.AsyncExitStack() as opened:
        lines = [await opened.enter_async_context(_line(server)) for _ in calls]
        patience = [_patience(call) for call in calls]
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for call, line, timeout in zip(calls, lines, patience, strict=True):
                group.create_task(_ask(server, call, *line, timeout))
            await until_told()
            for call, timeout in zip(calls, patience, strict=True):
                if call.leave == "when-told" and call.end == "none":
                    timeout.reschedule(0)


@dataclass
class Crowd:
    """Clients that call again and again, each a call after the other."""

    server: Standpipe
    plan: Plan
    calls: list[Call] = field(default_factory=list)
    stopped: bool = False

    async def run(self, clients: int, seed: int) -> None:
        """Call until stopped."""
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._client(random.Random(f"{seed}/{number}")))

    async def until(self, condition: Callable[[Sequence[Call]], bool]) -> None:
        """Return once the calls placed from now on fulfil a condition."""
        placed = len(self.calls)
        async with asyncio.timeout(PATIENCE):
            while not condition(self.calls[placed:]):  # noqa: ASYNC110  # no event says it
                await asyncio.sleep(0.02)

    async def _client(self, chance: random.Random) -> None:
        while not self.stopped:
            call = self.plan(chance)
            call.name = str(len(self.calls))
            self.calls.append(call)
            async with asyncio.timeout(PATIENCE):
                await self._place(call)
            if call.end == "none" or call.status == 503:
                await asyncio.sleep(0.05)

    async def _place(self, call: Call) -> None:
        with contextlib.suppress(ConnectionError):
            async with _line(self.server) as line:
                await _ask(self.server, call, *line, _patience(call))


@contextlib.contextmanager
def many_files(count: int = 8192) -> Iterator[None]:
    """Allow this process so many open files while the block runs, or as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.asynccontextmanager
async def _line(
    server: Standpipe,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _patience(call: Call) -> asyncio.Timeout:
    return asyncio.timeout(call.leave if isinstance(call.leave, float) else None)


async def _ask(
    server: Standpipe,
    call: Call,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    patience: asyncio.Timeout,
) -> None:
    """Place one call and note how it ended; the connection is closed at its end."""
    try:
        writer.write(call.request(server))
        await writer.drain()
        async with patience:
            await _read(call, reader)
    except TimeoutError:
        call.end = "left"
    except (ConnectionError, asyncio.IncompleteReadError):
        call.end = "cut" if call.id else "none"
    finally:
        writer.close()


async def _read(call: Call, reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    call.status = int(first.split(" ")[1])
    call.id = headers["x-request-id"]
    if "content-length" in headers:
        call.body = await reader.readexactly(int(headers["content-length"]))
        call.end = "whole"
        return
    await _read_stream(call, reader)


async def _read_stream(call: Call, reader: asyncio.StreamReader) -> None:
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        call.body += (await reader.readexactly(size + 2))[:-2]
        if not size:
            call.end = "whole" if call.body.endswith(b"data: [DONE]\n\n") else "failed"
            return
        if isinstance(call.leave, bytes) and call.leave in call.body:
            call.end = "left"
            return
