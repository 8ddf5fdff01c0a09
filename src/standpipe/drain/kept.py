"""What becomes of a segment that is wholly in the store: it is removed, now or after a while."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path

from standpipe.spool import archive, names

#: Seconds between two looks for segments that have been kept long enough.
LOOK_S = 1.0

log = logging.getLogger(__name__)


class Kept:
    """The segments of a spool that are kept, compressed, for so many seconds."""

    def __init__(self, spool: Path, keep_s: float) -> None:
        self._spool = spool
        self.keep_s = keep_s
        self._look_at = 0.0

    def take(self, done: Path) -> None:
        """Keep a segment that is in the store, or remove it.

        After a crash in between it is still there, and to be taken again.
        """
        if self.keep_s > 0:
            try:
                archive.compress(done)
            except OSError as error:
                log.warning("%s is removed and not kept: %s", done.name, error)
        done.unlink(missing_ok=True)

    def expire(self) -> None:
        """Remove what was kept long enough, and what a crash has left; looks now and then."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        for name in names.listed(self._spool, names.KEPT):
            path = self._spool / name
            with suppress(FileNotFoundError):  # somebody was quicker
                if time.time() - path.stat().st_mtime >= self.keep_s:
                    path.unlink()
        for name in names.listed(self._spool, names.KEPT + names.PART):
            (self._spool / name).unlink(missing_ok=True)
