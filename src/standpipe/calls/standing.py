"""How a target stands with this worker: what it did of late, whether it rests, what it has to do.

In memory alone, but for what is in flight where that is limited: it is counted for all workers. A
target that fails repeatedly rests; when its rest is over one call is let through as a probe, and
its answer brings the target back. Nothing here refuses a call: a target that rests is asked last.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from typing_extensions import override

from standpipe.calls.in_flight import Count, InFlight
from standpipe.calls.routes import Route, Target

#: Answers looked back on; a target rests where more than half of so many failed.
WINDOW = 20
#: A rest is doubled while the probes fail, so often at most.
DOUBLINGS = 3
#: Longest rest that a provider's own Retry-After may ask for, in seconds.
LONGEST = 3600.0
#: Weight of the newest latency in their average, and the time in which an old average loses most
#: of its weight, in seconds: what was slow once is looked at again.
_NEWEST = 0.3
_FADING = 10.0


class Load:
    """Counts calls in flight."""

    __slots__ = ("_shared", "in_flight")

    def __init__(self, shared: Count | None = None) -> None:
        #: This worker's.
        self.in_flight = 0
        #: All workers' together, where somebody wants to know.
        self._shared = shared

    def add(self, calls: int) -> None:
        """Count calls in, or out."""
        self.in_flight += calls
        if self._shared is not None:
            self._shared.tell(self.in_flight)

    def reaches(self, limit: int) -> bool:
        """Tell whether as many calls are in flight as a limit allows; 0 is none."""
        if not limit:
            return False
        return self.in_flight >= limit or (self._shared is not None and self._shared.reaches(limit))


class Standing(Load):
    """What is known of one target."""

    __slots__ = (
        "_clock", "_doubled", "_failed_in_row", "_latency", "_measured_at", "_probing",
        "_rested_at", "_seen", "_until", "_window",
    )  # fmt: skip

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, shared: Count | None = None
    ) -> None:
        super().__init__(shared)
        self._clock = clock
        self._latency = 0.0
        self._measured_at = 0.0
        #: When its rest is over; None for one that does not rest.
        self._until: float | None = None
        self._rested_at = 0.0
        self._doubled = 0
        self._probing = False
        self._failed_in_row = 0
        #: A bit for each answer, 1 for a failure.
        self._window = 0
        self._seen = 0

    @property
    def until(self) -> float:
        """When its rest is over, by the clock; 0 for one that does not rest."""
        return self._until or 0.0

    @property
    def is_due(self) -> bool:
        """Tell one whose rest is over and which nobody has probed yet."""
        return self._until is not None and not self._probing and self._clock() >= self._until

    @property
    def is_awake(self) -> bool:
        """Tell one that may be asked like any other."""
        return self._until is None or self.is_due

    @property
    def latency(self) -> float:
        """What a call may have to wait for its first byte, in seconds; 0 where nobody knows."""
        age = self._clock() - self._measured_at
        return self._latency * math.exp(-age / _FADING) * (self.in_flight + 1)

    def enter(self) -> bool:
        """Count a call in; tell whether it is the probe."""
        self.add(1)
        is_probe = self.is_due
        self._probing = self._probing or is_probe
        return is_probe

    def leave(self, *, probe: bool) -> None:
        """Count a call out; one that came as the probe and proved nothing leaves it to the next."""
        self.add(-1)
        if probe:
            self._probing = False

    def worked(self, seconds: float | None = None, *, since: float | None = None) -> None:
        """Note an answer, its first byte after `seconds`, to what was asked at `since`."""
        now = self._clock()
        if self._until is not None and since is not None and since < self._rested_at:
            return  # a long answer from before its trouble
        self._until, self._doubled = None, 0
        self._count(0)
        if seconds is not None:
            known = self._latency * math.exp(-(now - self._measured_at) / _FADING)
            self._latency = known + _NEWEST * (seconds - known) if known else seconds
            self._measured_at = now

    def failed(self, route: Route) -> None:
        """Note a failure; let the target rest where it was one too many for the route."""
        if self._until is not None:
            if self._probing:
                self._doubled = min(self._doubled + 1, DOUBLINGS)
                self._rest(route.rest * 2**self._doubled)
            return
        self._count(1)
        too_many = self._seen == WINDOW and self._window.bit_count() * 2 > WINDOW
        if too_many or self._failed_in_row >= route.failures:
            self._rest(route.rest)

    def asked_to_wait(self, seconds: float) -> None:
        """Let the target rest for as long as its provider has said, or longer if it must anyway."""
        self._rest(max(min(seconds, LONGEST), self.until - self._clock()))

    def _count(self, failure: int) -> None:
        self._failed_in_row = self._failed_in_row + 1 if failure else 0
        self._window = (self._window << 1 | failure) & ((1 << WINDOW) - 1)
        self._seen = min(self._seen + 1, WINDOW)

    def _rest(self, seconds: float) -> None:
        self._rested_at = self._clock()
        self._until = self._rested_at + seconds
        self._forget()

    def _forget(self) -> None:
        self._failed_in_row = self._window = self._seen = 0


class Unwatched(Standing):
    """Stands for a target that is asked whatever it did before: there is no other."""

    __slots__ = ()

    @override
    def enter(self) -> bool:
        return False

    @override
    def leave(self, *, probe: bool) -> None:
        del probe

    @override
    def worked(self, seconds: float | None = None, *, since: float | None = None) -> None:
        del seconds, since

    @override
    def failed(self, route: Route) -> None:
        del route

    @override
    def asked_to_wait(self, seconds: float) -> None:
        del seconds


#: That of a call which has one target alone. It has no state.
UNWATCHED = Unwatched()


class Standings:
    """Those of all targets of the routes, and the routes' own loads.

    `workers` counts what is in flight where that is limited; without it, this worker is alone.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        clock: Callable[[], float] = time.monotonic,
        workers: InFlight | None = None,
    ) -> None:
        self._targets: dict[tuple[str, str], Standing] = {}
        self._routes: dict[str, Load] = {}
        self._others = Unwatched()
        routes = list(routes)
        every = [target for each in routes for target in (*each.targets, *each.fallback)]
        limited = {(each.provider, each.model) for each in every if each.max_in_flight}
        for route in routes:
            shared = workers.of(f"route {route.name}") if workers and route.max_in_flight else None
            self._routes[route.name] = Load(shared)
        for target in every:
            place = (target.provider, target.model)
            if place not in self._targets:
                shared = (
                    workers.of(f"target {target.provider} {target.model}")
                    if workers and place in limited
                    else None
                )
                self._targets[place] = Standing(clock, shared)

    def of(self, target: Target) -> Standing:
        """Return a target's; one that is no route's is not watched."""
        return self._targets.get((target.provider, target.model), self._others)

    def load(self, route: Route) -> Load:
        """Return a route's; what is no route of the operator's has no limit and a new one."""
        return self._routes.get(route.name) or Load()
