"""How a target stands: when it rests, when it is probed, what brings it back. No clock but ours."""

from __future__ import annotations

import pytest

from standpipe.calls.routes import Route, Target
from standpipe.calls.standing import DOUBLINGS, LONGEST, WINDOW, Standing

ROUTE = Route((Target("p", "m"),), failures=3, rest=10.0, name="r")


class Clock:
    """Tells the time that it is set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standing(clock: Clock) -> Standing:
    return Standing(clock)


def fail(standing: Standing, times: int) -> None:
    for _ in range(times):
        standing.failed(ROUTE)


def test_target_rests_after_failures_in_a_row(standing: Standing) -> None:
    fail(standing, 2)
    standing.worked()
    fail(standing, 2)
    assert standing.is_awake
    fail(standing, 1)
    assert not standing.is_awake


def test_target_rests_where_more_than_half_of_the_last_answers_failed(standing: Standing) -> None:
    for _ in range(WINDOW // 2):
        standing.worked()
        standing.failed(ROUTE)
    assert standing.is_awake, "half of them is not more than half"
    standing.failed(ROUTE)
    assert not standing.is_awake


def test_one_call_probes_a_target_and_its_answer_brings_it_back(
    standing: Standing, clock: Clock
) -> None:
    fail(standing, 3)
    clock.now += 9.9
    assert not standing.is_due
    clock.now += 0.1
    assert standing.is_due
    assert standing.enter() is True
    assert not standing.is_awake, "the others wait for the probe"
    assert standing.enter() is False
    standing.worked(0.1, since=clock.now)
    standing.leave(probe=True)
    assert standing.is_awake
    assert not standing.is_due
    assert standing.in_flight == 1


def test_rest_is_doubled_while_the_probes_fail_up_to_a_bound(
    standing: Standing, clock: Clock
) -> None:
    fail(standing, 3)
    rests = []
    for _ in range(DOUBLINGS + 2):
        rests.append(standing.until - clock.now)
        clock.now = standing.until
        probe = standing.enter()
        standing.failed(ROUTE)
        standing.leave(probe=probe)
    assert rests == [10, 20, 40, 80, 80]
    clock.now = standing.until
    standing.worked()
    fail(standing, 3)
    assert standing.until - clock.now == 10, "what came back begins anew"


def test_probe_that_proves_nothing_is_left_to_the_next_call(
    standing: Standing, clock: Clock
) -> None:
    fail(standing, 3)
    clock.now = standing.until
    standing.leave(probe=standing.enter())
    assert standing.is_due


def test_what_was_asked_before_the_rest_neither_ends_nor_lengthens_it(
    standing: Standing, clock: Clock
) -> None:
    before = clock.now
    clock.now += 5
    fail(standing, 3)
    until = standing.until
    fail(standing, 5)
    standing.worked(4.0, since=before)
    assert (standing.until, standing.is_awake) == (until, False)
    standing.worked(0.1, since=clock.now)
    assert standing.is_awake, "a call that was tried although it rests has proved it"


def test_provider_says_itself_how_long_a_target_rests(standing: Standing, clock: Clock) -> None:
    standing.asked_to_wait(2.0)
    assert standing.until == clock.now + 2
    standing.asked_to_wait(1e6)
    assert standing.until == clock.now + LONGEST
    standing.asked_to_wait(1.0)
    assert standing.until == clock.now + LONGEST, "the longer of two rests"


def test_latency_is_of_late_and_grows_with_what_is_in_flight(
    standing: Standing, clock: Clock
) -> None:
    assert standing.latency == 0, "what nobody has asked is asked first"
    standing.worked(1.0)
    assert standing.latency == 1
    standing.enter()
    assert standing.latency == 2
    standing.leave(probe=False)
    standing.worked(0.1)
    assert 0.1 < standing.latency < 1
    clock.now += 60
    assert standing.latency < 0.01, "what was slow once is looked at again"
