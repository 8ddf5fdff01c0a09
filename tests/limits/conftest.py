"""Both kinds of counters, by the same clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis_server

from standpipe.limits.ledger import Ledger, Memory
from standpipe.limits.shared import Shared


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


#: Makes counters; to be called where a loop runs.
MakeLedger = Callable[[], Ledger]


@pytest.fixture(params=["memory", "redis"])
def make_ledger(request: pytest.FixtureRequest, clock: Clock) -> MakeLedger:
    """Return what makes new counters of either kind."""
    if request.param == "memory":
        return lambda: Memory(clock)
    server: redis_server.Server = request.getfixturevalue("redis_run")
    # Nobody says between two scenes that calls are still there.
    return lambda: Shared(server.url, lease_s=3600, clock=clock)
