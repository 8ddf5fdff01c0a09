"""The drain as a process of its own: when it may begin, and when it ends."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import msgspec
from typing_extensions import override

from standpipe.config import Logging, Price, Retention
from standpipe.drain.drain import Drain, Sink, Stop
from standpipe.drain.housekeeping import Housekeeping
from standpipe.drain.metrics import Counts
from standpipe.drain.prices import Prices
from standpipe.drain.traces import Traces, TraceSpec
from standpipe.store.store import Store

#: Held by the one drain of a spool; another waits for it.
LOCK = "drain.lock"
_STDIN = 0

log = logging.getLogger(__name__)


class DrainSpec(msgspec.Struct, frozen=True):
    """What the supervisor says on standard input; the URL may hold a password."""

    store_url: str
    spool: str
    #: Seconds that a segment is kept once it is in the store.
    keep: float = 0.0
    #: Names of the metadata that usage is summed up by.
    usage_names: tuple[str, ...] = ()
    #: The operator's, by `provider/model`.
    prices: dict[str, Price] = {}
    #: The providers' base URLs, by name.
    urls: dict[str, str] = {}
    #: How long what is kept, where the project does not say.
    retention: Retention = Retention()
    #: Bytes of cached answers that the store may have.
    cache_bytes: int = 0
    #: URL of the Redis that has them instead, empty for none.
    cache_redis: str = ""
    logging: Logging = Logging()
    traces: TraceSpec = TraceSpec()

    @override
    def __repr__(self) -> str:
        return f"DrainSpec({self.spool!r})"


def run_process(spec: DrainSpec, *, on_ready: Callable[[], None] = lambda: None) -> int:
    """Drain a spool until SIGTERM, SIGINT or the end of stdin, then what is left; return the exit.

    The end of stdin means that the supervisor is gone. 0 if nothing is left in the spool, 1 if
    something had to be: it is drained after the next start. `on_ready` is called once signals are
    heard, whether or not the store is there and another drain still at work.
    """
    spool = Path(spec.spool)
    opened = Store.open(spec.store_url, usage_names=spec.usage_names)
    with closing(opened) as store, _until_told() as stop:
        on_ready()
        with _alone(spool, stop) as is_ours:
            if not is_ours:
                return 0  # another drain is at it and will finish
            with _sinks(spec) as sinks:
                prices = Prices(spec.prices, spec.urls)
                made = Drain(
                    spool,
                    store,
                    prices,
                    keep_s=spec.keep,
                    housekeeping=_housekeeping(spec, store, prices).step,
                    sinks=sinks,
                )
                with closing(made) as drain:
                    is_empty = drain.run(stop)
    if is_empty:
        return 0
    log.warning("the spool is not empty; the rest is drained after the next start")
    return 1


def _housekeeping(spec: DrainSpec, store: Store, prices: Prices) -> Housekeeping:
    forget = None
    if spec.cache_redis:
        from standpipe.calls.cache.redis_shelf import forget_others

        forget = partial(forget_others, spec.cache_redis)
    return Housekeeping(
        *(store, spec.retention, Path(spec.spool)),
        prices=prices,
        cache_bytes=spec.cache_bytes,
        forget=forget,
    )


@contextmanager
def _sinks(spec: DrainSpec) -> Iterator[Sequence[Sink]]:
    """Return who hears of what is stored; in the end, they pass on what they heard."""
    counts = Counts(Path(spec.spool))
    if not spec.traces.endpoint:
        yield [counts]
        return
    with closing(Traces(spec.traces, spec.urls, counts)) as traces:
        yield [traces, counts]
    traces.tell()
    with suppress(OSError):
        counts.tell()


class _Told:
    """The time to stop, which a signal or the end of stdin brings."""

    def __init__(self, wake: int) -> None:
        self._is_set = False
        self._wake = wake
        self._watched = [wake, _STDIN]

    def is_set(self) -> bool:
        return self._is_set or self.wait(0)

    def wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not self._is_set:
            left = max(0.0, deadline - time.monotonic())
            ready = select.select(self._watched, [], [], left)[0]
            if not ready:
                break
            self._read(ready)
        return self._is_set

    def _read(self, ready: list[int]) -> None:
        # What the supervisor may say on stdin means nothing here; only its end does.
        if self._wake in ready or not os.read(_STDIN, 4096):
            self._is_set = True


@contextmanager
def _until_told() -> Iterator[Stop]:
    """Turn SIGTERM and SIGINT into a byte in a pipe, so that a wait ends at once."""
    wake, told = os.pipe()
    os.set_blocking(told, False)
    before = {name: signal.signal(name, _ignore) for name in (signal.SIGTERM, signal.SIGINT)}
    woken = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    try:
        yield _Told(wake)
    finally:
        signal.set_wakeup_fd(woken)
        for name, handler in before.items():
            signal.signal(name, handler)
        os.close(wake)
        os.close(told)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Let the byte in the pipe speak; a signal without a handler would end the process."""


@contextmanager
def _alone(spool: Path, stop: Stop) -> Iterator[bool]:
    """Hold the lock of a spool, once the drain of a supervisor that died has finished with it.

    False if it was time to stop before that.
    """
    spool.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(spool / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not (is_ours := _locked(descriptor)):
            if stop.wait(0.1):
                break
        yield is_ours
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
