"""GET /metrics: what the drain has counted and what the workers say, in Prometheus's format."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from standpipe import __version__
from standpipe.api import ended
from standpipe.api.http import reader
from standpipe.api.presence import Presence
from standpipe.api.worker_state import WorkerState, now_us
from standpipe.calls.callers import Callers
from standpipe.calls.engine_states import EngineState, EngineStates
from standpipe.drain import metrics
from standpipe.drain.metrics import BUCKETS, Counted, Histogram, Labels, Metric
from standpipe.errors import Forbidden
from standpipe.spool import progress
from standpipe.spool.progress import Progress

#: As Prometheus asks for it.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PROCESS = ("worker", "pid")
BUILD = Metric("standpipe_build_info", "gauge", "1, of the version that answers.", ("version",))
STORE_UP = Metric(
    "standpipe_store_up", "gauge", "1 if the store answered the worker that answers, 0 if not."
)
DRAIN_AGE = Metric(
    "standpipe_drain_silent_seconds", "gauge", "How long nothing was heard of the drain."
)
WAITING_BYTES = Metric(
    "standpipe_spool_waiting_bytes", "gauge", "Bytes of records that are not stored yet."
)
LAG = Metric("standpipe_spool_lag_seconds", "gauge", "How long the oldest of them has waited.")
LOST = Metric(
    "standpipe_lost_streams_total",
    "counter",
    "Streams whose worker died, since the drain started.",
)
TORN = Metric(
    "standpipe_torn_segments_total",
    "counter",
    "Record files whose writer died while it wrote, since the drain started.",
)
DAMAGED = Metric(
    "standpipe_damaged_segments", "gauge", "Record files that are damaged and were put aside."
)
CONNECTIONS = Metric(
    "standpipe_connections", "gauge", "Clients' connections, idle or not.", _PROCESS
)
REQUESTS = Metric("standpipe_requests", "gauge", "Requests that are being answered.", _PROCESS)
WORKER_AGE = Metric(
    "standpipe_worker_silent_seconds", "gauge", "How long nothing was heard of it.", _PROCESS
)
SPOOL_OK = Metric(
    "standpipe_spool_ok", "gauge", "1 if a worker can write records, 0 if not.", _PROCESS
)
REFUSED = Metric(
    "standpipe_refused_requests_total",
    "counter",
    "Requests answered with an error that leave no record, since the worker started.",
    (*_PROCESS, "status", "reason"),
)
RECORDS = Metric(
    "standpipe_records_total",
    "counter",
    "Records by what became of them on the way to the disk, since the worker started.",
    (*_PROCESS, "result"),
)
CACHE_LOOKS = Metric(
    "standpipe_cache_looks_total",
    "counter",
    "Calls that asked for the cache, by where their answer was, since the worker started.",
    (*_PROCESS, "result"),
)
CACHE_ANSWERS = Metric(
    "standpipe_cache_answers_total",
    "counter",
    "Answers for the cache by what became of them, since the worker started.",
    (*_PROCESS, "result"),
)
CACHE_WRITTEN = Metric(
    "standpipe_cache_written_bytes_total",
    "counter",
    "Bytes of answers that were written to the cache, since the worker started.",
    _PROCESS,
)
CACHE_MEMORY = Metric(
    "standpipe_cache_memory_bytes", "gauge", "Bytes of answers in a worker's memory.", _PROCESS
)
POOL = Metric(
    "standpipe_pool_connections",
    "gauge",
    "Connections to a provider.",
    (*_PROCESS, "provider", "state"),
)
POOL_WAITING = Metric(
    "standpipe_pool_waiting_calls",
    "gauge",
    "Calls that wait for a connection to a provider.",
    (*_PROCESS, "provider"),
)
LATE = Metric(
    "standpipe_event_loop_late_seconds",
    "gauge",
    "By how much a worker's event loop was late when it was last looked at.",
    _PROCESS,
)
ENDED = Metric(
    "standpipe_processes_ended_total",
    "counter",
    "Processes of each child that have ended, also those that a reload replaced.",
    ("child",),
)
ENGINE_UP = Metric(
    *("standpipe_engine_up", "gauge", "1 if a local model's process answers, 0 if not."),
    ("engine",),
)
ENGINE_LOADED = Metric(
    *("standpipe_engine_loaded", "gauge", "1 if a local model is in memory, 0 if not."),
    ("engine",),
)
ENGINE_CALLS = Metric(
    *("standpipe_engine_calls", "gauge", "Calls that a local model answers or has waiting."),
    ("engine",),
)
#: Every metric there is.
METRICS: tuple[Metric, ...] = (
    *(*metrics.METRICS, BUILD, STORE_UP, DRAIN_AGE, WAITING_BYTES, LAG, LOST, TORN, DAMAGED),
    *(
        CONNECTIONS,
        REQUESTS,
        WORKER_AGE,
        LATE,
        SPOOL_OK,
        REFUSED,
        RECORDS,
        CACHE_LOOKS,
        CACHE_ANSWERS,
        CACHE_WRITTEN,
        CACHE_MEMORY,
        POOL,
        POOL_WAITING,
        ENDED,
    ),
    *(ENGINE_UP, ENGINE_LOADED, ENGINE_CALLS),
)

#: One value of a metric, and those of its labels.
Sample = tuple[Metric, Labels, float]


class Metrics:
    """The handler; `is_open` if it answers without a key."""

    def __init__(
        self,
        spool_dir: Path,
        presence: Presence,
        callers: Callers,
        engines: EngineStates,
        *,
        is_open: bool,
    ) -> None:
        self._spool_dir = spool_dir
        self._presence = presence
        self._callers = callers
        self._engines = engines
        self._is_open = is_open

    async def metrics(self, request: Request) -> Response:
        """GET /metrics: of all workers of this node; it asks the store nothing but the key."""
        if not self._is_open:
            await self._check(request)
        workers, engines = await asyncio.gather(self._presence.all(), self._engines.all())
        counted, told, gone = await asyncio.to_thread(self._read)
        here = [
            (BUILD, (__version__,), 1.0),
            (STORE_UP, (), float(self._callers.away is None)),
            *((ENDED, (child,), float(number)) for child, number in gone.items()),
        ]
        samples = [*here, *_of_drain(told), *_of_workers(workers), *_of_engines(engines)]
        return Response(text(counted, samples), headers={"content-type": CONTENT_TYPE})

    async def _check(self, request: Request) -> None:
        # The models' names and what they cost are every project's.
        caller = await reader(request, self._callers)
        if not caller.admin:
            raise Forbidden("/metrics tells of all projects: it wants an admin key")

    def _read(self) -> tuple[Counted, Progress | None, dict[str, int]]:
        gone = ended.told(self._presence.directory)
        return metrics.told(self._spool_dir), progress.told(self._spool_dir), gone


def text(counted: Counted, samples: Iterable[Sample]) -> bytes:
    """Return all in the text format, the series of a metric together."""
    now: dict[str, list[tuple[Labels, float]]] = {}
    for metric, labels, value in samples:
        now.setdefault(metric.name, []).append((labels, value))
    lines: list[str] = []
    for metric in METRICS:
        if metric.type == "histogram":
            found = list(_histogram(metric, counted.histograms.get(metric.name, ())))
        else:
            series = now.get(metric.name) or counted.counters.get(metric.name) or ()
            found = [_line(metric.name, metric.labels, *each) for each in series]
        lines += [*_head(metric), *found] if found else []
    return "".join(lines).encode()


def _of_drain(told: Progress | None) -> Iterator[Sample]:
    if told is None:
        return
    yield DRAIN_AGE, (), told.age_s()
    yield WAITING_BYTES, (), told.waiting
    yield LAG, (), told.lag_s()
    yield LOST, (), told.lost
    yield TORN, (), told.torn
    yield DAMAGED, (), told.aside


def _of_workers(workers: Iterable[WorkerState]) -> Iterator[Sample]:
    for worker in workers:
        # A process that takes another's place begins to count anew.
        own = worker.name, str(worker.pid)
        yield CONNECTIONS, own, worker.connections
        yield REQUESTS, own, worker.requests
        yield WORKER_AGE, own, max(0, now_us() - worker.at) / 1e6
        yield LATE, own, worker.late_s
        yield SPOOL_OK, own, float(worker.spool == "ok")
        for status, reason, count in worker.refused:
            yield REFUSED, (*own, str(status), reason), count
        for result, count in worker.records.items():
            yield RECORDS, (*own, result), count
        yield from _of_cache(own, worker.cache)
        for provider, pool in worker.pools.items():
            yield POOL, (*own, provider, "idle"), pool.idle
            yield POOL, (*own, provider, "busy"), pool.open - pool.idle
            yield POOL_WAITING, (*own, provider), pool.waiting


def _of_cache(own: Labels, done: Mapping[str, int]) -> Iterator[Sample]:
    if not done:
        return
    for result in ("memory", "store", "waited", "miss"):
        yield CACHE_LOOKS, (*own, result), done[result]
    for result in ("written", "dropped"):
        yield CACHE_ANSWERS, (*own, result), done[result]
    yield CACHE_WRITTEN, own, done["bytes"]
    yield CACHE_MEMORY, own, done["held_bytes"]


def _of_engines(engines: Mapping[str, EngineState | None]) -> Iterator[Sample]:
    for name, state in engines.items():
        yield ENGINE_UP, (name,), float(state is not None)
        if state is not None:
            yield ENGINE_LOADED, (name,), float(state.loaded)
            yield ENGINE_CALLS, (name,), state.calls


def _head(metric: Metric) -> tuple[str, str]:
    return f"# HELP {metric.name} {metric.help}\n", f"# TYPE {metric.name} {metric.type}\n"


def _histogram(metric: Metric, series: Iterable[tuple[Labels, Histogram]]) -> Iterator[str]:
    names = (*metric.labels, "le")
    ends = [*map(_number, BUCKETS), "+Inf"]
    for labels, histogram in series:
        for end, count in zip(ends, accumulate(histogram.counts), strict=True):
            yield _line(f"{metric.name}_bucket", names, (*labels, end), count)
        yield _line(f"{metric.name}_sum", metric.labels, labels, histogram.total)
        yield _line(f"{metric.name}_count", metric.labels, labels, sum(histogram.counts))


def _line(name: str, names: Sequence[str], labels: Labels, value: float) -> str:
    pairs = ",".join(f'{n}="{v.translate(_ESCAPED)}"' for n, v in zip(names, labels, strict=True))
    return f"{name}{{{pairs}}} {_number(value)}\n" if pairs else f"{name} {_number(value)}\n"


_ESCAPED: Mapping[int, str] = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
