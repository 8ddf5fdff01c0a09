"""What all workers of a node have in flight, and what becomes of a dead one's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe.calls.in_flight import InFlight
from standpipe.calls.routes import Route, Target
from standpipe.calls.standing import Standings

#: A worker that has three calls in flight, and waits to be killed.
WORKER = """
import sys
from pathlib import Path
from standpipe.calls.in_flight import InFlight
workers = InFlight(Path(sys.argv[1]))
count = workers.of("a")
count.tell(3)
print(workers.place, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[InFlight]]:
    found = [InFlight(tmp_path / "run") for _ in range(2)]
    yield found
    for each in found:
        each.close()


def test_calls_of_all_workers_are_counted_together(workers: list[InFlight]) -> None:
    first, second = (each.of("a") for each in workers)
    other = workers[0].of("b")
    assert workers[0].place != workers[1].place
    first.tell(2)
    assert not second.reaches(3)
    second.tell(1)
    assert first.reaches(3)
    assert not first.reaches(4)
    assert not other.reaches(1)
    first.tell(0)
    assert not second.reaches(2)


def test_calls_of_a_killed_worker_keep_nobody_back(tmp_path: Path, workers: list[InFlight]) -> None:
    count = workers[0].of("a")
    argv = [sys.executable, "-c", WORKER, str(tmp_path / "run")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert int(other.stdout.readline()) != workers[0].place
        assert count.reaches(3)
        other.kill()
        other.wait()
    assert not count.reaches(1)


def test_place_of_a_worker_that_left_is_the_next_ones(workers: list[InFlight]) -> None:
    first, second = workers
    first.of("a").tell(5)
    place = first.place
    first.close()
    count = second.of("a")
    assert second.place == place
    assert not count.reaches(1)


def test_limits_of_routes_and_targets_are_those_of_all_workers(workers: list[InFlight]) -> None:
    target = Target("p", "m", max_in_flight=2)
    route = Route((target, Target("q", "m")), max_in_flight=3, name="r")
    first, second = (Standings([route], workers=each) for each in workers)
    assert first.of(target).enter() is False
    second.of(target).enter()
    assert first.of(target).reaches(2)
    second.load(route).add(3)
    assert first.load(route).reaches(3)
    assert not first.of(route.targets[1]).reaches(0)
    second.of(target).leave(probe=False)
    assert not first.of(target).reaches(2)
