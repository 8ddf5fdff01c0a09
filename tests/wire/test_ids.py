from __future__ import annotations

import time

import pytest

from standpipe.wire.ids import made_at, new_id


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
