"""One child of the supervisor: what it is to be, and its process through all its starts.

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
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, Literal, NamedTuple

logger = logging.getLogger("standpipe.supervisor")

Phase = Literal["starting", "ready", "waiting", "stopped"]


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
    #: True for a child whose replacement may run beside it: when that is ready, it is told by
    #: SIGUSR1 to leave the work to come to it.
    overlaps: bool = False
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


class Child:
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
        #: It takes another's place once it is ready: until then it is started only once.
        self.is_trial = False
        #: It was told to end for good, while the others go on.
        self.is_leaving = False
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
        """Return it as it is now."""
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
        """Start its process."""
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

    def reap(self) -> int | None:
        """Notice if it has ended, and plan its next start unless it was to end.

        Returns the id that its process had, None if there was no end to notice.
        """
        process = self._process
        if process is None or process.poll() is None:
            return None
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
        return process.pid

    def _ended(self, ending: str) -> None:
        is_over = self._is_told or (self._is_ending and not self._must_finish())
        if is_over or self.is_trial:
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
        late = "did not end" if self._is_ending or self._is_told else "was not ready"
        logger.error("%s %s in time and is killed", self.spec.name, late)
        self.kill()

    def end(self) -> None:
        """Let it run, but start it no more, unless it has work to finish."""
        self._is_ending = True
        if self._process is not None:
            self.due = math.inf
        elif not self._must_finish():
            self._rest()

    def leave(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it by a signal to end within its grace, for good."""
        self.is_leaving = self._is_told = True
        if self._process is None:
            self._rest()
            return
        self.due = time.monotonic() + self.spec.grace
        self._process.send_signal(number)

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
