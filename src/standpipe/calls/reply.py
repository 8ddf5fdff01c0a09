"""The seam between a call and whatever carries its answer to the client."""

from __future__ import annotations

from typing import Protocol

Headers = list[tuple[bytes, bytes]]


class Reply(Protocol):
    """An answer on its way: `whole` alone, or `begin`, `write` …, `end`.

    Each method waits while the client is slow to read. None of them raises when the client is
    gone: the call is cancelled then.
    """

    @property
    def gone(self) -> bool:
        """True once the client is."""

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a complete answer."""

    async def begin(self, status: int, headers: Headers) -> None:
        """Send the head of a stream."""

    async def write(self, data: bytes) -> None:
        """Send a piece of a stream."""

    def pass_on(self, data: bytes) -> bool:
        """Send a piece of a stream that has begun, without waiting.

        False, and nothing is sent, where `write` must do it: while the client is slow to read.
        """

    async def end(self, data: bytes) -> None:
        """Send the last piece of a stream."""
