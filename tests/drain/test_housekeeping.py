"""What was kept long enough ends while the drain has nothing else to do."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from spooling import start_python
from sqlalchemy import update

from standpipe.config import Retention
from standpipe.drain import housekeeping
from standpipe.drain.batch import MAX_FRAMES
from standpipe.drain.drain import Drain
from standpipe.drain.housekeeping import Housekeeping
from standpipe.errors import StoreUnavailable
from standpipe.spool import Spool
from standpipe.store import Batch, OpenStream, Row, Store, now_us
from standpipe.store.months import id_at
from standpipe.store.removal import AT_ONCE
from standpipe.store.schema import spool_positions
from standpipe.wire.record import Begin, encode

DAY = 86_400_000_000
#: Old enough for neither, for the text, for all of it: in days.
AGES = (1, 50, 500)
KEEPING = Retention(content_days=30, records_days=365, content_bytes=0)

DRAIN = """
import sys
from standpipe.drain import housekeeping
from standpipe.drain.__main__ import main
housekeeping.EVERY_S = 0
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "EVERY_S", 0.0)
    monkeypatch.setattr(housekeeping, "PIECE_S", 1e9)


def row(project: str, name: str, days: float) -> Row:
    at = now_us() - round(days * DAY)
    return Row(
        id=f"{id_at(at)}-{project}-{name}",
        kind="chat",
        project=project,
        key=None,
        requested_at=at,
        received_at=at,
        outcome="complete",
        status=200,
        logged=True,
        updated_at=at,
        request="{}",
        response="{}",
    )


def aged(store: Store, project: str, count: int = 1) -> None:
    """Put calls of each age there."""
    rows = [row(project, f"{days}-{n}", days) for days in AGES for n in range(count)]
    assert store.add(Batch(rows=rows)) == len(rows)


def left(store: Store, project: str) -> tuple[int, int]:
    """Return how many calls a project has, and how many of them have a text."""
    rows = list(store.each_log(project))
    return len(rows), sum(row.request is not None for row in rows)


def test_texts_end_before_calls_unless_the_project_says_otherwise(store: Store) -> None:
    keeps: dict[str, dict[str, float | None]] = {
        "as configured": {"content_days": None},
        "all": {"content_days": 0, "records_days": 0},
        "longer": {"content_days": 100},
        "shorter": {"content_days": 0.5, "records_days": 30},
        "little": {"content_bytes": 1},
    }
    ids = {name: store.add_project(name).id for name in keeps}
    for name, changes in keeps.items():
        store.change_project(ids[name], changes)
        aged(store, ids[name])
    Housekeeping(store, KEEPING).step()
    assert {name: left(store, each) for name, each in ids.items()} == {
        "as configured": (2, 1),
        "all": (3, 3),
        "longer": (2, 2),
        "shorter": (1, 0),
        "little": (2, 0),
    }


def test_stream_of_a_lost_node_is_lost_and_stays_so_should_it_come_back(
    store: Store, project: str
) -> None:
    old, fresh = (f"{id_at(now_us() - days * DAY)}-7000-8000-000000000000" for days in (31, 29))
    begun = {
        call: encode(Begin(id=call, project=project, key=None, requested_at=1))
        for call in (old, fresh)
    }
    streams = [OpenStream(call, "gone", payload) for call, payload in begun.items()]
    streams.append(OpenStream(f"{old}-strange", "gone", b"of a later version"))
    store.add(Batch(opened=streams, positions={"gone-00000000.seg": 1}))
    Housekeeping(store, Retention(records_days=0, content_days=0)).step()
    assert [stream.id for stream in store.open_streams(None)] == [fresh]
    assert [(row.id, row.outcome) for row in store.each_log(project)] == [(old, "lost")]
    assert store.add(Batch(rows=[replace(row(project, "", 31), id=old)], closed=[old])) == 0
    assert [row.outcome for row in store.each_log(project)] == ["lost"]


