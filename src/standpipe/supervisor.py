"""The process tree: starts children, watches them, starts them again, stops them in order.

Standard library only, so that it stays small. It knows no worker, engine or drain: what each
child is gets decided by who builds the `ChildSpec`s.

A child is given one line of JSON on its standard input, which stays open: its end means that the
supervisor is gone, and the child should go too. It answers with one line of JSON on its standard
output, `{"ready": true, ...}` or `{"ready": false, "error": "why"}`. Each child has a session of
its own: a Ctrl-C at the terminal reaches the supervisor alone, which then decides.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import IO, Any, Literal, NamedTuple

logger = logging.getLogger("standpipe.supervisor")

Phase = Literal["starting", "ready", "waiting", "stopped"]
Ready = dict[str, dict[str, Any]]


class ChildSpec(NamedTuple):
    """What to start, and how much it matters."""

    name: str
    argv: Sequence[str]
    #: The line on its standard input; secrets belong here, never in `argv`.
    spec: Mapping[str, Any]
    #: File descriptors it inherits, each time it is started.
    pass_fds: tuple[int, ...] = ()
    #: Seconds from its start to its ready line; then it is killed.
    ready_timeout: float = 30.0
    #: False for a child without which the others are of use.
    essential: bool = True
    #: The lowest are stopped first; equals together.
    stop_order: int = 0
    #: Seconds from SIGTERM to SIGKILL.
    grace: float = 25.0
    #: True for a child that has work to finish at the stop: it is started for that if it is not
    #: there, and not signalled before it is ready.
    finishes: bool = False
    #: True for a child that is not started again once it has ended with status 0.
    once: bool = False
    #: Its environment, None for ours: who needs no secret should not have any.
    environment: Mapping[str, str] | None = None


class Backoff(NamedTuple):
    """How long a child that ended waits for its next start, in seconds."""

    first: float = 0.1
    longest: float = 5.0
    #: A child that lived this long starts at `first` again.
    settled: float = 10.0


class ChildState(NamedTuple):
    """One child as it is now."""

    name: str
    phase: Phase
    #: None while there is no process.
    pid: int | None
    #: Starts after the first.
    restarts: int


class Supervisor:
    """Keeps its children running until a signal comes; `run` may be called once.

    `on_stop` is called before the first child is stopped: the place to close listening sockets,
    which the children inherited.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        backoff: Backoff = Backoff(),  # noqa: B008  # immutable
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self._children = [_Child(spec, backoff, self._selector) for spec in children]
        self._on_stop = on_stop
        self._on_ready: Callable[[Ready], None] | None = None
        self._interrupts = 0
        self._stopping = False
        self._failed = False

    def run(self, on_ready: Callable[[Ready], None]) -> int:
        """Run until SIGTERM, SIGINT or SIGHUP; return the exit status.

        `on_ready` is called once, with the ready line of each child that has one by name, when all
        are ready or, if not essential, have failed. If an essential one cannot start, all are
        stopped and the status is 1; so it is if one with work to finish could not. At a second
        SIGINT every child is killed at once and the status is 130.
        """
        self._on_ready = on_ready
        with self._signals():
            for child in self._children:
                child.start()
            while not self._stopping:
                self._step()
            return self._stop()

    def state(self) -> dict[str, ChildState]:
        """Return every child by name."""
        return {child.spec.name: child.state() for child in self._children}

    def _step(self) -> None:
        """Wait for something to happen, and see to it."""
        self._wait(min((child.due for child in self._children), default=math.inf))
        for child in self._children:
            child.reap()
            child.tick()
        if self._on_ready is not None:
            self._check_start(self._on_ready)

    def _wait(self, until: float) -> None:
        timeout = None if until == math.inf else max(0.0, until - time.monotonic())
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, _Child):
                key.data.read()
            else:
                key.data.recv(4096)

    def _check_start(self, on_ready: Callable[[Ready], None]) -> None:
        essential = [child for child in self._children if child.spec.essential]
        if any(child.has_failed_to_start() for child in essential):
            self._failed = self._stopping = True
        elif all(child.is_settled() for child in self._children):
            self._on_ready = None
            ready = [child for child in self._children if child.phase == "ready"]
            on_ready({child.spec.name: child.report for child in ready})

    def _stop(self) -> int:
        if self._on_stop is not None:
            self._on_stop()
        for child in self._children:
            child.end()
        for order in sorted({child.spec.stop_order for child in self._children}):
            self._stop_group([c for c in self._children if c.spec.stop_order == order])
        if self._interrupts > 1:
            return 130
        has_left_work = any(child.has_left_work for child in self._children)
        return 1 if self._failed or has_left_work else 0

    def _stop_group(self, group: Sequence[_Child]) -> None:
        for child in group:
            child.terminate()
        while running := [child for child in group if child.phase != "stopped"]:
            if self._interrupts > 1:
                for child in self._children:
                    child.kill()
            self._wait(min(child.due for child in running))
            for child in self._children:
                child.reap()
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
        # Under nohup a hang-up stays ignored.
        handled = [number for number in _HANDLED if signal.getsignal(number) != signal.SIG_IGN]
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
        self._stopping = self._stopping or number != signal.SIGCHLD
        self._interrupts += number == signal.SIGINT


