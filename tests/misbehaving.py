"""A provider that answers like OpenAI, or misbehaves as the request's `model` says.

A real HTTP/1.1 server with a parser of its own, since a server library would not misbehave. From a
test: `with running() as upstream: ... upstream.url`. For load, as a program of its own:
`python tests/misbehaving.py --port 0`, which prints one JSON line when it is ready and answers
`GET /stats`. Traits of the `model` are joined by `+`, as in `slow:50+chunked`; what is not in the
list is an ordinary model. `/embeddings`, `/completions` and `/responses` are answered like
`/chat/completions`, as far as the traits mean anything there.

    ok                     like OpenAI; `stream` follows the body
    slow:<ms>              waits before the first byte
    silent                 never answers
    drip:<ms>              waits before each chunk of 50
    chunks:<n>             so many chunks of a stream
    stall                  stops for ever in the middle
    status:<code>          OpenAI's error body; Retry-After: 2 with 429 and 503
    fails:<n>              503 for the first n requests of this very model string, then ok
    again:<code>           that status and Retry-After: 1 to the first that says this, then ok
    bills                  the usage is what `bill` says; `billed` counts the answers
    redirect               307 to another place
    cut, reset, cut-head   ends in the middle by FIN, by RST; in the middle of the head
    garbage                not HTTP
    not-json               200 text/html
    not-completion         200 {"hello":1}
    stale                  closes the kept-alive connection after the answer, unannounced
    stale-second           closes upon the second request of a connection, without a byte
    huge:<bytes>           so much content
    odd-splits             every byte its own write; CRLF events and comments
    gzip, deflate, br      encodes although not asked (br only says so)
    length, chunked, until-close
    early                  100 Continue and 103 Early Hints before the answer
    tools                  calls the tool `get_weather`
    echo                   content is the JSON of the received body
    error-event            an error event in the middle of a stream
    finish-no-done         finishes, and closes without [DONE]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import uuid
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import passed_answers
import uvloop
from typing_extensions import override

_WORDS = ("Hello", " there", ", how", " can", " I", " help", "?")
_CALL_ARGUMENTS = ('{"city"', ':"Par', 'is"}')
_FRAMINGS = ("length", "chunked", "until-close")
_ENCODINGS = {"gzip": 31, "deflate": 15}

_JSON = "application/json"
_EVENTS = "text/event-stream; charset=utf-8"


@dataclass
class Received:
    """A request as it came; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    #: Which connection of the server it came on, counted from 1.
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Misbehaving:
    """What the server saw; written in its thread, read in the test's."""

    keep: int = 20_000
    url: str = ""
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    #: Ids of the completions that were begun.
    ids: list[str] = field(default_factory=list)
    requests_seen: int = 0
    connections: int = 0
    open_connections: int = 0
    #: Connections that the other side closed while it was being answered.
    disconnects: int = 0
    #: Bytes of answers handed to the socket.
    bytes_sent: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    #: How many answers were made under the trait `bills`, by what was said last.
    billed: Counter[str] = field(default_factory=Counter)

    @property
    def last(self) -> Received:
        return self.requests[-1]

    def note(self, request: Received) -> None:
        self.requests_seen += 1
        if len(self.requests) < self.keep:
            self.requests.append(request)

    def count_failure(self, model: str) -> int:
        self.failures[model] = self.failures.get(model, 0) + 1
        return self.failures[model]

    def counters(self) -> dict[str, int]:
        names = ("requests_seen", "connections", "open_connections", "disconnects", "bytes_sent")
        return {name: getattr(self, name) for name in names}

    def wait(self, condition: Callable[[], bool], *, within: float = 10.0) -> None:
        """Wait until the condition holds; AssertionError after `within` seconds (a hang guard)."""
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, f"still not so: {self.counters()}"
            time.sleep(0.005)

    async def until(self, condition: Callable[[], bool], *, within: float = 10.0) -> None:
        """Do what `wait` does without holding up the event loop."""
        await asyncio.to_thread(self.wait, condition, within=within)


@dataclass
class Reply:
    """An answer before it is framed: `parts` are written one by one."""

    status: int = 200
    content_type: str = _JSON
    parts: list[bytes] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    streamed: bool = False


