"""POST /messages: Anthropic's form in and out, over the same calls as chat completions.

Source: https://platform.claude.com/docs/en/api/messages. A call is a chat completion as soon as it
has come in: it is routed, recorded and stored as one.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from typing_extensions import override

from standpipe import errors
from standpipe.api.call import CallRoute
from standpipe.calls.callers import Caller, Callers
from standpipe.calls.chat import Chat
from standpipe.calls.incoming import Incoming
from standpipe.calls.reply import Headers, Reply
from standpipe.errors import ApiError, NotACompletion, Refused
from standpipe.server.refusals import Refusals
from standpipe.wire import chat, fold, sse
from standpipe.wire.messages_answer import error_body, from_openai_completion
from standpipe.wire.messages_api import to_openai_request
from standpipe.wire.messages_stream import MessagesEncoder

_encode = msgspec.json.encode

#: The dialect whose targets can read what only Anthropic's callers send.
_NATIVE = "anthropic"


class MessagesRoute(CallRoute):
    """The route; a key comes as Anthropic's clients send it, or as all others do."""

    def __init__(self, callers: Callers, refusals: Refusals, calls: Chat) -> None:
        super().__init__(callers, refusals, self._answered)
        self._calls = calls

    @override
    def authorization(self, incoming: Incoming) -> bytes | None:
        """Return the key as `Bearer <key>`."""
        if incoming.authorization is not None or incoming.api_key is None:
            return incoming.authorization
        return b"Bearer " + incoming.api_key

    @override
    def reply(self, reply: Reply) -> Reply:
        """Return what takes the answer in OpenAI's form and sends it in Anthropic's."""
        return MessagesReply(reply)

    async def _answered(self, incoming: Incoming, caller: Caller, body: bytes, reply: Reply) -> str:
        translate = functools.partial(self._translate, incoming)
        return await self._calls.answer(incoming, caller, body, reply, translate=translate)

    def _translate(self, incoming: Incoming, body: bytes) -> bytes:
        """Return the body of a chat request; Unparsable or BadRequest where it is none."""
        given = chat.decoded(body)
        native = self._calls.dialect_of(given.get("model"), incoming) == _NATIVE
        return _encode(to_openai_request(given, native=native))


class MessagesReply:
    """A reply that is written in OpenAI's form and sent in Anthropic's."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._encoder: MessagesEncoder | None = None

    @property
    def gone(self) -> bool:
        """True once the client is."""
        return self._reply.gone

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a complete answer."""
        told = fold.decode_object(body)
        if told is None:  # such as a number that nothing holds, which was passed on unread
            told, status = errors.body(NotACompletion("the provider's answer cannot be read")), 502
        if status == 200:
            answer = from_openai_completion(told, str(told.get("model")))
        else:
            answer = error_body(_error(status, told), _request_id(headers))
        await self._reply.whole(status, _named(headers), _encode(answer))

    async def begin(self, status: int, headers: Headers) -> None:
        """Send the head of a stream."""
        await self._reply.begin(status, _named(headers))

    async def write(self, data: bytes) -> None:
        """Send a piece of a stream."""
        if events := b"".join(self._events(data)):
            await self._reply.write(events)

    def pass_on(self, data: bytes) -> bool:
        """Send nothing: what is to be done with a piece is said by `write`."""
        del data
        return False

    async def end(self, data: bytes) -> None:
        """Send the last piece of a stream."""
        await self._reply.end(b"".join(self._events(data)))

    def _events(self, data: bytes) -> list[bytes]:
        """Return Anthropic's events; calls write whole events alone."""
        return [
            self._event(payload)
            for event in sse.Splitter().feed(data)
            if (payload := sse.data_of(event)) is not None
        ]

    def _event(self, payload: bytes) -> bytes:
        if payload == sse.DONE:
            return self._encoding({}).finish()
        chunk = fold.decode_object(payload) or {}
        if isinstance(chunk.get("error"), dict):
            return self._encoding(chunk).fail(_error(500, chunk))
        return self._encoding(chunk).feed(chunk)

    def _encoding(self, chunk: dict[str, Any]) -> MessagesEncoder:
        if self._encoder is None:
            self._encoder = MessagesEncoder(str(chunk.get("model") or ""))
        return self._encoder


def _error(status: int, body: dict[str, Any]) -> ApiError:
    inner = body["error"]
    return Refused(status, str(inner["code"]), str(inner["message"]))


def _request_id(headers: Headers) -> str | None:
    return next((value.decode() for name, value in headers if name == b"x-request-id"), None)


def _named(headers: Headers) -> Headers:
    """Return the headers with the request's id where Anthropic's clients look for it too."""
    return [
        *headers,
        *((b"request-id", value) for name, value in headers if name == b"x-request-id"),
    ]
