"""Room for records: who is refused, who goes on, and that nothing is lost in silence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from spooling import everything, full_disk

from standpipe.calls.keeping import Keeper
from standpipe.errors import Unavailable
from standpipe.spool import Spool, new_boot
from standpipe.spool.writer import ANSWER_BYTES, NUMBERS_BYTES
from standpipe.wire.ids import new_id
from standpipe.wire.record import Begin, Record, decode

KIB = 1 << 10


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Return a spool with room for two calls whose text is kept, and no more once it is full."""
    made = Spool(tmp_path, boot=new_boot(), worker=0, segment_bytes=2 * ANSWER_BYTES)
    yield made
    made.close()


def record_of(size: int = 0, **fields: object) -> Record:
    known = {
        "id": new_id(),
        "kind": "chat",
        "project": "p",
        "key": "k",
        "requested_at": 1,
        "received_at": 2,
        "outcome": "complete",
        "status": 200,
        "logged": True,
        "response": b'{"id": "theirs", "choices": []}' + b" " * size,
    }
    return Record(**(known | fields))  # type: ignore[arg-type]


def kept(directory: Path) -> dict[str, Record]:
    found = [decode(payload) for payload in everything(directory)]
    return {each.id: each for each in found if isinstance(each, Record)}


def test_calls_whose_text_has_no_room_are_refused_and_the_others_go_on(spool: Spool) -> None:
    keeper = Keeper(spool)
    with full_disk():
        promised = [keeper.promise(0, logged=True) for _ in range(2)]
        assert promised == [ANSWER_BYTES] * 2
        with pytest.raises(Unavailable) as refused:
            keeper.promise(0, logged=True)
        assert refused.value.retry_after
        assert keeper.promise(0, logged=False) == 0
        spool.release(promised[0])
        assert keeper.promise(0, logged=False) == NUMBERS_BYTES
    assert spool.records_refused == 1


def test_calls_that_are_to_be_counted_go_on_with_less_room(spool: Spool) -> None:
    keeper = Keeper(spool, when_full="count")
    with full_disk():
        assert keeper.promise(ANSWER_BYTES, logged=True) == 2 * ANSWER_BYTES
        assert keeper.promise(0, logged=True) == 0
        spool.release(2 * ANSWER_BYTES)
        assert keeper.promise(2 * ANSWER_BYTES, logged=True) == NUMBERS_BYTES
    assert spool.records_refused == 0


def test_an_answer_larger_than_its_promise_leaves_the_others_theirs(
    spool: Spool, tmp_path: Path
) -> None:
    keeper = Keeper(spool)
    large, other = record_of(400 * KIB), record_of(200 * KIB)
    with full_disk(2 * ANSWER_BYTES):
        promised = [keeper.promise(0, logged=True) for _ in range(2)]
        keeper.keep_now(large, promised[0])
        keeper.keep_now(other, promised[1])
    assert kept(tmp_path)[other.id] == other
    numbers = kept(tmp_path)[large.id]
    assert (numbers.logged, numbers.response, numbers.completion_id) == (False, None, "theirs")
    assert (spool.records_without_text, spool.records_lost) == (1, 0)


def test_a_record_without_any_room_is_counted_and_named_in_the_log(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(spool, when_full="count")
    lost, begin = record_of(), Begin(id="a", project="p", key="k", requested_at=1)
    with full_disk():
        keeper.promise(ANSWER_BYTES, logged=True)
        keeper.keep_begin(begin, keeper.promise(0, logged=True))
        keeper.keep_now(lost, 0)
    assert kept(tmp_path) == {}
    assert (spool.records_without_text, spool.records_lost) == (0, 1)
    assert f"call {lost.id}: its record is lost" in caplog.text
