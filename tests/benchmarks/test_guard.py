"""How counts are compared with what was recorded."""

from __future__ import annotations

from guard.compare import dearer, table
from guard.rig import per_one

RECORDED = {"call": 1000, "stream": 5000}


def test_what_is_dearer_by_more_than_the_tolerance_is_named() -> None:
    assert dearer({"call": 1031, "stream": 4000}, RECORDED) == ["call"]


def test_noise_and_what_was_not_recorded_pass() -> None:
    assert dearer({"call": 1029, "stream": 5000, "new": 1}, RECORDED) == []


def test_the_table_tells_the_change() -> None:
    told = table({"call": 1100, "new": 1}, RECORDED)
    assert "| call | 1,000 | 1,100 | +10.0% |" in told
    assert "| new | none | 1 | new |" in told


def test_what_each_phase_takes_beside_its_calls_is_left_out() -> None:
    beside, one = 77_777, 500
    phases = [beside + calls * one for calls in (10, 20, 10, 20)]
    assert per_one([*phases, 0, 9_999_999], 10) == one
