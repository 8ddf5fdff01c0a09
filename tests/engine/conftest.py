from __future__ import annotations

from collections.abc import Iterator

import pytest
from local_engine import Engine, running


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with running() as started:
        assert started.said == {
            "ready": True,
            "port": started.port,
            "context": 8192,
            "error": None,
        }
        yield started
