"""Calls to models: what answers each of their routes, in front of the router."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from standpipe import errors
from standpipe.api.reply import AsgiReply
from standpipe.calls.callers import Caller, Callers, digest_of
from standpipe.calls.incoming import Incoming, read
from standpipe.calls.lifetime import error_headers
from standpipe.calls.reply import Reply
from standpipe.errors import ApiError, WrongMediaType
from standpipe.server.asgi import EXTENSION, Connection
from standpipe.server.direct import DirectExchange
from standpipe.server.head import Head
from standpipe.server.refusals import Refusals
from standpipe.wire.ids import new_id
from standpipe.wire.known_secrets import KnownSecrets

#: Of a request whose headers are not read yet.
_UNREAD = Incoming()
#: What answers a call: the request's headers, who calls, the body, and where the answer goes.
Answer = Callable[[Incoming, Caller, bytes, Reply], Awaitable[str]]


class Known(NamedTuple):
    """What was read of a head that is in order, and the digest of the key that is in it."""

    incoming: Incoming
    digest: bytes


class CallRoute:
    """Checks key and content type, reads the body, hands over; a client that leaves cancels.

    A request comes from the protocol itself (`direct`), or over ASGI where its target is not
    written as the protocol knows it, its client waits for a word, or it is HTTP/1.0.
    """

    def __init__(self, callers: Callers, refusals: Refusals, answer: Answer) -> None:
        self._callers = callers
        self._refusals = refusals
        self._answer = answer

    def direct(self, exchange: DirectExchange) -> Awaitable[None]:
        """Answer one request."""
        return self._call(exchange.head, exchange.body, exchange)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request over ASGI."""
        connection: Connection = scope["extensions"][EXTENSION]
        body = functools.partial(read_body, receive)
        with _cancelled_when_gone(connection):
            await self._call(Head(scope["headers"]), body, AsgiReply(send, connection))

    async def _call(
        self, head: Head, body: Callable[[], bytes | Awaitable[bytes]], reply: Reply
    ) -> None:
        reply = self.reply(reply)
        incoming = _UNREAD
        try:
            if isinstance(head.read, Known):
                incoming, digest = head.read
            else:
                incoming = read(head.headers)
                digest = digest_of(self.authorization(incoming))
            caller = self._callers.seen(digest) or await self._callers.holder(digest)
            if head.read is None:
                check_json(incoming.content_type)
                head.read = Known(incoming, digest)
            content = body()
            if not isinstance(content, bytes):
                content = await content
            await self._answer(incoming, caller, content, reply)
        except ApiError as error:
            self._refusals.count(error)
            told = [*error_headers(error), (b"x-request-id", new_id().encode())]
            content = msgspec.json.encode(errors.body(error))
            await reply.whole(error.status, told, KnownSecrets().hide(content, incoming.token))

    def authorization(self, incoming: Incoming) -> bytes | None:
        """Return the header with the key, as `Bearer <key>`."""
        return incoming.authorization

    def reply(self, reply: Reply) -> Reply:
        """Return what takes the answer in OpenAI's form."""
        return reply


def check_json(content_type: bytes | None) -> None:
    """Raise WrongMediaType unless a body is announced as JSON, or not announced at all."""
    if content_type == b"application/json":
        return
    kind = (content_type or b"application/json").partition(b";")[0].strip()
    if kind.lower() != b"application/json" and not kind.lower().endswith(b"+json"):
        shown = kind[:60].decode("latin-1")
        raise WrongMediaType(f"content-type: must be application/json, not {shown!r}")


async def read_body(receive: Receive) -> bytes:
    """Return the request's body; ClientDisconnect if the client leaves before its end."""
    message = await receive()
    pieces: list[bytes] = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        pieces.append(message.get("body", b""))
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@contextlib.contextmanager
def _cancelled_when_gone(connection: Connection) -> Iterator[None]:
    """Cancel the body of the `with` when the client leaves, and end quietly then."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 (the type of asyncio's answer, not a condition)
    connection.on_lost = task.cancel  # type: ignore[assignment]  # its answer is not needed
    try:
        yield
    except asyncio.CancelledError:
        if not connection.lost:
            raise
        task.uncancel()
    finally:
        connection.on_lost = None
