"""What a request has around its messages, which is much the same in all requests of a project.

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

#: Projects of which it is remembered, at most, and how much of each.
MOST_PROJECTS = 512
_MOST = 8
#: Longest that is remembered, in bytes.
_LONGEST = 4096
#: Of a project's requests of which nothing was known, so many are remembered, and then each so
#: many-th: with some each is another. A prime, for clients ask in turns.
_EAGERLY, _RARELY = 16, 61

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
    """What one project's requests have around their messages, what came last first."""

    arounds: list[Around] = []
    #: Requests of which nothing was known.
    missed: int = 0


class Arounds:
    """What the requests of a worker's callers have around their messages.

    By project and not by key: many keys may stand for the users of one program.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def parse(self, body: bytes, project: str) -> ChatRequest:
        """Return the request of a body, as `chat.parse` does."""
        known = self._known.get(project)
        if known is None:  # many ask once
            self._add(project)
            return chat.parse(body)
        arounds = known.arounds
        for around in arounds:
            request = around.read(body)
            if request is not None:
                if around is not arounds[0]:
                    arounds.remove(around)
                    arounds.insert(0, around)
                return request
        request = chat.parse(body)
        known.missed += 1
        if known.missed <= _EAGERLY or known.missed % _RARELY == 0:
            _learn(arounds, Around.of(request, body))
        return request

    def _add(self, project: str) -> None:
        if len(self._known) >= MOST_PROJECTS:
            self._known.clear()
        self._known[project] = _Known()


def _learn(arounds: list[Around], new: Around | None) -> None:
    # One that is known may come again with messages that are not usual, such as images.
    if new is not None and not any(new.is_like(each) for each in arounds):
        arounds.insert(0, new)
        del arounds[_MOST:]
