"""A real server on a real socket for tests of the HTTP side, and a client that sends raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from standpipe.server.direct import Route
from standpipe.server.door import Door
from standpipe.server.listener import Traffic, serve
from standpipe.server.service import Limits
from standpipe.server.sockets import bind

#: A guard against hangs, in seconds; nothing is measured against it.
DEADLINE = 20.0


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a test's scenario on the event loop that workers use."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scenario, 3 * DEADLINE))


@dataclass
class Running:
    """A server, and how to stop it."""

    port: int
    stop: asyncio.Event
    task: asyncio.Task[None]
    traffic: Traffic
    #: Another server has the sockets, or is said to.
    is_replaced: bool = False

    def replace(self) -> None:
        """Stop it as one that is replaced."""
        self.is_replaced = True
        self.stop.set()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Echo:
    """An application that answers with what it was asked, once it has read it whole."""

    asked: list[Scope] = field(default_factory=list)
    disconnects: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope)
        body = await read_body(receive)
        if body is None:
            self.disconnects += 1
            return
        answer = {"path": scope["path"], "query": scope["query_string"].decode("latin-1")}
        answer |= {"method": scope["method"], "body": body.decode("latin-1")}
        await reply(send, json.dumps(answer).encode())


async def read_body(receive: Receive) -> bytes | None:
    """Return the request's body, None if the client leaves before its end."""
    pieces: list[bytes] = []
    while (message := await receive())["type"] == "http.request":
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)
    return None


async def reply(send: Send, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def listening(
    app: ASGIApp,
    limits: Limits | None = None,
    *,
    door: Door | None = None,
    routes: Mapping[bytes, Route] | None = None,
    grace: float = DEADLINE,
) -> AsyncIterator[Running]:
    """Serve `app` on a free port of the loopback while the block runs."""
    bound = bind("127.0.0.1", 0)
    port: int = bound.getsockname()[1]
    stop = asyncio.Event()
    ready: asyncio.Future[Traffic] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(
            with_lifespan(app),
            [bound],
            limits=limits or Limits(),
            door=door,
            routes=routes,
            grace=grace,
            stop=stop,
            is_replaced=lambda: running.is_replaced,
            on_ready=ready.set_result,
        )
    )
    running = Running(port, stop, task, await asyncio.wait_for(ready, DEADLINE))
    try:
        yield running
    finally:
        stop.set()
        await asyncio.wait_for(task, DEADLINE)


def with_lifespan(app: ASGIApp) -> ASGIApp:
    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        while True:
            message: Message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    return both


async def ask(port: int, *pieces: bytes) -> bytes:
    """Send the pieces, each once the one before is out; return all until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), DEADLINE)
    finally:
        await hang_up(writer)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def parse(raw: bytes) -> list[Answer]:
    """Return the answers in `raw`, which must hold nothing else."""
    answers: list[Answer] = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = dict(field.split(": ", 1) for field in fields)
        length = int(headers.get("content-length", 0))
        body, raw = raw[:length], raw[length:]
        assert len(body) == length
        answers.append(Answer(int(line.split()[1]), headers, body))
    return answers


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one answer with a Content-Length from a connection that stays open."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return parse(head + await asyncio.wait_for(reader.readexactly(length), DEADLINE))[0]
