"""What workers say of themselves to each other."""

from __future__ import annotations

from pathlib import Path

from standpipe.api import worker_state
from standpipe.api.worker_state import PoolState, WorkerState


def state(name: str = "worker-0", pid: int = 1, at: int | None = None) -> WorkerState:
    return WorkerState(
        name=name,
        pid=pid,
        at=worker_state.now_us() if at is None else at,
        is_leaving=False,
        connections=1,
        requests=1,
        spool="ok",
        records={"written": 1},
        pools={"up": PoolState(2, 1, 0)},
    )


def test_what_is_said_is_told_by_name_and_the_last_word_counts(tmp_path: Path) -> None:
    where = tmp_path / "run"
    assert worker_state.told(where) == []
    said = [state("worker-1", 1), state("worker-0", 3), state("worker-0", 2)]
    for each in (state("worker-1", 1, at=0), *said):
        worker_state.tell(where, each)
    assert worker_state.told(where) == said[::-1]


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    worker_state.tell(tmp_path, state())
    (tmp_path / "worker-1.7.json").write_text('{"name": "of another version"}')
    (tmp_path / "worker-1.8.json").write_text("{")
    assert [each.pid for each in worker_state.told(tmp_path)] == [1]


def test_a_process_or_all_can_be_forgotten(tmp_path: Path) -> None:
    for each in (state("worker-1", 1), state("worker-1", 11), state("worker-0", 2)):
        worker_state.tell(tmp_path, each)
    (tmp_path / "limiter.sock").touch()
    worker_state.forget(tmp_path, "worker-1", 1)
    assert [each.pid for each in worker_state.told(tmp_path)] == [2, 11]
    worker_state.forget(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["limiter.sock"]
    worker_state.forget(tmp_path / "nowhere", "worker-1", 1)


def test_one_that_has_said_nothing_for_long_is_silent() -> None:
    assert not state().is_silent()
    assert state(at=worker_state.now_us() - 11_000_000).is_silent()
