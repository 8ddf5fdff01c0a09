"""Events of a stream that differ in their text alone, known without a look inside. Pure."""

from __future__ import annotations

import re

#: Where the text of a chunk begins.
_TEXT = re.compile(rb'"(?:content|reasoning_content|reasoning|refusal)"\s*:\s*"')
#: Where OpenAI's padding begins, another in every event.
_PADDING = re.compile(rb'"obfuscation"\s*:\s*"')
#: Events whose shape is learnt in vain before it is given up.
_FRUITLESS = 16


class Shape:
    """What an event has around its text, where that and padding are all in which events differ.

    Text without a quote is one string, whatever it says: such an event ends nothing, and has no
    other model, usage or error than the one that was looked at.
    """

    __slots__ = (
        *("_between", "_fruitless", "_head", "_least"),
        *("_our_between", "_our_head", "_our_tail", "_tail"),
    )

    def __init__(self) -> None:
        self._head = self._tail = self._our_head = self._our_tail = b""
        #: What is between the text and the padding, b"" where there is none.
        self._between = self._our_between = b""
        #: Bytes of head and tail, 0 where none is known.
        self._least = 0
        #: Events learnt since one was found again.
        self._fruitless = 0

    def renamed(self, data: bytes) -> bytes | None:
        """Return an event of this shape with our name of the model, None for any other bytes."""
        # Methods of one argument: those of more parse theirs, which takes as long as all else.
        text = data.removeprefix(self._head).removesuffix(self._tail)
        if len(text) + self._least != len(data) or not self._least:
            return None
        if self._between:
            return self._padded(text)
        if text.partition(b'"')[1]:
            return None
        self._fruitless = 0
        return self._our_head + text + self._our_tail

    def _padded(self, rest: bytes) -> bytes | None:
        """Return the event in which this is between head and tail."""
        text, between, padding = rest.partition(self._between)
        if not between or text.partition(b'"')[1] or padding.partition(b'"')[1]:
            return None
        self._fruitless = 0
        return b"".join((self._our_head, text, self._our_between, padding, self._our_tail))

    def learn(self, event: bytes, theirs: bytes, ours: bytes) -> None:
        """Take the shape of an event; of streams whose events have none, no more than some."""
        found = _TEXT.search(event) if self._fruitless < _FRUITLESS else None
        if found is None:
            return
        self._fruitless += 1
        begin = found.end()
        end = event.find(b'"', begin)
        if event[begin:end].endswith(b"\\"):
            return
        self._head, self._between, self._tail = event[:begin], *_parted(event[end:])
        self._our_head = self._head.replace(theirs, ours)
        self._our_between = self._between.replace(theirs, ours)
        self._our_tail = self._tail.replace(theirs, ours)
        self._least = len(self._head) + len(self._tail)

    def forget(self) -> None:
        """Know no event any more."""
        self._head = self._tail = b""
        self._least = 0


def _parted(rest: bytes) -> tuple[bytes, bytes]:
    """Return what is before the padding and what is behind it; all of it where there is none."""
    found = _PADDING.search(rest)
    if found is None:
        return b"", rest
    return rest[: found.end()], rest[rest.find(b'"', found.end()) :]