class _Child:
    """One child through all its starts."""

    def __init__(self, spec: ChildSpec, backoff: Backoff, selector: selectors.BaseSelector) -> None:
        self.spec = spec
        self.phase: Phase = "waiting"
        #: The ready line of the process that runs now.
        self.report: dict[str, Any] = {}
        #: It had work to finish, and ended without.
        self.has_left_work = False
        #: When `tick` has something to do, by the monotonic clock.
        self.due = math.inf
        self._backoff = backoff
        self._selector = selector
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._started = 0.0
        self._first_started = math.inf
        self._delay = backoff.first
        self._is_ending = False
        self._is_told = False
        self._has_refused = False
        self._output = b""

    def state(self) -> ChildState:
        pid = None if self._process is None else self._process.pid
        return ChildState(self.spec.name, self.phase, pid, max(0, self._starts - 1))

    def is_settled(self) -> bool:
        """Whether it is ready or, if others can do without it, is not about to be."""
        return self.phase == "ready" or (not self.spec.essential and self.phase != "starting")

    def has_failed_to_start(self) -> bool:
        """Whether it said that it cannot, or was not ready in all the time it has."""
        late = time.monotonic() - self._first_started > self.spec.ready_timeout
        return self.phase != "ready" and (self._has_refused or late)

    def start(self) -> None:
        self._starts += 1
        self._started = time.monotonic()
        self._first_started = min(self._started, self._first_started)
        self._has_refused = False
        self._output = b""
        try:
            self._process = self._spawn()
        except OSError as failure:
            self._refuse(str(failure))
            self._ended("could not be started")
            return
        self.phase = "starting"
        self.due = self._started + self.spec.ready_timeout

    def _spawn(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603  # what runs is our own composition
            list(self.spec.argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.spec.environment,
            pass_fds=self.spec.pass_fds,
            start_new_session=True,
        )
        stdin, stdout = _pipes(process)
        os.set_blocking(stdout.fileno(), False)
        self._selector.register(stdout, selectors.EVENT_READ, self)
        with contextlib.suppress(BrokenPipeError):  # it has ended already: `reap` will see
            stdin.write(json.dumps(self.spec.spec).encode() + b"\n")
            stdin.flush()
        return process

    def read(self) -> None:
        """Take what it wrote so far."""
        if self._process is None:
            return
        _, stdout = _pipes(self._process)
        while data := _available(stdout):
            *lines, self._output = (self._output + data).split(b"\n")
            for line in lines:
                self._take(line)
        if data == b"" and stdout.fileno() in self._selector.get_map():
            self._selector.unregister(stdout)

    def _take(self, line: bytes) -> None:
        report = _report(line)
        if report is None or self.phase != "starting":
            logger.info("%s: %s", self.spec.name, line.decode(errors="replace"))
        elif report["ready"]:
            self.report = report
            self.phase = "ready"
            if not self._is_told:
                self.due = math.inf
        else:
            self._refuse(str(report.get("error", "it did not say why")))

    def _refuse(self, why: str) -> None:
        self._has_refused = True
        self._delay = self._backoff.longest
        logger.error("%s cannot start: %s", self.spec.name, why)

    def reap(self) -> None:
        """Notice if it has ended, and plan its next start unless it was to end."""
        process = self._process
        if process is None or process.poll() is None:
            return
        self.read()
        stdin, stdout = _pipes(process)
        if stdout.fileno() in self._selector.get_map():
            self._selector.unregister(stdout)
        stdout.close()
        with contextlib.suppress(BrokenPipeError):
            stdin.close()
        self._process = None
        self.has_left_work = self.spec.finishes and process.returncode != 0
        if self.spec.once and process.returncode == 0:
            self._rest()
        else:
            self._ended(_ending(process.returncode))

    def _ended(self, ending: str) -> None:
        if self._is_told or (self._is_ending and not self._must_finish()):
            self._rest()
        else:
            self._plan_restart(ending)

    def _must_finish(self) -> bool:
        return self.spec.finishes and not self._has_refused

    def _rest(self) -> None:
        self.phase = "stopped"
        self.due = math.inf

    def _plan_restart(self, ending: str) -> None:
        now = time.monotonic()
        if now - self._started >= self._backoff.settled and not self._has_refused:
            self._delay = self._backoff.first
        logger.warning("%s %s; next start in %g s", self.spec.name, ending, self._delay)
        self.phase = "waiting"
        self.due = now + self._delay
        self._delay = min(2 * self._delay, self._backoff.longest)

    def tick(self) -> None:
        """Do what is due: start again, or kill what took too long."""
        if time.monotonic() < self.due:
            return
        if self._process is None:
            self.start()
            return
        late = "did not end" if self._is_ending else "was not ready"
        logger.error("%s %s in time and is killed", self.spec.name, late)
        self.kill()

    def end(self) -> None:
        """Let it run, but start it no more, unless it has work to finish."""
        self._is_ending = True
        if self._process is not None:
            self.due = math.inf
        elif not self._must_finish():
            self._rest()

    def terminate(self) -> None:
        """Ask it to end, within its grace."""
        if self.phase == "waiting":
            self.start()
        self._is_told = True
        if self._process is None:
            self._rest()
            return
        self.due = time.monotonic() + self.spec.grace
        if self.spec.finishes and self.phase == "starting":
            # A signal would end it before it can hear one; the end of its input waits for it.
            with contextlib.suppress(BrokenPipeError):
                _pipes(self._process)[0].close()
        else:
            self._process.terminate()

    def kill(self) -> None:
        """End it, and all that it started."""
        self.due = math.inf
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a child is always started with pipes")
    return process.stdin, process.stdout


def _available(stream: IO[bytes]) -> bytes | None:
    """Return what can be read at once; empty at its end, None if there is nothing yet."""
    try:
        return os.read(stream.fileno(), 65536)
    except BlockingIOError:
        return None


def _report(line: bytes) -> dict[str, Any] | None:
    """Return the ready line, None if it is some other output."""
    try:
        report = json.loads(line)
    except ValueError:
        return None
    return report if isinstance(report, dict) and "ready" in report else None


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by signal {-status} ({signal.strsignal(-status)})"
