"""What the drain counts: each call once, over restarts, with few labels whatever callers ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from standpipe.drain import metrics
from standpipe.drain.drain import Drain
from standpipe.drain.metrics import BUCKETS, Counts, Metric
from standpipe.spool import Spool
from standpipe.store.store import Store
from standpipe.wire.record import Attempt, Usage

Frames = Callable[..., bytes]


@contextmanager
def counting(directory: Path, store: Store) -> Iterator[Drain]:
    directory.mkdir(exist_ok=True)
    drain = Drain(directory, store, sinks=[Counts(directory)])
    try:
        yield drain
        drain.tell()
    finally:
        drain.close()


def counted(directory: Path, metric: Metric) -> dict[tuple[str, ...], float]:
    return dict(metrics.told(directory).counters.get(metric.name, ()))


def test_each_call_is_counted_by_how_it_ended(
    directory: Path, store: Store, spool: Spool, record_of: Frames
) -> None:
    place = {"provider": "openai", "model": "m"}
    usage = Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1)
    spool.append(record_of("a", **place, usage=usage, logged=False))
    spool.append(record_of("b", **place))
    spool.append(record_of("c", **place, outcome="failed", status=503))
    spool.append(record_of("d", outcome="refused", status=404))
    spool.append(record_of("e", outcome="abandoned", status=None))
    with counting(directory, store) as drain:
        drain.step()
    assert counted(directory, metrics.CALLS) == {
        ("chat", "openai", "m", "complete", "200"): 2,
        ("chat", "openai", "m", "failed", "503"): 1,
        ("chat", "none", "other", "refused", "404"): 1,
        ("chat", "none", "other", "abandoned", "none"): 1,
    }
    tokens = {labels[-1]: count for labels, count in counted(directory, metrics.TOKENS).items()}
    assert tokens == {"input": 3, "output": 2, "cached_input": 1}
    assert counted(directory, metrics.INSERTED) == {(): 5}


def test_counts_go_on_after_a_restart_and_nothing_is_counted_twice(
    directory: Path, store: Store, spool: Spool, record_of: Frames
) -> None:
    spool.append(record_of("a", model="m"))
    with counting(directory, store) as drain:
        drain.step()
    spool.append(record_of("b", model="m"))
    with counting(directory, store) as drain:
        drain.step()
    spool.append(record_of("a", model="m"))
    with counting(directory, store) as drain:
        drain.step()
    assert counted(directory, metrics.CALLS) == {("chat", "none", "m", "complete", "200"): 2}
    assert counted(directory, metrics.INSERTED) == {(): 2}
    assert counted(directory, metrics.SKIPPED) == {(): 1}


def test_times_fall_into_buckets(
    directory: Path, store: Store, spool: Spool, record_of: Frames
) -> None:
    for number, ms in enumerate((5, 7, 400_000)):
        times = {"requested_at": 0, "first_byte_at": 2000, "received_at": ms * 1000}
        spool.append(record_of(str(number), model="m", streamed=True, **times))
    spool.append(record_of("r", model="m", kind="report"))
    spool.append(record_of("l", model="m", outcome="lost"))
    with counting(directory, store) as drain:
        drain.step()
    histograms = metrics.told(directory).histograms
    ((labels, duration),) = histograms[metrics.DURATION.name]
    assert labels == ("none", "m")
    assert duration.counts == [1, 1] + [0] * (len(BUCKETS) - 2) + [1]
    assert round(duration.total, 3) == 400.012
    ((_, first),) = histograms[metrics.FIRST_TOKEN.name]
    assert first.counts[0] == sum(first.counts) == 3


def test_attempts_are_counted_by_how_they_ended(
    directory: Path, store: Store, spool: Spool, record_of: Frames
) -> None:
    ends: list[tuple[int | None, str | None]] = [
        *((None, "no route"), (429, "slow down"), (503, "busy"), (200, "broke off"), (200, None)),
    ]
    tried = tuple(Attempt("p", "m", 1, status=status, error=error) for status, error in ends)
    spool.append(record_of("a", attempts=tried))
    with counting(directory, store) as drain:
        drain.step()
    assert counted(directory, metrics.ATTEMPTS) == {
        ("p", word): 1 for word in ("unreachable", "refused", "failed", "cut", "answered")
    }


def test_invented_names_share_one_label(
    directory: Path, store: Store, spool: Spool, record_of: Frames
) -> None:
    for number in range(2 * metrics.MOST_MODELS):
        spool.append(record_of(f"{number:04}", model=f"invented-{number}"))
    spool.append(record_of("long", model="x" * 4000))
    spool.append(record_of("refused", model="nobody-has-it", outcome="refused", status=404))
    with counting(directory, store) as drain:
        drain.step()
    calls = counted(directory, metrics.CALLS)
    assert sum(calls.values()) == 2 * metrics.MOST_MODELS + 2
    models = {labels[2] for labels in calls}
    assert metrics.OTHER in models
    assert len(models) == metrics.MOST_MODELS + 1
    assert "nobody-has-it" not in models


def test_no_figure_that_a_report_invents_is_counted(
    directory: Path, store: Store, spool: Spool, record_of: Frames
) -> None:
    for number, count in enumerate((2**62, -5)):
        usage = Usage(prompt_tokens=count, completion_tokens=count)
        spool.append(record_of(str(number), kind="report", usage=usage, logged=False))
    with counting(directory, store) as drain:
        drain.step()
    assert counted(directory, metrics.TOKENS) == {}
    assert sum(counted(directory, metrics.CALLS).values()) == 2


def test_what_was_told_and_cannot_be_read_is_begun_anew(
    directory: Path, store: Store, spool: Spool, record_of: Frames
) -> None:
    (directory / metrics.FILE).write_text("[")
    spool.append(record_of("a", model="m"))
    with counting(directory, store) as drain:
        drain.step()
    assert counted(directory, metrics.INSERTED) == {(): 1}
