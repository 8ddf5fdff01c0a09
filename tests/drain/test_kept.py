"""What becomes of drained segments, and what the drain says of itself."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from spooling import full_disk

from standpipe.drain import drain as draining
from standpipe.drain import kept
from standpipe.drain.drain import Drain
from standpipe.spool import Spool, archive, names, progress
from standpipe.spool.reader import Frame, each_frame
from standpipe.store.rows import Row
from standpipe.store.store import Store
from standpipe.wire.ids import new_id

Frames = Callable[..., bytes]
#: Long enough for a test.
LONG = 1000.0


def until_idle(drain: Drain) -> None:
    drain.step()
    while not drain.is_idle:
        drain.step()


def suffixes(directory: Path) -> set[str]:
    return {"".join(path.suffixes) for path in directory.iterdir()}


@pytest.fixture(autouse=True)
def _always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LOOK_S", 0.0)


@pytest.fixture
def drained(directory: Path, store: Store, spool: Spool, record_of: Frames) -> bytes:
    """Return the payload of a record that was drained, whose segment is kept."""
    payload = record_of("a")
    spool.append(payload)
    spool.close()
    drain = Drain(directory, store, keep_s=LONG)
    until_idle(drain)
    drain.close()
    return payload


def test_a_drained_segment_is_kept_compressed(directory: Path, drained: bytes) -> None:
    assert suffixes(directory) == {names.KEPT}
    (path,) = directory.iterdir()
    assert [each.payload for each in each_frame(path) if isinstance(each, Frame)] == [drained]


@pytest.mark.parametrize("age_s", [LONG - 100, LONG + 100])
def test_a_kept_segment_is_removed_when_its_time_is_over(
    directory: Path, store: Store, drained: bytes, age_s: float
) -> None:
    (path,) = directory.iterdir()
    then = time.time() - age_s
    os.utime(path, (then, then))
    Drain(directory, store, keep_s=LONG).step()
    assert path.exists() == (age_s < LONG)


def test_nothing_is_kept_any_more_once_that_is_not_wanted(
    directory: Path, store: Store, drained: bytes
) -> None:
    Drain(directory, store).step()
    assert list(directory.iterdir()) == []


def test_a_crash_while_it_is_compressed_leaves_it_to_the_next_start(
    directory: Path,
    store: Store,
    spool: Spool,
    record_of: Frames,
    monkeypatch: pytest.MonkeyPatch,
    rows: Callable[[], dict[str, Row]],
) -> None:
    payload = record_of("a")
    spool.append(payload)
    spool.close()

    def crash(path: Path) -> Path:
        path.with_suffix(names.KEPT + names.PART).write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archive, "compress", crash)
        with pytest.raises(KeyboardInterrupt):
            until_idle(Drain(directory, store, keep_s=LONG))
    assert suffixes(directory) == {names.DONE, names.KEPT + names.PART}
    until_idle(Drain(directory, store, keep_s=LONG))
    assert suffixes(directory) == {names.KEPT}
    (path,) = directory.iterdir()
    assert [each.payload for each in each_frame(path) if isinstance(each, Frame)] == [payload]
    assert list(rows()) == ["a"]


def test_a_segment_that_has_no_room_to_be_kept_is_removed(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory.mkdir()
    done = directory / f"0-0-00000000{names.DONE}"
    done.write_bytes(os.urandom(1000))
    with full_disk(100):
        kept.Kept(directory, LONG).take(done)
    kept.Kept(directory, LONG).expire()
    assert list(directory.iterdir()) == []
    assert "not kept" in caplog.text


def test_the_drain_tells_what_it_did_and_what_waits(
    directory: Path, drain: Drain, new_spool: Callable[[], Spool], record_of: Frames
) -> None:
    assert progress.told(directory) is None
    spool = new_spool()
    spool.append(record_of("stored"))
    drain.step()
    payload = record_of(new_id(), kind="report")
    spool.append(payload)
    drain.tell()
    told = progress.told(directory)
    assert told is not None
    assert (told.inserted, told.lost, told.torn, told.damaged, told.aside) == (1, 0, 0, 0, 0)
    assert told.waiting > len(payload)
    assert 0 <= told.lag_s() < 60
    assert told.age_s() < 60
    spool.append(record_of("more"))
    drain.tell()
    more = progress.told(directory)
    assert more is not None
    assert more.oldest == told.oldest
    assert more.waiting > told.waiting
    drain.step()
    drain.tell()
    done = progress.told(directory)
    assert done is not None
    assert (done.inserted, done.waiting, done.oldest, done.lag_s()) == (3, 0, None, 0.0)


def test_what_waits_is_told_while_the_store_is_away(
    directory: Path,
    drain: Drain,
    spool: Spool,
    record_of: Frames,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(draining, "TELL_S", 0.0)
    spool.append(record_of("before"))
    drain.step()
    holder = sqlite3.connect(str(directory.parent / "standpipe.db"), check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    stop = threading.Event()
    running = threading.Thread(target=drain.run, args=(stop,))
    running.start()
    spool.append(record_of("meanwhile"))
    while (told := progress.told(directory)) is None or not told.waiting:
        stop.wait(0.01)
    holder.rollback()
    holder.close()
    stop.set()
    running.join(timeout=30)
    last = progress.told(directory)
    assert last is not None
    assert (last.inserted, last.waiting) == (2, 0)
