"""What a request has around its messages, which is much the same in all requests of a caller.

A client asks with the same model and the same settings again and again. What was read and checked
of them holds for the next request too: where that begins and ends with the same bytes, and what is
between them reads as an array of messages, it is the same request but for those. So they alone are
read, and what is sent on is put together from bytes.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from standpipe.wire import chat, usual
from standpipe.wire.chat import ChatRequest

#: Callers of whom it is remembered, at most, and how much of each.
MOST_CALLERS = 1024
_MOST = 4
#: Longest that is remembered, in bytes.
_LONGEST = 4096
#: Requests in vain after which a caller's are looked at rarely: each of them is another.
_FRUITLESS = 16
_RARELY = 64

_NONE = msgspec.Raw(b"[]")


class Sent(msgspec.Struct, frozen=True):
    """What a provider is sent of such requests."""

    path: str
    before: bytes
    after: bytes


class Around(msgspec.Struct, frozen=True, eq=False):
    """The bytes before a request's array of messages and those behind it."""

    before: bytes
    after: bytes
    #: A request with these and no messages.
    bare: ChatRequest
    #: By whom it is for; each says for itself what that is.
    sent: dict[Hashable, Sent | None]

    @classmethod
    def of(cls, request: ChatRequest, body: bytes) -> Around | None:
        """Return what is around a request's messages; None where that cannot be told apart."""
        messages = bytes(request.fields["messages"])
        start = body.find(messages)
        before, after = body[:start], body[start + len(messages) :]
        if start < 0 or len(before) + len(after) > _LONGEST:
            return None
        # Read again with no messages: of two arrays that are alike, the wrong one may be found.
        fields = chat.decode(before + bytes(_NONE) + after)
        if fields["messages"] != _NONE:
            return None
        bare = msgspec.structs.replace(request, given=fields, decoded=None)
        return cls(before, after, bare, {})

    def is_like(self, other: Around) -> bool:
        """Tell one of the same bytes."""
        return (self.before, self.after) == (other.before, other.after)

    def read(self, body: bytes) -> ChatRequest | None:
        """Return the request of a body that has these around its messages, None for any other."""
        if not (body.endswith(self.after) and body.startswith(self.before)):
            return None
        messages = body[len(self.before) : len(body) - len(self.after)]
        try:
            usual.check_messages(messages)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        bare = self.bare
        return ChatRequest(
            bare.given,
            bare.model,
            bare.stream,
            bare.include_usage,
            bare.store,
            bare.metadata,
            bare.n,
            None,
            self,
            messages,
        )


class _Known(msgspec.Struct):
    """What one caller's requests have around their messages, the newest last."""

    arounds: list[Around] = []
    #: Requests since one was known.
    fruitless: int = 0


class Arounds:
    """What the requests of a worker's callers have around their messages."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def parse(self, body: bytes, caller: str) -> ChatRequest:
        """Return the request of a caller's body, as `chat.parse` does."""
        known = self._known.get(caller)
        if known is None:  # many ask once
            self._add(caller)
            return chat.parse(body)
        for around in known.arounds:
            request = around.read(body)
            if request is not None:
                known.fruitless = 0
                return request
        request = chat.parse(body)
        known.fruitless += 1
        if known.fruitless <= _FRUITLESS or known.fruitless % _RARELY == 0:
            _learn(known.arounds, Around.of(request, body))
        return request

    def _add(self, caller: str) -> None:
        if len(self._known) >= MOST_CALLERS:
            self._known.clear()
        self._known[caller] = _Known()


def _learn(arounds: list[Around], new: Around | None) -> None:
    # One that is known may come again with messages that are not usual, such as images.
    if new is not None and not any(new.is_like(each) for each in arounds):
        arounds.append(new)
        del arounds[:-_MOST]
