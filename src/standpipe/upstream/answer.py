"""A provider's answer, as its reader sees it. Where the bytes come from is the connection's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from standpipe.errors import NotACompletion, UpstreamError
from standpipe.upstream.encoding import Inflater, decoder_for

_ENCODED_ONLY = (b"content-encoding", b"content-length")


class Source(Protocol):
    """What an unfinished answer hangs on."""

    def resume(self) -> None:
        """Go on reading: the buffer is empty again."""
        ...

    def abandon(self) -> None:
        """Close at once: nobody wants the rest."""
        ...


class Answer:
    """A provider's answer: its head is here, its body may still be coming.

    Close it, or use it as a context manager: closing an answer that has not finished closes
    the connection at once, which is what cancels the provider's work. Cancelling a task in `read`
    or `body` closes it too. One task reads.
    """

    __slots__ = (
        "_closed",
        "_decoder",
        "_error",
        "_loop",
        "_source",
        "_started_ns",
        "_waiter",
        "chunks",
        "finished",
        "first_byte_us",
        "headed",
        "headers",
        "status",
        "taker",
        "touched",
        "unread",
    )

    def __init__(self, source: Source, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        #: Names in lower case, in the order they came.
        self.headers: list[tuple[bytes, bytes]] = []
        #: Microseconds from sending to the head.
        self.first_byte_us = 0
        #: Whether a byte, the head, the end is here.
        self.touched = self.headed = self.finished = False
        #: The body that came and was not read, and how many bytes that is.
        self.chunks: list[bytes] = []
        self.unread = 0
        #: What comes while the reader waits is offered to it first, and is the reader's only if it
        #: does not take it. Called in the connection's turn of the loop, so that the reader's task
        #: need not be woken; it must not raise.
        self.taker: Callable[[bytes], bool] | None = None
        self._loop = loop
        self._source: Source | None = source
        self._started_ns = time.perf_counter_ns()
        self._closed = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._decoder: Inflater | None = None

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header, its name in lower case; None if it did not come."""
        return dict(reversed(self.headers)).get(name)

    async def read(self) -> bytes:
        """Return what has come of the body since the last read, b"" at its clean end.

        Raises Cut if the body ended before its end, Silent if the rest did not come in time,
        NotACompletion if it is encoded and damaged.
        """
        while True:
            # Most reads come before there is anything to take.
            if (self.chunks or self._decoder is not None) and (data := self._take()):
                return data
            if self._decoder is not None and self._decoder.has_more:
                continue
            if self.finished:
                if self._decoder is not None:
                    self._decoder.finish()
                return b""
            try:
                await self.arrival()
            except BaseException:
                self.close()
                raise

    async def body(self, limit: int) -> bytes:
        """Return the whole body; NotACompletion over `limit` bytes, otherwise raises as `read`."""
        if self.finished and self._decoder is None and self.unread <= limit:
            return self._take()  # most have come whole when their head is looked at
        parts: list[bytes] = []
        size = 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                self.close()
                raise NotACompletion(f"the provider's answer has more than {limit} bytes")
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        """Let the answer go; if it has not finished, close its connection at once."""
        self._closed = True
        source, self._source = self._source, None
        if source is not None:
            self.chunks.clear()
            source.abandon()

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self) -> bytes:
        chunks, decoder = self.chunks, self._decoder
        if not chunks:
            return b"" if decoder is None else decoder.feed(b"")
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.unread = 0
        if self._source is not None:
            self._source.resume()
        return data if decoder is None else decoder.feed(data)

    # What follows is for the pool and the connection.

    def arrival(self) -> asyncio.Future[None]:
        """Return what is done when there is news; raise why there will be none."""
        if self._error is not None:
            raise self._error
        if self._closed:
            raise RuntimeError("the answer is closed")
        # The loop is not asked for here: that is a system call.
        self._waiter = waiter = self._loop.create_future()
        return waiter

    async def wait_head(self) -> None:
        """Wait for the head; raises Unreachable or Silent."""
        try:
            while not self.headed:
                await self.arrival()
        except BaseException:
            self.close()
            raise

    def decode(self) -> None:
        """Have the body decoded if it is encoded; NotACompletion if that can't be done."""
        for name, value in self.headers:
            if name == b"content-encoding":
                self._decoder = decoder_for(value)
                self.headers = [each for each in self.headers if each[0] not in _ENCODED_ONLY]
                return

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Take the head."""
        self.status = status
        self.headers = headers
        self.first_byte_us = (time.perf_counter_ns() - self._started_ns) // 1000
        self.headed = True

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        # A reader that does not wait may hold what came before.
        if (
            self.taker is not None
            and self._waiter is not None
            and not self.chunks
            and self._decoder is None
            and self.taker(data)
        ):
            return
        self.chunks.append(data)
        self.unread += len(data)

    def on_end(self) -> None:
        """Note that the body is whole; the connection is no longer this answer's."""
        self.finished = True
        self._source = None

    def on_failure(self, error: UpstreamError) -> None:
        """Note why no more will come; what came before is still read first."""
        self._error = error
        self._source = None

    def wake(self) -> None:
        """Let the reader look again."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