def body_for(model: str, **fields: Any) -> bytes:
    """Return the body of a completion request."""
    messages = [{"role": "user", "content": "Hi"}]
    return json.dumps({"model": model, "messages": messages, **fields}).encode()


# --- what is said -------------------------------------------------------------------------------


def _content(traits: dict[str, str], body: dict[str, Any]) -> list[str]:
    """Return the content in the pieces that a stream sends."""
    if "echo" in traits:
        text = json.dumps(body, ensure_ascii=False)
        return [text[i : i + 16] for i in range(0, len(text), 16)]
    if "huge" in traits:
        size, step = int(traits["huge"]), 65536
        return ["x" * min(step, size - at) for at in range(0, size, step)]
    count = int(traits.get("chunks", 50 if "drip" in traits else 5))
    return [_WORDS[i % len(_WORDS)] for i in range(count)]


def bill(said: str) -> dict[str, Any]:
    """Return the usage of an answer under the trait `bills`: odd figures, the same each time."""
    odd = zlib.crc32(said.encode())
    prompt, produced = 500 + odd % 9973, 100 + odd % 997
    return {
        "prompt_tokens": prompt,
        "completion_tokens": produced,
        "total_tokens": prompt + produced,
        "prompt_tokens_details": {"cached_tokens": odd % 499},
        "completion_tokens_details": {"reasoning_tokens": odd % 97},
    }


def _said(body: dict[str, Any]) -> str:
    """Return the last message's content."""
    return str(body["messages"][-1]["content"])


def _usage(traits: dict[str, str], body: dict[str, Any], pieces: int) -> dict[str, Any]:
    if "bills" in traits:
        return bill(_said(body))
    return {
        "prompt_tokens": 11,
        "completion_tokens": pieces,
        "total_tokens": 11 + pieces,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "x_vendor_tokens": 1},
    }


def _frame_of(kind: str, identity: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": identity,
        "object": kind,
        "created": 1_750_000_000,
        "model": f"{body.get('model', '')}-2025-06-01",
        "system_fingerprint": "fp_misbehaving",
        "x_vendor": {"kept": True},
    }


def _tool_call(identity: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_{identity[-8:]}",
        "type": "function",
        "function": {"name": "get_weather", "arguments": arguments},
    }


def completion(identity: str, traits: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    """Return a whole answer."""
    pieces = _content(traits, body)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(pieces), "refusal": None}
    if "tools" in traits:
        call = _tool_call(identity, "".join(_CALL_ARGUMENTS))
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    finish = "tool_calls" if "tools" in traits else "stop"
    choices = [
        {"index": i, "message": message, "logprobs": None, "finish_reason": finish}
        for i in range(body.get("n") or 1)
    ]
    whole = _frame_of("chat.completion", identity, body)
    return {**whole, "choices": choices, "usage": _usage(traits, body, len(pieces))}


def _deltas(identity: str, traits: dict[str, str], body: dict[str, Any]) -> list[dict[str, Any]]:
    if "tools" not in traits:
        start: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
        return [start, *({"content": piece} for piece in _content(traits, body))]
    first = {"index": 0, **_tool_call(identity, "")}
    rest = ({"index": 0, "function": {"arguments": piece}} for piece in _CALL_ARGUMENTS)
    start = {"role": "assistant", "content": None, "tool_calls": [first]}
    return [start, *({"tool_calls": [call]} for call in rest)]


