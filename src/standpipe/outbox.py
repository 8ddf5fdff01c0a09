"""What is to be sent, kept back until all that is ready to run has run.

To hand bytes to the kernel wakes their reader if it sleeps, and to wake one on another core takes
a virtual machine ten times as long as the write. Between two writes of one turn of the loop the
reader has the time to fall asleep again, so that each of them wakes it; behind one another they
find it awake. Measured (`docs/lab.md`, "Writes of a turn"): a fifth of a call's processor time at
32 connections. Where there is one write in a turn it would only be late, so it is not kept back.
"""

from __future__ import annotations

import asyncio
from collections import deque

#: More bytes than this are sent at once: they take so long that nobody sleeps meanwhile.
LARGE = 16 * 1024
#: What is held back at most: a sender that never waits learns so that its reader is slow.
_MOST = 256
#: Writes that are sent at once after a turn that had only one.
_ALONE = 32


class Outbox:
    """The writes of this turn of the loop, for any number of transports.

    They go out in the order in which they came. The loop may look for what has arrived before that:
    uvloop does, between a task's write and the turn's end. Who writes to one of the transports
    directly, closes it or lets it close, or asks it what is unsent, flushes before.
    """

    __slots__ = ("_alone", "_loop", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Transport, bytes]] = deque()
        #: How many of the next writes are not kept back; nothing waits while there are any.
        self._alone = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send `data` in this turn of the loop; nothing of it if the transport closes before."""
        if self._alone:
            self._alone -= 1
            transport.write(data)
            return
        waiting = self._waiting
        if not waiting:
            self._schedule()
        waiting.append((transport, data))
        if len(data) > LARGE or len(waiting) >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Send now what waits."""
        waiting = self._waiting
        while waiting:
            transport, data = waiting.popleft()
            if not transport.is_closing():
                try:
                    transport.write(data)
                except Exception as error:  # noqa: BLE001 (whoever flushes may be another's)
                    _give_up(transport, error)

    def _schedule(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        if len(self._waiting) == 1:
            self._alone = _ALONE
        self.flush()


def _give_up(transport: asyncio.Transport, error: Exception) -> None:
    """Close a transport that has raised, and tell the loop: what comes next would follow a gap."""
    told = {"message": "a write failed", "exception": error, "transport": transport}
    asyncio.get_running_loop().call_exception_handler(told)
    transport.abort()
