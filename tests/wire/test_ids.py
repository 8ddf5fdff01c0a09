from __future__ import annotations

import os
import time
import uuid

import pytest

from standpipe.wire.ids import Ids, made_at, new_id


def test_an_id_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    told = made_at(new_id())
    assert told is not None
    assert before * 1000 <= told <= time.time_ns() // 1000


@pytest.mark.parametrize(
    "other", ["", "a-name", "0001", "f" * 40, "6fa459ea-ee8a-4ca4-894e-db77e160355e"]
)
def test_an_id_that_is_not_ours_tells_nothing(other: str) -> None:
    assert made_at(other) is None


def test_ids_of_many_are_what_a_single_one_is() -> None:
    ids, at = Ids(), 1_750_000_000_123_456
    made = [ids.new(at + 500 * step) for step in range(200)]
    assert len(set(made)) == len(made)
    for step, each in enumerate(made):
        told = uuid.UUID(each)
        assert (str(told), told.version, told.variant) == (each, 7, uuid.RFC_4122)
        assert made_at(each) == (at + 500 * step) // 1000 * 1000
    for place in (15, 20, 24, 35):
        assert {each[place] for each in made} == set("0123456789abcdef")


def test_process_that_is_forked_off_makes_ids_of_its_own() -> None:
    ids = Ids()
    ids.new(0)
    theirs, ours = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ours, ids.new(0).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(theirs, 36) != ids.new(0).encode()
    os.close(theirs)
    os.close(ours)
