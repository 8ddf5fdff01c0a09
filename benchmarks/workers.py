"""Measure what a second worker adds where there are too few cores for it to have one of its own.

Run it as root with `PYTHONPATH=benchmarks .venv/bin/python benchmarks/workers.py`; it takes a
minute. Client, provider and drain need what a second worker would take, so each worker is held to a
share of a core by a quota of the kernel's. With four cores or more `make bench` measures it without
that. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from speed import machine, ours
from speed.built import Built, build, mocks
from speed.load import Asked
from speed.measure import Effort
from speed.ours import Standpipe
from speed.targets import Place, Target

CACHE = Path(__file__).parents[1] / ".cache" / "bench"
#: Where Linux keeps its control groups: version 1 with a folder for processors, or version 2.
GROUPS = Path("/sys/fs/cgroup")
PERIOD_US = 20_000
ASKED = Asked(64)
#: Seconds of a sample, and how many there are of each; the median counts.
SECONDS, ROUNDS = 6.0, 3


def main() -> None:
    """Measure one worker and two in turn, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.25, help="of a core, for each worker")
    share = parser.parse_args().share
    machine.end_with_all()
    CACHE.mkdir(parents=True, exist_ok=True)
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="run-", dir=CACHE) as folder:
        built = build(Path(folder))
        with mocks(built) as where:
            for number in range(ROUNDS * len(rates)):
                workers = 1 + number % len(rates)
                place = Place(built.folder / f"{number}", machine.free_port(), where)
                rates[workers].append(_rate(built, place, workers, share))
    one, two = (statistics.median(each) for each in rates.values())
    print(f"| each worker has {share} of a core | calls/s |\n|---|---|")
    print(f"| one worker | {one:,.0f} |\n| two workers | {two:,.0f} ({two / one:.2f}) |")


def _rate(built: Built, place: Place, workers: int, share: float) -> float:
    """Return the calls that so many workers answer in a second."""
    settings = {"STANDPIPE_SERVER_WORKERS": f"{workers}"}
    target = Target(
        *("standpipe", ours.start, "", ()), running=Standpipe, pinned=False, environment=settings
    )
    effort = Effort(SECONDS, 1)
    with ours.sampled(built.load, target, place, effort) as (running, sampler):
        running.settle()
        with contextlib.ExitStack() as groups:
            for pid in running.parts()["gateway"]:
                machine.pin(pid, machine.CORES)
                groups.enter_context(_held(pid, share))
            found = sampler.once(ASKED)
        running.settle()
    return float(found["calls"] / found["seconds"])


@contextlib.contextmanager
def _held(pid: int, share: float) -> Iterator[None]:
    """Let a process have no more than a share of a core."""
    quota = round(PERIOD_US * share)
    is_first = (GROUPS / "cpu").is_dir()
    root = GROUPS / "cpu" if is_first else GROUPS
    group = root / f"standpipe-bench-{pid}"
    group.mkdir()
    try:
        if is_first:
            (group / "cpu.cfs_period_us").write_text(f"{PERIOD_US}")
            (group / "cpu.cfs_quota_us").write_text(f"{quota}")
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        (group / "cgroup.procs").write_text(f"{pid}")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have ended
            (root / "cgroup.procs").write_text(f"{pid}")
        group.rmdir()


if __name__ == "__main__":
    main()
