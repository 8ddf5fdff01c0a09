"""A thread that brings files to the disk while the loop goes on.

It does what an executor of one thread does with a queue and a callback alone: the disk is synced
hundreds of times a second, and an executor's futures took a fifth of that (`docs/lab.md`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple

#: Told what the work raised, None for nothing.
Ended = Callable[[Exception | None], None]


class _Asked(NamedTuple):
    work: Callable[[], None]
    ended: Ended
    loop: asyncio.AbstractEventLoop


class Syncer:
    """Does one piece of work after the other, until it is closed."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        # It must not keep a process alive that ends without closing.
        self._thread = Thread(target=self._run, name="spool", daemon=True)
        # Not with the first work: where no thread can be started, nobody is to wait for it.
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is done."""
        return not self._thread.is_alive()

    def do(self, work: Callable[[], None], ended: Ended) -> None:
        """Have `work` done, and then `ended` called on the running loop.

        RuntimeError once it is closed.
        """
        if self.is_closed:
            raise RuntimeError("the thread that syncs is closed")
        self._asked.put(_Asked(work, ended, asyncio.get_running_loop()))

    def close(self) -> None:
        """Return once all that was asked for is done; a loop that is closed is not told."""
        self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            error = None
            try:
                asked.work()
            except Exception as raised:  # noqa: BLE001  # whoever asked is told
                error = raised
            with suppress(RuntimeError):  # the loop is closed
                asked.loop.call_soon_threadsafe(asked.ended, error)
            del asked, error  # all these records would be held until the next are asked for
