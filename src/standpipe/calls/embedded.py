"""The way to the embedded model: an upstream like any other, whose absence is our own trouble."""

from __future__ import annotations

from standpipe.errors import Unavailable, Unreachable
from standpipe.upstream.answer import Answer
from standpipe.upstream.transport import Request, Transport


class Embedded:
    """Answers 503 while the engine is down: it is being restarted, and waiting helps."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, request: Request) -> Answer:
        """Send to the engine; raises Unavailable where it does not answer."""
        try:
            return await self._transport.send(request)
        except Unreachable as error:
            raise Unavailable(
                "the local model's engine is down and is being restarted; try again"
            ) from error

    async def close(self) -> None:
        """Close the connections to the engine."""
        await self._transport.close()


class Absent:
    """Stands where the embedded model would be, and says what is missing."""

    def __init__(self, missing: str) -> None:
        self._missing = missing

    async def send(self, request: Request) -> Answer:
        """Raise Unavailable."""
        del request
        raise Unavailable(self._missing, retry_after=60)

    async def close(self) -> None:
        """Do nothing."""
