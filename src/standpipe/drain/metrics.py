"""What the drain counts of the calls it has stored, in a file that `/metrics` is made of.

The calls themselves pay nothing for it, and one process knows all workers. What was told once is
read again at the next start, so a counter that a scraper has seen never goes back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from standpipe.spool import names
from standpipe.store.rows import Row
from standpipe.wire.record import Attempt, Usage

#: Where it is said, in the spool's directory.
FILE = "metrics.json"
#: Upper ends of the histograms' buckets, in seconds; one without end follows.
BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 20.0, 30.0, 60.0, 120.0, 300.0),
)
#: Models that have a label of their own, characters of its value, and series of one metric.
MOST_MODELS = 100
LONGEST = 128
MOST_SERIES = 2000
#: Tokens that a call may have: a report may say anything, and a counter never goes back.
MOST_TOKENS = 1 << 40
#: What stands for all beyond that, and for what there is not.
OTHER = "other"
NONE = "none"

Labels = tuple[str, ...]
# How much more there is of each series.
_More = defaultdict[Labels, float]


class Metric(NamedTuple):
    """What is told under one name."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()


_PLACE = ("provider", "model")
CALLS = Metric(
    *("standpipe_calls_total", "counter", "Calls that are stored, by how they ended."),
    ("kind", *_PLACE, "outcome", "status"),
)
DURATION = Metric(
    *("standpipe_call_duration_seconds", "histogram", "From a call's request to its end."),
    _PLACE,
)
FIRST_TOKEN = Metric(
    "standpipe_time_to_first_token_seconds",
    "histogram",
    "From a stream's request to the first byte of its answer.",
    _PLACE,
)
TOKENS = Metric(
    *("standpipe_tokens_total", "counter", "Tokens that calls have used."),
    ("kind", *_PLACE, "type"),
)
COST = Metric(
    *("standpipe_cost_dollars_total", "counter", "What calls have cost, where that is known."),
    ("kind", *_PLACE),
)
ATTEMPTS = Metric(
    *("standpipe_attempts_total", "counter", "Attempts at providers, by how they ended."),
    ("provider", "outcome"),
)
INSERTED = Metric("standpipe_records_inserted_total", "counter", "Records that were stored.")
SKIPPED = Metric(
    "standpipe_records_skipped_total",
    "counter",
    "Records of the spool that were in the store already, or were deleted from it.",
)
SPANS = Metric(
    "standpipe_spans_total", "counter", "Spans of traces, by what became of them.", ("result",)
)
#: Those that are counted of each row.
_OF_ROWS = (CALLS, TOKENS, COST, ATTEMPTS)
METRICS = (CALLS, DURATION, FIRST_TOKEN, TOKENS, COST, ATTEMPTS, INSERTED, SKIPPED, SPANS)


class Histogram(msgspec.Struct):
    """How many values fell into each bucket, and their sum."""

    counts: list[int]
    total: float = 0.0

    def add(self, value: float) -> None:
        """Count a value, in seconds."""
        self.counts[bisect_left(BUCKETS, value)] += 1
        self.total += value


class Counted(msgspec.Struct):
    """Every series by its metric's name, each with the values of its labels."""

    counters: dict[str, list[tuple[Labels, float]]] = {}
    histograms: dict[str, list[tuple[Labels, Histogram]]] = {}


