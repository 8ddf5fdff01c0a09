"""Who has a call, and whether all that a worker noted before it died is in the store.

A node is a spool: it has a name of its own in there, which it keeps over restarts. Its limiter says
at times which of its workers live, once nothing of any other waits in the spool. So everybody can
tell a call whose cost may still come from one that never had any.

The spool's code is imported with the first look: only calls with budgets need it.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from standpipe.wire.ids import new_id

#: Where a node's name is, in the directory of its spool.
FILE = "node"
#: Seconds after which a worker that lives is seen to live: before, it may be about to begin.
STARTING_S = 2.0

log = logging.getLogger(__name__)


class Roll(msgspec.Struct, frozen=True):
    """Which workers of a node live; all that others have noted is in the store."""

    #: Nothing is said of workers that began later, in milliseconds since the epoch; None for all.
    until: int | None = None
    alive: tuple[str, ...] = ()

    def is_over(self, worker: str) -> bool:
        """Tell that a worker is dead, and that the store has all that it noted."""
        from standpipe.spool import names

        if self.until is None:
            return worker not in self.alive
        began = names.begun_at(worker)
        return worker not in self.alive and began is not None and began <= self.until


class Node:
    """This one."""

    def __init__(self, spool: Path) -> None:
        self.name = _name(spool)
        self._spool = spool

    def roll(self) -> Roll | None:
        """Return who lives, None while something of one that died waits to be stored."""
        from standpipe.spool import names, reader

        until = round((time.time() - STARTING_S) * 1000)
        alive = reader.living(self._spool)
        left = {names.writer_of(name) for name in names.listed(self._spool, names.SEGMENT)}
        return None if left - alive else Roll(until, tuple(sorted(alive)))


def holder(node: str, worker: str) -> str:
    """Return who has a call, in one word."""
    return f"{node}/{worker}"


def node_of(by: str) -> str:
    """Return the node of a holder."""
    return by.rpartition("/")[0]


def is_over(by: str, rolls: Mapping[str, Roll]) -> bool:
    """Tell that nothing more will come of what a holder had and the store has not."""
    node, _, worker = by.rpartition("/")
    return node in rolls and rolls[node].is_over(worker)


def _name(spool: Path) -> str:
    """Return the name of the node of a spool; a new one if it has none."""
    path = spool / FILE
    with suppress(OSError):
        if found := path.read_text().strip():
            return found
    machine = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:40]
    name = f"{machine}-{new_id()[-6:]}"
    try:
        spool.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(name + "\n")
        part.rename(path)
    except OSError as error:
        log.warning("limits: this node has no name that lasts: %s: %s", path, error.strerror)
    return name
