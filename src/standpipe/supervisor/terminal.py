"""The terminal that a process was started from, if it was: whether it is still there."""

from __future__ import annotations

import os


class Terminal:
    """Tells the hang-up of a terminal that was closed from a SIGHUP that somebody sent."""

    def __init__(self) -> None:
        self._is_there = _is_there()

    def was_lost(self) -> bool:
        """Whether it was there when last asked, and is no more."""
        was_there, self._is_there = self._is_there, _is_there()
        return was_there and not self._is_there


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