def chunks(identity: str, traits: dict[str, str], body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the chunks of a streamed answer; folded they are `completion`."""
    frame = _frame_of("chat.completion.chunk", identity, body)
    deltas = _deltas(identity, traits, body)
    finish = "tool_calls" if "tools" in traits else "stop"
    wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    tail: dict[str, Any] = {"usage": None} if wants_usage else {}
    said: list[dict[str, Any]] = []
    for delta, reason in [*((delta, None) for delta in deltas), ({}, finish)]:
        for index in range(body.get("n") or 1):
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
            said.append({**frame, "choices": [choice], **tail})
    if wants_usage:
        pieces = len(_content(traits, body))
        said.append({**frame, "choices": [], "usage": _usage(traits, body, pieces)})
    return said


def _events(identity: str, traits: dict[str, str], body: dict[str, Any]) -> list[bytes]:
    odd = "odd-splits" in traits
    line = b"\r\n" if odd else b"\n"
    said = [json.dumps(c, separators=(",", ":")).encode() for c in chunks(identity, traits, body)]
    if "error-event" in traits:
        error = {"message": "The server had an error", "type": "server_error", "code": None}
        said = [*said[:3], json.dumps({"error": error}).encode()]
    elif "finish-no-done" not in traits:
        said.append(b"[DONE]")
    comment = b": ping" + line + line if odd else b""
    return [comment + b"data: " + data + line + line for data in said]


def _error(status: int, message: str) -> Reply:
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(status)
    error = {"message": message, "type": kind, "param": None, "code": code}
    headers = {"retry-after": "2"} if status in {429, 503} else {}
    return Reply(status, parts=[json.dumps({"error": error}).encode()], headers=headers)


def _models() -> Reply:
    models = [
        {"id": name, "object": "model", "created": 1_750_000_000, "owned_by": "misbehaving"}
        for name in ("ok", "echo", "tools")
    ]
    return Reply(parts=[json.dumps({"object": "list", "data": models}).encode()])


_INSTEAD: dict[str, Callable[[], Reply]] = {
    "redirect": lambda: Reply(307, headers={"location": "https://elsewhere.invalid/"}),
    "not-json": lambda: Reply(content_type="text/html", parts=[b"<html>Sign in</html>"]),
    "not-completion": lambda: Reply(parts=[b'{"hello":1}']),
}


#: The longer first: one is the end of the other.
_PATHS = ("/chat/completions", *passed_answers.ANSWERS)


def compose(
    state: Misbehaving, traits: dict[str, str], body: dict[str, Any], path: str = ""
) -> Reply:
    """Return what the traits make of a request; no path is chat completions'."""
    instead = _instead(state, traits, body)
    if instead is not None:
        return instead
    identity = f"chatcmpl-{uuid.uuid4().hex}"
    if len(state.ids) < state.keep:
        state.ids.append(identity)
    if "bills" in traits:
        state.billed[_said(body)] += 1
    if path in passed_answers.ANSWERS:
        return _passed(identity, traits, body, path)
    if body.get("stream"):
        parts = _events(identity, traits, body)
        return Reply(content_type=_EVENTS, parts=parts, streamed=True)
    return Reply(parts=[json.dumps(completion(identity, traits, body)).encode()])


def _instead(state: Misbehaving, traits: dict[str, str], body: dict[str, Any]) -> Reply | None:
    """Return what is answered in place of a completion."""
    if "status" in traits:
        status = int(traits["status"])
        return _error(status, f"The provider answered {status} as it was asked to")
    if "fails" in traits and state.count_failure(body["model"]) <= int(traits["fails"]):
        return _error(503, "The provider is overloaded")
    if "again" in traits and state.count_failure(f"{body['model']} {_said(body)}") == 1:
        return replace(_error(int(traits["again"]), "Not now"), headers={"retry-after": "1"})
    return next((reply() for name, reply in _INSTEAD.items() if name in traits), None)


def _passed(identity: str, traits: dict[str, str], body: dict[str, Any], path: str) -> Reply:
    whole, events = passed_answers.ANSWERS[path]
    pieces = _content(traits, body)
    if events is None or not body.get("stream"):
        said = whole(identity, pieces, _usage(traits, body, len(pieces)), body)
        return Reply(parts=[json.dumps(said).encode()])
    parts = events(identity, pieces, _usage(traits, body, len(pieces)), body)
    if "error-event" in traits:
        error = {"message": "The server had an error", "type": "server_error", "code": None}
        parts = [*parts[:4], b"data: " + json.dumps({"error": error}).encode() + b"\n\n"]
    elif "finish-no-done" in traits:
        parts = parts[:-1]
    return Reply(content_type=_EVENTS, parts=parts, streamed=True)


def _encode(reply: Reply, traits: dict[str, str]) -> None:
    for name in ("gzip", "deflate", "br"):
        if name in traits:
            reply.headers["content-encoding"] = name
            if name in _ENCODINGS:
                packer = zlib.compressobj(wbits=_ENCODINGS[name])
                reply.parts = [
                    packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in reply.parts
                ]
                reply.parts[-1] += packer.flush()


# --- how it is said -----------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """One connection; its requests are answered one after the other."""

    def __init__(self, state: Misbehaving, siblings: set[Connection]) -> None:
        self.state = state
        self.siblings = siblings
        self.number = 0
        self.answered = 0
        self.buffer = b""
        self.leaving = False
        self.task: asyncio.Task[None] | None = None
        self.writable = asyncio.Event()
        self.writable.set()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.state.connections += 1
        self.state.open_connections += 1
        self.number = self.state.connections
        self.siblings.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.state.open_connections -= 1
        self.siblings.discard(self)
        self.writable.set()
        if self.task is not None:
            if not self.leaving:
                self.state.disconnects += 1
            self.task.cancel()

    @override
    def pause_writing(self) -> None:
        self.writable.clear()

    @override
    def resume_writing(self) -> None:
        self.writable.set()

    @override
    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.task is None:
            self._next()

    def _next(self) -> None:
        request = self._parse()
        if request is not None:
            self.state.note(request)
            self.task = asyncio.get_running_loop().create_task(self._serve(request))

    def _parse(self) -> Received | None:
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        self.buffer = rest[length:]
        method, path, _ = first.split(" ")
        return Received(method, path, headers, rest[:length], self.number)

    async def _serve(self, request: Received) -> None:
        await self._route(request)
        self.answered += 1
        self.task = None
        if not self.leaving:
            self._next()

    async def _route(self, request: Received) -> None:
        path = request.path.partition("?")[0]
        name = next((each for each in _PATHS if path.endswith(each)), None)
        if request.method == "POST" and name is not None:
            await self._complete(request, name)
        elif request.method == "GET" and path.endswith("/models"):
            await self.write_reply(_models(), {})
        elif request.method == "GET" and path == "/stats":
            counters = json.dumps(self.state.counters()).encode()
            await self.write_reply(Reply(parts=[counters]), {})
        else:
            await self.write_reply(_error(404, f"Invalid URL ({request.method} {path})"), {})

    async def _complete(self, request: Received, path: str) -> None:
        try:
            body = json.loads(request.body)
            traits = traits_of(str(body["model"]))
        except (ValueError, KeyError, TypeError):
            await self.write_reply(_error(400, "We could not parse the JSON body"), {})
            return
        for name, act in _BEFORE.items():
            if name in traits:
                await act(self, traits[name])
                if self.leaving:
                    return
        await self.write_reply(compose(self.state, traits, body, path), traits)
        if "stale" in traits:
            self.close()

    async def write_reply(self, reply: Reply, traits: dict[str, str]) -> None:
        _encode(reply, traits)
        default = "chunked" if reply.streamed else "length"
        framing = next((name for name in _FRAMINGS if name in traits), default)
        parts = _framed(reply.parts) if framing == "chunked" else reply.parts
        parts = self._maimed(parts, traits)
        head = _head(reply, framing)
        if not reply.streamed and "drip" not in traits and "odd-splits" not in traits:
            parts = [head + b"".join(parts)]
        else:
            await self.write(head)
        for part in parts:
            if "drip" in traits:
                await asyncio.sleep(float(traits["drip"]) / 1000)
            await self.write(part, piecemeal="odd-splits" in traits)
        await self._end(framing, traits)

    def _maimed(self, parts: list[bytes], traits: dict[str, str]) -> list[bytes]:
        if not traits.keys() & {"cut", "reset", "stall"}:
            return parts
        half = len(parts) // 2
        return [*parts[:half], parts[half][: len(parts[half]) // 2]]

    async def _end(self, framing: str, traits: dict[str, str]) -> None:
        if "stall" in traits:
            await asyncio.Event().wait()
        if "reset" in traits:
            # Time for what was written to arrive: a reset discards it at the other side.
            await asyncio.sleep(0.05)
            self.reset()
        elif framing == "until-close" or "cut" in traits:
            self.close()

    async def write(self, data: bytes, *, piecemeal: bool = False) -> None:
        for piece in (data[i : i + 1] for i in range(len(data))) if piecemeal else (data,):
            self.transport.write(piece)
            self.state.bytes_sent += len(piece)
            if piecemeal:
                await asyncio.sleep(0)
        await self.writable.wait()

    def close(self) -> None:
        self.leaving = True
        self.transport.close()

    def reset(self) -> None:
        self.leaving = True
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def traits_of(model: str) -> dict[str, str]:
    """Return trait → argument; `slow:50+chunked` is `{"slow": "50", "chunked": ""}`."""
    pairs = (part.partition(":") for part in model.split("+"))
    return {name: argument for name, _, argument in pairs}


def _framed(parts: list[bytes]) -> list[bytes]:
    framed = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part]
    return [*framed, b"0\r\n\r\n"]


def _head(reply: Reply, framing: str) -> bytes:
    lines = {
        "content-type": reply.content_type,
        "x-request-id": f"req_{uuid.uuid4().hex}",
        "x-vendor-header": "1",
        "set-cookie": "vendor=1",
        **reply.headers,
    }
    if framing == "length":
        lines["content-length"] = str(sum(map(len, reply.parts)))
    elif framing == "chunked":
        lines["transfer-encoding"] = "chunked"
    else:
        lines["connection"] = "close"
    fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {reply.status} As Asked\r\n{fields}\r\n".encode("latin-1")


async def _wait_first(_: Connection, ms: str) -> None:
    await asyncio.sleep(float(ms) / 1000)


async def _stay_silent(_: Connection, __: str) -> None:
    await asyncio.Event().wait()


async def _cut_head(connection: Connection, _: str) -> None:
    await connection.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
    connection.close()


async def _talk_garbage(connection: Connection, _: str) -> None:
    await connection.write(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    connection.close()


async def _leave_on_second(connection: Connection, _: str) -> None:
    if connection.answered:
        connection.close()


async def _hint_early(connection: Connection, _: str) -> None:
    await connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    await connection.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")


_BEFORE: dict[str, Callable[[Connection, str], Awaitable[None]]] = {
    "slow": _wait_first,
    "silent": _stay_silent,
    "stale-second": _leave_on_second,
    "cut-head": _cut_head,
    "garbage": _talk_garbage,
    "early": _hint_early,
}


# --- where it runs ------------------------------------------------------------------------------


async def _serve(
    state: Misbehaving,
    port: int,
    tls: ssl.SSLContext | None,
    ready: Callable[[], None],
    stop: asyncio.Event,
) -> None:
    loop = asyncio.get_running_loop()
    connections: set[Connection] = set()
    server = await loop.create_server(
        lambda: Connection(state, connections), "127.0.0.1", port, ssl=tls, backlog=4096
    )
    state.port = server.sockets[0].getsockname()[1]
    state.url = f"{'https' if tls else 'http'}://127.0.0.1:{state.port}/v1"
    ready()
    await stop.wait()
    server.close()
    tasks = [connection.task for connection in connections if connection.task is not None]
    for connection in tuple(connections):
        connection.leaving = True
        connection.transport.abort()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # With TLS, connections still shaking hands are not in the set; let them end.
    await asyncio.sleep(0.02 if tls else 0)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextlib.contextmanager
def running(*, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Misbehaving]:
    """Run the server in a thread until the block ends."""
    state = Misbehaving()
    ready = threading.Event()
    stopping: list[Callable[[], object]] = []

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        stopping.append(lambda: loop.call_soon_threadsafe(stop.set))
        await _serve(state, port, tls, ready.set, stop)

    def work() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    _allow_files(8192)
    thread = threading.Thread(target=work, name="misbehaving", daemon=True)
    thread.start()
    assert ready.wait(10), "the misbehaving upstream did not start"
    try:
        yield state
    finally:
        stopping[0]()
        thread.join(10)


@contextlib.asynccontextmanager
async def serving(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Serve connections by hand on the running loop; yields the port.

    A connection is closed when `handle` returns, and when the block ends.
    """
    tasks: set[asyncio.Task[Any]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        gone = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*gone):
            await handle(reader, writer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(*gone):
            await writer.wait_closed()
        tasks.discard(task)

    server = await asyncio.start_server(tracked, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve_program(port: int) -> None:
    state, stop = Misbehaving(keep=0), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def ready() -> None:
        print(json.dumps({"ready": True, "port": state.port, "url": state.url}), flush=True)

    await _serve(state, port, None, ready, stop)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description="An OpenAI-like server that misbehaves on request")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    arguments = parser.parse_args(argv)
    _allow_files(65536)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_program(arguments.port))


if __name__ == "__main__":
    main(sys.argv[1:])
