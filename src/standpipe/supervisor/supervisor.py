"""Keeps children running until a signal comes, and replaces them at another."""

from __future__ import annotations

import contextlib
import math
import selectors
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from standpipe.supervisor.child import Backoff, Child, ChildSpec, ChildState
from standpipe.supervisor.reload import Reload
from standpipe.supervisor.terminal import Terminal

Ready = dict[str, dict[str, Any]]


class Owner:
    """What is told of all that happens, and decides what is wanted; for who needs to know."""

    def on_ready(self, ready: Ready) -> None:
        """Hear, once, that all are ready or, if not essential, have failed.

        `ready` has the ready line of each child that has one, by name.
        """

    def on_reload(self) -> Sequence[ChildSpec] | None:
        """Return what is wanted from now on, None to leave all as it is."""
        return None

    def on_reloaded(self, *, is_whole: bool) -> None:
        """Hear that what was wanted is there; not if a replacement could not start."""

    def on_end(self, name: str, pid: int) -> None:
        """Hear that a child's process has ended, however it did."""

    def on_stop(self) -> None:
        """Hear that the first child will be stopped: the time to close listening sockets."""


class Supervisor:
    """Keeps its children running until a signal comes; `run` may be called once."""

    def __init__(
        self,
        children: Sequence[ChildSpec],
        owner: Owner,
        *,
        backoff: Backoff = Backoff(),  # noqa: B008  # immutable
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self._backoff = backoff
        self._owner = owner
        self._children = [self._make(spec) for spec in children]
        self._terminal = Terminal()
        self._ignores_hang_up = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._reload: Reload | None = None
        self._interrupts = 0
        self._hung_up = False
        self._wants_reload = False
        self._is_ready = False
        self._stopping = False
        self._failed = False

    def run(self) -> int:
        """Run until SIGTERM or SIGINT, or until the terminal is closed; return the exit status.

        If an essential child cannot start, all are stopped and the status is 1; so it is if one
        with work to finish could not. At a second SIGINT every child is killed at once and the
        status is 130. At SIGHUP the children are brought to what the owner wants then.
        """
        with self._signals():
            for child in self._children:
                child.start()
            while not self._stopping:
                self._step()
            return self._stop()

    def state(self) -> dict[str, ChildState]:
        """Return every child by name, but for those on their way in or out."""
        settled = [each for each in self._children if not (each.is_trial or each.is_leaving)]
        return {child.spec.name: child.state() for child in settled}

    def _make(self, spec: ChildSpec) -> Child:
        return Child(spec, self._backoff, self._selector)

    def _step(self) -> None:
        """Wait for something to happen, and see to it."""
        self._wait(self._children)
        for child in self._children:
            child.tick()
        if self._hung_up:
            self._hung_up = False
            self._on_hang_up()
        if not self._is_ready:
            self._check_start()
        if self._is_ready:
            self._go_on_reloading()

    def _wait(self, children: Sequence[Child]) -> None:
        """Wait until something has happened, or is due for one of these; take note of it."""
        until = min((child.due for child in children), default=math.inf)
        timeout = None if until == math.inf else max(0.0, until - time.monotonic())
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Child):
                key.data.read()
            else:
                key.data.recv(4096)
        for child in self._children:
            pid = child.reap()
            if pid is not None:
                self._owner.on_end(child.spec.name, pid)

    def _on_hang_up(self) -> None:
        """Stop if it was the terminal that hung up, but under nohup go on; else reload."""
        if not self._terminal.was_lost():
            self._wants_reload = True
        elif not self._ignores_hang_up:
            self._stopping = True

    def _check_start(self) -> None:
        essential = [child for child in self._children if child.spec.essential]
        if any(child.has_failed_to_start() for child in essential):
            self._failed = self._stopping = True
        elif all(child.is_settled() for child in self._children):
            self._is_ready = True
            ready = [child for child in self._children if child.phase == "ready"]
            self._owner.on_ready({child.spec.name: child.report for child in ready})

    def _go_on_reloading(self) -> None:
        if self._reload is None and self._wants_reload:
            self._begin_reload()
        while self._reload is not None and self._reload.step():
            done, self._reload = self._reload, None
            self._owner.on_reloaded(is_whole=done.is_whole)
            if self._wants_reload:
                self._begin_reload()
        gone = [each for each in self._children if each.is_leaving and each.phase == "stopped"]
        for child in gone:
            self._children.remove(child)

    def _begin_reload(self) -> None:
        self._wants_reload = False
        wanted = self._owner.on_reload()
        if wanted is not None:
            self._reload = Reload(self._children, wanted, self._make)

    def _stop(self) -> int:
        self._owner.on_stop()
        for child in self._children:
            child.end()
        for order in sorted({child.spec.stop_order for child in self._children}):
            self._stop_group([c for c in self._children if c.spec.stop_order == order])
        if self._interrupts > 1:
            return 130
        has_left_work = any(child.has_left_work for child in self._children)
        return 1 if self._failed or has_left_work else 0

    def _stop_group(self, group: Sequence[Child]) -> None:
        for child in group:
            child.terminate()
        while running := [child for child in group if child.phase != "stopped"]:
            if self._interrupts > 1:
                for child in self._children:
                    child.kill()
            self._wait(running)
            for child in running:
                child.tick()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn signals into wake-ups of the selector while the block runs."""
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        self._selector.register(near, selectors.EVENT_READ, near)
        former_fd = signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)
        handled = [number for number in _HANDLED if signal.getsignal(number) != signal.SIG_IGN]
        # One that is ignored under nohup may still be sent by a person.
        handled += [signal.SIGHUP]
        former = {number: signal.signal(number, self._take_signal) for number in handled}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)
            self._selector.close()
            near.close()
            far.close()

    def _take_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stopping = self._stopping or number in _STOPPING
        self._hung_up = self._hung_up or number == signal.SIGHUP
        self._interrupts += number == signal.SIGINT


_STOPPING = (signal.SIGTERM, signal.SIGINT)
_HANDLED = (*_STOPPING, signal.SIGCHLD)