def test_node_whose_segments_are_there_is_not_lost(
    store: Store, project: str, tmp_path: Path
) -> None:
    with closing(Spool(tmp_path / "spool", boot="b", worker=0)) as spool:
        spool.append(encode(Begin(id="a", project=project, key=None, requested_at=1)))
        (segment,) = (path.name for path in (tmp_path / "spool").glob("*.seg"))
        store.add(Batch(positions={segment: 1, "gone-00000000.seg": 1}))
        with store._database.writing() as connection:
            at_first = update(spool_positions).values(first_read_at=now_us() - 400 * DAY)
            connection.execute(at_first)
        Housekeeping(store, KEEPING, tmp_path / "spool").step()
        assert store.positions() == {segment: 1}


def test_much_is_done_in_pieces_and_slices(
    store: Store, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(store, project, AT_ONCE + 1)
    monkeypatch.setattr(housekeeping, "PIECE_S", 0.0)
    monkeypatch.setattr(housekeeping, "SLICE_S", 1e9)
    keeper = Housekeeping(store, KEEPING)
    keeper.step()
    assert left(store, project) == (2 * AT_ONCE + 3, 2 * AT_ONCE + 3)
    keeper.step()
    assert left(store, project) == (2 * AT_ONCE + 2, 2 * AT_ONCE + 2)
    monkeypatch.setattr(housekeeping, "EVERY_S", 1e9)
    monkeypatch.setattr(housekeeping, "SLICE_S", 0.0)
    for _ in range(9):
        keeper.step()
    assert left(store, project) == (2 * AT_ONCE + 2, 2 * AT_ONCE + 2)


def test_nothing_is_due_at_the_start_and_until_a_while_after_a_round(
    store: Store, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Housekeeping(store, KEEPING)
    monkeypatch.setattr(housekeeping, "EVERY_S", 1e9)
    keeper.step()
    aged(store, project)
    keeper.step()
    Housekeeping(store, KEEPING).step()
    assert left(store, project) == (3, 3)


def test_round_begins_anew_after_the_store_was_away(tmp_path: Path) -> None:
    with closing(Store.open(f"sqlite:///{tmp_path / 'late.db'}")) as late:
        keeper = Housekeeping(late, KEEPING)
        with pytest.raises(StoreUnavailable):
            keeper.step()
        late.migrate()
        project = late.add_project("ours").id
        aged(late, project)
        keeper.step()
        assert left(late, project) == (2, 1)


class Later:
    """Says stop after some waits."""

    def __init__(self, waits: int) -> None:
        self._waits = waits

    def is_set(self) -> bool:
        return self._waits <= 0

    def wait(self, timeout: float) -> bool:
        del timeout
        self._waits -= 1
        return self.is_set()


def test_house_is_kept_only_while_the_drain_is_not_behind(
    directory: Path, store: Store, spool: Spool, record_of: Callable[..., bytes]
) -> None:
    for number in range(2 * MAX_FRAMES + 1):
        spool.append(record_of(f"{number:05}"))
    inserted: list[int] = []
    with closing(Drain(directory, store, housekeeping=lambda: inserted.append(1))) as drain:
        drain.run(Later(2))
        assert drain.inserted == 2 * MAX_FRAMES + 1
    assert len(inserted) == 2


def test_drain_process_keeps_what_it_is_told_to(
    directory: Path, url: str, store: Store, project: str
) -> None:
    aged(store, project)
    told = {"content_days": 30, "records_days": 365}
    drain = start_python(DRAIN, stdin=subprocess.PIPE)
    assert drain.stdin is not None
    spec = {"store_url": url, "spool": str(directory), "retention": told}
    drain.stdin.write(json.dumps(spec) + "\n")
    drain.stdin.flush()
    deadline = time.monotonic() + 30
    while left(store, project) != (2, 1):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    drain.communicate(timeout=30)
    assert drain.returncode == 0
