"""Events of a stream that differ in their text alone, known without a look inside. Pure."""

from __future__ import annotations

import re

#: Where the text of a chunk begins.
_TEXT = re.compile(rb'"(?:content|reasoning_content|reasoning|refusal)"\s*:\s*"')
#: Events whose shape is learnt in vain before it is given up.
_FRUITLESS = 16


class Shape:
    """What an event has around its text, where that is all in which events differ.

    Text without a quote is one string, whatever it says: such an event ends nothing, and has no
    other model, usage or error than the one that was looked at.
    """

    __slots__ = ("_fruitless", "_head", "_least", "_our_head", "_our_tail", "_tail")

    def __init__(self) -> None:
        self._head = self._tail = self._our_head = self._our_tail = b""
        #: Bytes of both, 0 where none is known.
        self._least = 0
        #: Events learnt since one was found again.
        self._fruitless = 0

    def renamed(self, data: bytes) -> bytes | None:
        """Return an event of this shape with our name of the model, None for any other bytes."""
        # Methods of one argument: those of more parse theirs, which takes as long as all else.
        text = data.removeprefix(self._head).removesuffix(self._tail)
        if len(text) + self._least != len(data) or text.partition(b'"')[1] or not self._least:
            return None
        self._fruitless = 0
        return self._our_head + text + self._our_tail

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
        self._head, self._tail = event[:begin], event[end:]
        self._our_head = self._head.replace(theirs, ours)
        self._our_tail = self._tail.replace(theirs, ours)
        self._least = len(self._head) + len(self._tail)

    def forget(self) -> None:
        """Know no event any more."""
        self._head = self._tail = b""
        self._least = 0
