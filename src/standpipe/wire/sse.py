"""Server-sent events: bytes to events to bytes, without changing a byte on the way.

Knows the line rules of the format and nothing of what the data means.
"""

from __future__ import annotations

import re

DONE = b"[DONE]"
#: Bytes that may wait for the end of their event.
MAX_EVENT_BYTES = 16 * 1024 * 1024

_RETURN = 0x0D
_BOM = b"\xef\xbb\xbf"
# Atomic, so that `\r\n` is never read as two line ends.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Splitter:
    """Cuts a stream of bytes into raw events, each with the blank line that ends it.

    All events returned and `rest`, joined, are the bytes that were fed.
    """

    __slots__ = ("_returns", "_scanned", "waiting")

    def __init__(self) -> None:
        #: What came of an event that has not ended.
        self.waiting = bytearray()
        self._scanned = 0
        #: A carriage return was seen: lines may end in three ways.
        self._returns = False

    @property
    def rest(self) -> bytes:
        """Return the bytes after the last event; at the end of a stream, an unended event."""
        return bytes(self.waiting)

    def feed(self, data: bytes) -> list[bytes]:
        r"""Return the events that are complete now.

        A `\r` at the end of the data waits, since `\n` may follow. ValueError if the event
        that waits is over `MAX_EVENT_BYTES`.
        """
        self._returns = self._returns or data.find(b"\r") >= 0
        if not self.waiting and not self._returns:
            pieces = data.split(b"\n\n")
            if rest := pieces.pop():
                self._keep(rest)
            return [piece + b"\n\n" for piece in pieces]
        self.waiting += data
        return self._cut()

    def _keep(self, data: bytes) -> None:
        self.waiting += data
        self._scanned = max(0, len(self.waiting) - 3)
        self._check_size()

    def _cut(self) -> list[bytes]:
        buffer = self.waiting
        events: list[bytes] = []
        start, scanned = 0, self._scanned
        while end := self._blank_line_end(scanned):
            events.append(bytes(buffer[start:end]))
            start = scanned = end
        # The longest unfinished blank line is three bytes, `\r\n\r`.
        self._scanned = max(0, len(buffer) - start - 3)
        del buffer[:start]
        self._check_size()
        return events

    def _blank_line_end(self, scanned: int) -> int:
        """Return where the first blank line from there ends, 0 if it has not come or may go on."""
        if not self._returns:
            at = self.waiting.find(b"\n\n", scanned)
            return at + 2 if at >= 0 else 0
        blank = _BLANK_LINE.search(self.waiting, scanned)
        if blank is None or (blank.end() == len(self.waiting) and self.waiting[-1] == _RETURN):
            return 0
        return blank.end()

    def _check_size(self) -> None:
        if len(self.waiting) > MAX_EVENT_BYTES:
            raise ValueError(f"an event of the stream is over {MAX_EVENT_BYTES} bytes")


def data_of(event: bytes) -> bytes | None:
    """Return the data of a raw event, its lines joined by newlines; None if it has no data."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]
    lines = [_data_line(line) for line in _LINE_END.split(event.removeprefix(_BOM))]
    found = [line for line in lines if line is not None]
    return b"\n".join(found) if found else None


def _data_line(line: bytes) -> bytes | None:
    field, _, value = line.partition(b":")
    return value.removeprefix(b" ") if field == b"data" else None


def event(data: bytes) -> bytes:
    """Return the raw event that carries the data."""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return b"data: " + data + b"\n\n"
