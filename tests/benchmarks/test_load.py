"""The client and the provider in C, of which each is what the other is tested with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bodies import CHUNKS
from speed import load
from speed.built import Built, build, mocks
from speed.load import Asked, Json

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
SECONDS = 0.5


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Built, int]]:
    built = build(tmp_path_factory.mktemp("built"))
    with mocks(built) as where:
        yield built, where.http


def placed(place: tuple[Built, int], asked: Asked) -> Json:
    built, port = place
    file: Path = built.folder / "request"
    file.write_bytes(load.request(asked, model="m", headers={}))
    return load.place(built.load, port, file, asked, SECONDS)


def test_every_call_of_a_closed_loop_is_answered_and_timed(place: tuple[Built, int]) -> None:
    found = placed(place, Asked(8))
    assert 0 < found["calls"] <= found["answered"] == found["latency"]["count"]
    assert found["bad"] == found["broken"] == found["unanswered"] == 0


def test_an_open_loop_places_as_many_calls_as_are_due(place: tuple[Built, int]) -> None:
    found = placed(place, Asked(8, rate=100))
    assert found["answered"] + found["never_placed"] == pytest.approx(100 * SECONDS, abs=1)


def test_large_requests_are_sent_whole(place: tuple[Built, int]) -> None:
    found = placed(place, Asked(2, size=1 << 20))
    assert found["answered"] > 0
    assert found["broken"] == 0


def test_every_event_of_a_stream_is_seen(place: tuple[Built, int]) -> None:
    found = placed(place, Asked(4, streamed=True))
    assert found["answered"] >= 4
    assert found["first_event"]["count"] >= 4
    # Those of streams that end after the time is over are not counted.
    assert found["calls"] * CHUNKS <= found["event"]["count"] <= found["answered"] * CHUNKS
