"""One timer for one connection that may be moved at every message for next to nothing."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

#: A timer that fires this much early, in seconds, is on time: loops count in milliseconds.
_SLACK = 0.005


class Deadline:
    """A moment after which `on_expiry` is called, once.

    Moving it later costs one look at the clock: the loop's own timer stays where it is and is
    moved when it fires.
    """

    __slots__ = ("_at", "_loop", "_on_expiry", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expiry: Callable[[], None]) -> None:
        self._loop = loop
        self._on_expiry = on_expiry
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def set(self, seconds: float) -> None:
        """Expire after `seconds` from now, whatever was set before."""
        self._at = self._loop.time() + seconds
        if self._at < self._timer_at:
            self._arm()

    def clear(self) -> None:
        """Never expire, until it is set again."""
        self._at = math.inf

    def stop(self) -> None:
        """Let go of the loop."""
        self.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_at = math.inf

    def _fire(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        if self._loop.time() + _SLACK < self._at:
            if self._at < math.inf:
                self._arm()
            return
        self.clear()
        self._on_expiry()

    def _arm(self) -> None:
        """See to it that the loop wakes us in time."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._at
        self._timer = self._loop.call_at(self._at, self._fire)
