"""Which target serves a call, and which one after it: the order, the way on, the end of it."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from standpipe.calls import incoming as control
from standpipe.calls.attempts import Turn, Upstream
from standpipe.calls.call import Call
from standpipe.calls.in_flight import InFlight
from standpipe.calls.incoming import Incoming
from standpipe.calls.mixtures import Mixture
from standpipe.calls.routes import Route, Routes, Target
from standpipe.calls.standing import Load, Standing, Standings
from standpipe.errors import (
    ApiError,
    BadRequest,
    NotACompletion,
    Refused,
    RequestError,
    Unavailable,
    UpstreamError,
)

#: Targets that one call is tried at, at most.
MOST = 16
#: Models with one target whose turn is remembered, at most: a provider may have any names.
MOST_TURNS = 1024
#: Seconds between two looks for room.
_LOOK_S = 0.05
#: Statuses under 500 that another target may not answer with.
_ELSEWHERE = frozenset((402, 404, 408, 429))

#: Serves a call at the target whose turn it is.
Serve = Callable[[Turn], Awaitable[None]]
#: Raises RequestError where a target cannot honour what the call asks for.
Check = Callable[[Target, Upstream], object]


class Dispatch:
    """Sends calls to targets; what it knows of them is this worker's own.

    `workers` counts what all workers have in flight, and `rng` decides where chance does.
    """

    def __init__(
        self,
        routes: Routes,
        upstreams: Mapping[str, Upstream],
        *,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        workers: InFlight | None = None,
    ) -> None:
        self._routes = routes
        self._upstreams = upstreams
        self._standings = Standings(routes.own(), clock, workers)
        #: Those of models that have one target: always the same.
        self._turns: dict[str, Turn] = {}
        self._rng = rng or random.Random()  # noqa: S311 - shares of load are no secret

    def dialect_of(self, model: object, incoming: Incoming) -> str | None:
        """Return the dialect that all targets of a call speak, None if there is no such one."""
        if not isinstance(model, str) or self._routes.mixture(model) is not None:
            return None
        try:
            targets = self.targets(model, incoming)
        except RequestError:  # told when the call is served
            return None
        spoken = {self._upstreams[t.provider].provider.dialect.name for t in targets}
        return spoken.pop() if len(spoken) == 1 else None

    def targets(self, model: str, incoming: Incoming) -> list[Target]:
        """Return every target that a call may be tried at; those of a mixture in its order.

        Raises NotFound or BadRequest for a model that leads nowhere.
        """
        mixture = self._routes.mixture(model)
        if mixture is not None:
            return self._all_targets(mixture, incoming)
        routes = self._chain(model, incoming)
        return [target for route in routes for target in (*route.targets, *route.fallback)]

    def _all_targets(self, mixture: Mixture, incoming: Incoming) -> list[Target]:
        found: list[Target] = []
        for each in mixture.candidates:
            own = {"n": each.number, "temperature": each.temperature}
            found += [
                msgspec.structs.replace(target, parameters={**own, **target.parameters})
                for target in self.targets(each.model, incoming)
            ]
        return found + [
            target
            for model in (mixture.critique, mixture.final)
            for target in self.targets(model, incoming)
        ]

    def sticky(self, model: str, call: Call) -> list[str | None]:
        """Return the values by which a call keeps to some of its targets, route by route."""
        mixture = self._routes.mixture(model)
        models = [model] if mixture is None else mixture.models
        routes = [route for each in models for route in self._chain(each, call.incoming)]
        return [call.metadata.get(route.sticky) for route in routes if route.sticky]

    def mixture(self, model: str) -> Mixture | None:
        """Return the mixture of a name, None for one that is a model or nothing."""
        return self._routes.mixture(model)

    def answers(self, model: str) -> int:
        """Return how many answers are made for one of a model: more than one by a mixture."""
        mixture = self._routes.mixture(model)
        return 1 if mixture is None else mixture.answers

    def only(self, call: Call, model: str) -> Turn | None:
        """Return the turn of the one target that there is for a call, None if there may be more.

        Raises NotFound or BadRequest for a model that leads nowhere.
        """
        turn = self._turns.get(model) or self._only(model)
        if turn is None or call.incoming.fallback is not None:
            return None
        call.target = turn.target
        return turn

    def _only(self, model: str) -> Turn | None:
        if self._routes.mixture(model) is not None:
            return None
        route = self._routes.resolve(model)
        if not route.is_plain:
            return None
        target = route.targets[0]
        turn = Turn(route, target, self._upstreams[target.provider])
        if len(self._turns) < MOST_TURNS:
            self._turns[model] = turn
        return turn

    async def serve(self, call: Call, model: str, serve: Serve, check: Check) -> None:
        """Serve a call at its targets, one after the other until one answers.

        Raises NotFound or BadRequest for a model that leads nowhere; what a target says that is
        the caller's to know; the error that promises most where all have failed; Unavailable where
        all have as many calls as they may.
        """
        routes = self._chain(model, call.incoming)
        found = [each for route in routes for each in self._candidates(route, call.metadata)]
        await Chain(call, found[:MOST], check).serve(serve)

    def _chain(self, model: str, incoming: Incoming) -> list[Route]:
        """Return the route of the model, and those of the models that the caller has named."""
        routes = [self._routes.resolve(model)]
        for named in control.fallback(incoming):
            try:
                routes.append(self._routes.resolve(named))
            except RequestError as error:
                raise BadRequest(
                    f"standpipe-fallback: {named[:256]!r}: {error.message}",
                    param="standpipe-fallback",
                ) from None
        return routes

    def _candidates(self, route: Route, metadata: Mapping[str, str]) -> list[Candidate]:
        """Return the targets of a route in the order in which this call prefers them."""
        load = self._standings.load(route)
        value = metadata.get(route.sticky) if route.sticky else None
        ranked = self._ranked(route, value)
        return [
            Candidate(
                route, target, self._upstreams[target.provider], self._standings.of(target), load
            )
            for target in (*ranked, *route.fallback)
        ]

    def _ranked(self, route: Route, value: str | None) -> list[Target]:
        if value is not None:
            return sorted(route.targets, key=lambda target: _drawn(value, target))
        # The first of independent clocks to ring is each with the share of its rate.
        ranked = sorted(route.targets, key=lambda target: self._rng.expovariate(target.weight))
        standing = self._standings.of
        # What is probed back is probed by the next call, and so comes first.
        ranked.sort(key=lambda target: not standing(target).is_due)
        if route.choice == "fastest":
            _faster_first(ranked, standing)
        return ranked


def _faster_first(ranked: list[Target], standing: Callable[[Target], Standing]) -> None:
    """Let the faster of the first two that are awake be the first (power of two choices)."""
    awake = [place for place, target in enumerate(ranked) if standing(target).is_awake][:2]
    if len(awake) < 2 or standing(ranked[awake[0]]).is_due:
        return
    first, second = awake
    if standing(ranked[second]).latency < standing(ranked[first]).latency:
        ranked[first], ranked[second] = ranked[second], ranked[first]


def _drawn(value: str, target: Target) -> float:
    """Return what an exponential clock of a target's weight shows for a value, always the same.

    Weighted rendezvous hashing: the order is the same at every worker, and a target that goes
    moves its own values alone.
    """
    identity = msgspec.json.encode((value, target.provider, target.model, target.parameters))
    digest = hashlib.blake2b(identity, digest_size=8).digest()
    return -math.log((int.from_bytes(digest) + 0.5) / 2**64) / target.weight


class Candidate(msgspec.Struct, frozen=True):
    """A target in the order of a call."""

    route: Route
    target: Target
    upstream: Upstream
    standing: Standing
    load: Load

    @property
    def is_full(self) -> bool:
        """Tell one that has as many calls as it, or its route, may have."""
        return self.standing.reaches(self.target.max_in_flight) or self.load.reaches(
            self.route.max_in_flight
        )


class Chain:
    """The targets of one call, tried until one answers; those that rest come last."""

    def __init__(self, call: Call, candidates: Iterable[Candidate], check: Check) -> None:
        self._call = call
        self._left = list(candidates)
        self._check = check
        self._failures: list[ApiError] = []
        self._refusals: list[tuple[RequestError, Target]] = []
        #: One that does not rest has had its turn.
        self._tried_awake = False

    async def serve(self, serve: Serve) -> None:
        """Serve the call at one target after the other; raise what it fails with."""
        while (candidate := await self._next()) is not None:
            try:
                await self._visit(candidate, serve)
            except ApiError as error:
                if self._call.answered or _is_final(error):
                    raise
                if not isinstance(error, NotACompletion):  # nobody bills for what is no answer
                    self._call.throw_away()
                self._note(error, candidate.target)
            else:
                return
        raise self._told()

    async def _visit(self, candidate: Candidate, serve: Serve) -> None:
        """Serve the call at one target, counting it in and out."""
        turn = self._turn(candidate)
        self._call.retried = bool(self._call.attempts)
        self._call.turn_to(candidate.target)
        probe = candidate.standing.enter()
        candidate.load.add(1)
        try:
            await serve(turn)
        finally:
            candidate.load.add(-1)
            candidate.standing.leave(probe=probe)

    async def _next(self) -> Candidate | None:
        """Take out the next that has room; of those that rest, the one that wakes first.

        A call that is part of another waits for room: who made that has said how long it may.
        """
        while not (free := [each for each in self._left if not each.is_full]):
            if not self._left or self._call.parent is None:
                return None
            await asyncio.sleep(_LOOK_S)
        awake = next((each for each in free if each.standing.is_awake), None)
        chosen = awake or min(free, key=lambda each: each.standing.until)
        self._left.remove(chosen)
        return chosen

    def _turn(self, candidate: Candidate) -> Turn:
        """Return its turn; an attempt is made again where no other target is left."""
        rests = not candidate.standing.is_awake
        was_last_resort = rests and self._tried_awake
        self._tried_awake = self._tried_awake or not rests

        def may_repeat() -> bool:
            return not was_last_resort and not any(
                self._is_left(each, resting=rests) for each in self._left
            )

        return Turn(
            candidate.route, candidate.target, candidate.upstream, candidate.standing, may_repeat
        )

    def _is_left(self, candidate: Candidate, *, resting: bool) -> bool:
        """Tell a target that the call would be tried at next; `resting`, also one that rests."""
        if candidate.is_full or not (resting or candidate.standing.is_awake):
            return False
        try:
            self._check(candidate.target, candidate.upstream)
        except RequestError:
            return False
        return True

    def _note(self, error: ApiError, target: Target) -> None:
        if isinstance(error, RequestError):
            self._refusals.append((error, target))
        else:
            self._failures.append(error)

    def _told(self) -> ApiError:
        """Return the error to tell: one that says when to come again, else the last."""
        if self._left:
            self._failures.append(_too_busy(self._left[0].route))
        if not self._failures:
            error, self._call.target = self._refusals[0]
            return error
        waits = [error for error in self._failures if error.retry_after is not None]
        return min(waits, key=lambda e: e.retry_after or 0.0) if waits else self._failures[-1]


def _is_final(error: ApiError) -> bool:
    """Tell an answer that is about the request: no other target need be asked."""
    if isinstance(error, Refused):
        return error.status < 500 and error.status not in _ELSEWHERE
    return not isinstance(error, UpstreamError | Unavailable | RequestError)


def _too_busy(route: Route) -> Unavailable:
    named = f"the route {route.name!r}" if route.name else "this model"
    return Unavailable(f"{named} has as many calls in flight as max_in_flight allows; try again")
