"""From the children that run to those that are wanted, one after the other."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Sequence

from standpipe.supervisor.child import Child, ChildSpec

logger = logging.getLogger("standpipe.supervisor")


class Reload:
    """Replaces children while they serve.

    Those that overlap are replaced whether or not they changed: one after the other, and each only
    once its replacement is ready. If a replacement cannot start, what runs stays as it is. Then the
    others that changed are ended and started anew, what is new is started, and what is wanted no
    more is ended. `children` is the supervisor's own list, in which all this happens; `make` makes
    a child that is not started yet.
    """

    def __init__(
        self,
        children: list[Child],
        wanted: Sequence[ChildSpec],
        make: Callable[[ChildSpec], Child],
    ) -> None:
        #: Every replacement was ready.
        self.is_whole = False
        self._children = children
        self._wanted = wanted
        self._make = make
        self._steps = self._all()

    def step(self) -> bool:
        """Do what can be done now; whether that was all."""
        return next(self._steps, True) is True

    def _all(self) -> Iterator[None]:
        """Yield where something has to happen first."""
        for spec in self._wanted:
            if spec.overlaps:
                replacement = self._tried(spec)
                while replacement.phase == "starting":
                    yield
                if replacement.phase != "ready":
                    self._give_up(replacement)
                    return
                self._take_over(replacement)
        self._dismiss(overlaps=True)
        for spec in self._wanted:
            former = self._current(spec.name)
            if not spec.overlaps and (former is None or former.spec != spec):
                yield from self._restart(former, spec)
        self._dismiss(overlaps=False)
        self.is_whole = True

    def _take_over(self, replacement: Child) -> None:
        former = self._current(replacement.spec.name)
        replacement.is_trial = False
        if former is not None:
            former.leave(signal.SIGUSR1)

    def _give_up(self, replacement: Child) -> None:
        replacement.is_leaving = True
        name = replacement.spec.name
        logger.error("the new %s was not ready; what is not replaced yet stays as it is", name)

    def _restart(self, former: Child | None, spec: ChildSpec) -> Iterator[None]:
        following = self._make(spec)
        # There from now on: if all are stopped meanwhile, it may have work to finish.
        self._children.append(following)
        if former is not None:
            former.leave()
            while former.phase != "stopped":
                yield
        following.start()

    def _dismiss(self, *, overlaps: bool) -> None:
        """End what is wanted no more."""
        names = {spec.name for spec in self._wanted}
        for child in self._children:
            is_wanted = child.spec.name in names or child.is_leaving
            if child.spec.overlaps is overlaps and not is_wanted:
                child.leave(signal.SIGUSR1 if overlaps else signal.SIGTERM)

    def _tried(self, spec: ChildSpec) -> Child:
        child = self._make(spec)
        child.is_trial = True
        self._children.append(child)
        child.start()
        return child

    def _current(self, name: str) -> Child | None:
        """Return the child of a name that is no replacement on trial and not leaving."""
        for child in self._children:
            if child.spec.name == name and not (child.is_trial or child.is_leaving):
                return child
        return None