class Counts:
    """Counts the rows of one drain; goes on from what was told last."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        former = told(directory)
        self._counters = {
            each.name: dict(former.counters.get(each.name, ()))
            for each in METRICS
            if each.type == "counter"
        }
        self._histograms = {
            each.name: dict(_of_these_buckets(former.histograms.get(each.name) or ()))
            for each in METRICS
            if each.type == "histogram"
        }
        self._models = {labels[2] for labels in self._counters[CALLS.name]}
        self._has_news = True

    def take(self, rows: Sequence[Row], inserted: int) -> None:
        """Count rows that were committed, so many of which were not there before.

        Where only some of them were, which ones is not known, and all are counted.
        """
        self.count(INSERTED, (), inserted)
        self.count(SKIPPED, (), len(rows) - inserted)
        if inserted:
            counted = [_More(int) for _ in _OF_ROWS]
            for row in rows:
                self._take(row, *counted)
            for metric, found in zip(_OF_ROWS, counted, strict=True):
                for labels, more in found.items():
                    self.count(metric, labels, more)

    def count(self, metric: Metric, labels: Labels, more: float) -> None:
        """Add to one series of a metric."""
        if not more:
            return
        series = self._counters[metric.name]
        if labels not in series and len(series) >= MOST_SERIES:
            labels = (OTHER,) * len(labels)
        series[labels] = series.get(labels, 0) + more
        self._has_news = True

    def tell(self) -> None:
        """Write it down if there is news; OSError if that cannot be written."""
        if self._has_news:
            counted = Counted(
                {name: list(series.items()) for name, series in self._counters.items()},
                {name: list(series.items()) for name, series in self._histograms.items()},
            )
            part = self._directory / (FILE + names.PART)
            part.write_bytes(msgspec.json.encode(counted))
            part.rename(self._directory / FILE)
            self._has_news = False

    def _take(self, row: Row, calls: _More, tokens: _More, costs: _More, attempts: _More) -> None:
        kind, model = row.kind, self._model(row)
        place = row.provider or NONE, model
        calls[(kind, *place, row.outcome, NONE if row.status is None else str(row.status))] += 1
        for name, count in _tokens(row.usage):
            tokens[(kind, *place, name)] += count
        if row.cost is not None and row.cost > 0:
            costs[(kind, *place)] += float(row.cost)
        for attempt in row.attempts:
            attempts[(attempt.provider, _ending(attempt))] += 1
        # What a report tells of was not answered here, and when a lost stream ended nobody saw.
        if row.kind != "report" and row.outcome != "lost":
            self._time(DURATION, place, row.received_at - row.requested_at)
            if row.streamed and row.first_byte_at is not None:
                self._time(FIRST_TOKEN, place, row.first_byte_at - row.requested_at)

    def _model(self, row: Row) -> str:
        """Return the label of a row's model: a caller may ask for any, and name it at length."""
        name = row.model or NONE
        if name in self._models:
            return name
        # One that was refused may be a name that nobody has.
        is_known = row.outcome in ("complete", "cut", "failed")
        if not is_known or len(self._models) >= MOST_MODELS or len(name) > LONGEST:
            return OTHER
        self._models.add(name)
        return name

    def _time(self, metric: Metric, labels: Labels, length_us: int) -> None:
        series = self._histograms[metric.name]
        if labels not in series and len(series) >= MOST_SERIES:
            labels = (OTHER,) * len(labels)
        found = series.setdefault(labels, Histogram([0] * (len(BUCKETS) + 1)))
        found.add(max(0, length_us) / 1e6)


def told(directory: Path) -> Counted:
    """Return what was told last, nothing if nothing was that can be read."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((directory / FILE).read_bytes(), type=Counted)
    return Counted()


def _of_these_buckets(
    series: Iterable[tuple[Labels, Histogram]],
) -> Iterator[tuple[Labels, Histogram]]:
    """Yield what another version, with other buckets, has not counted."""
    for labels, histogram in series:
        if len(histogram.counts) == len(BUCKETS) + 1:
            yield labels, histogram


def _tokens(usage: Usage | None) -> Iterator[tuple[str, int]]:
    """Yield the tokens of each kind; those behind the first two are among them."""
    if usage is None:
        return
    counts = (
        ("input", usage.prompt_tokens),
        ("output", usage.completion_tokens),
        ("cached_input", usage.cached_tokens),
        ("cache_write", usage.cache_write_tokens),
        ("reasoning", usage.reasoning_tokens),
    )
    for name, count in counts:
        if count and 0 < count <= MOST_TOKENS:
            yield name, count


def _ending(attempt: Attempt) -> str:
    if attempt.status is None:
        return "unreachable"
    if attempt.status >= 500:
        return "failed"
    if attempt.status >= 400:
        return "refused"
    return "answered" if attempt.error is None else "cut"
