from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from standpipe.config import Price
from standpipe.drain.batch import MAX_FRAMES
from standpipe.drain.drain import Drain
from standpipe.drain.prices import Prices
from standpipe.drain.rows import LOST
from standpipe.errors import StoreUnavailable
from standpipe.spool import Spool, ends, names
from standpipe.store.rows import Row
from standpipe.store.store import Store
from standpipe.wire.record import Attempt, Usage

Frames = Callable[..., bytes]
Rows = Callable[[], dict[str, Row]]

REQUEST = b'{"model":"m","messages":[{"role":"user","content":"Say it."}]}'


def chunk(**delta: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps(body | {"choices": [choice]}).encode() + b"\n\n"


def until_idle(drain: Drain) -> int:
    inserted = drain.step()
    while not drain.is_idle:
        inserted += drain.step()
    return inserted


def segments(directory: Path) -> list[str]:
    return names.listed(directory, names.SEGMENT)


def test_a_record_becomes_a_row(drain: Drain, spool: Spool, record_of: Frames, rows: Rows) -> None:
    response = b'{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":3}}'
    spool.append(record_of("a", model="m", request=REQUEST, response=response, metadata={"x": "1"}))
    assert drain.step() == 1
    row = rows()["a"]
    assert (row.outcome, row.status, row.model, row.key) == ("complete", 200, "m", "k")
    assert (row.request, row.response) == (REQUEST.decode(), response.decode())
    assert (row.completion_id, row.usage, row.usage_source) == (
        "chatcmpl-1",
        Usage(prompt_tokens=3),
        "provider",
    )
    assert row.metadata == {"x": "1"}


def test_a_stream_is_folded(drain: Drain, spool: Spool, record_of: Frames, rows: Rows) -> None:
    events = chunk(role="assistant") + chunk(content="a ") + chunk(content="b") + chunk()
    events += b"data: [DONE]\n\n"
    spool.append(record_of("a", streamed=True, response=events, response_form="sse"))
    drain.step()
    row = rows()["a"]
    assert row.response is not None
    completion = json.loads(row.response)
    assert completion["choices"][0]["message"]["content"] == "a b"
    assert (row.finish_reason, row.usage_source, row.streamed) == ("stop", "estimated", True)


def test_numbers_of_a_call_without_text_are_kept(
    drain: Drain, spool: Spool, record_of: Frames, rows: Rows
) -> None:
    usage = Usage(prompt_tokens=1, completion_tokens=2)
    numbers = {"usage": usage, "usage_source": "provider", "finish_reason": "length"}
    spool.append(record_of("a", logged=False, completion_id="c", **numbers))
    drain.step()
    row = rows()["a"]
    assert (row.usage, row.usage_source, row.finish_reason) == (usage, "provider", "length")
    assert (row.completion_id, row.request, row.response) == ("c", None, None)


@pytest.mark.parametrize(
    "junk", [b"<html>", b"\xff\xfe{", b'{"a":1}}', b"[" * 100_000, b'{"a":"\xff"}']
)
def test_text_that_is_no_json_is_kept_as_a_string(
    drain: Drain, spool: Spool, record_of: Frames, rows: Rows, junk: bytes
) -> None:
    spool.append(record_of("a", request=junk, response=junk))
    assert drain.step() == 1
    row = rows()["a"]
    assert row.request is not None
    assert json.loads(row.request) in (junk.decode("utf-8", "replace"), {"a": "\ufffd"})
    assert row.response == row.request


def test_junk_for_a_stream_leaves_the_numbers(
    drain: Drain, spool: Spool, record_of: Frames, rows: Rows
) -> None:
    spool.append(record_of("a", response=b"\xffdata: {]\n\n", response_form="sse"))
    assert drain.step() == 1
    assert rows()["a"].response is None


def test_a_batch_has_its_limits(drain: Drain, spool: Spool, record_of: Frames, rows: Rows) -> None:
    for number in range(MAX_FRAMES + 20):
        spool.append(record_of(f"{number:04}"))
    assert drain.step() == MAX_FRAMES
    assert drain.is_behind
    assert drain.step() == 20
    assert not drain.is_behind
    assert len(rows()) == MAX_FRAMES + 20


def test_a_busy_worker_does_not_hold_up_another(
    drain: Drain, new_spool: Callable[[], Spool], record_of: Frames, rows: Rows
) -> None:
    busy, quiet = new_spool(), new_spool()
    quiet.append(record_of("quiet"))
    for number in range(3 * MAX_FRAMES):
        busy.append(record_of(f"{number:04}"))
    drain.step()
    drain.step()
    assert "quiet" in rows()


def test_segments_are_deleted_once_they_are_in_the_store(
    drain: Drain, spool: Spool, store: Store, record_of: Frames, directory: Path, rows: Rows
) -> None:
    for number in range(1000):
        spool.append(record_of(f"{number:04}", user_agent="x" * 300))
    assert len(segments(directory)) > 2
    until_idle(drain)
    (current,) = segments(directory)
    assert store.positions() == ends(directory, {})
    spool.close()
    until_idle(drain)
    assert list(directory.iterdir()) == []
    assert store.positions() == {}
    assert len(rows()) == 1000
    assert current not in store.positions()


def test_a_new_drain_goes_on_where_the_last_one_was(
    drain: Drain, spool: Spool, store: Store, record_of: Frames, directory: Path
) -> None:
    spool.append(record_of("a"))
    assert until_idle(drain) == 1
    drain.close()
    spool.append(record_of("b"))
    other = Drain(directory, store)
    assert until_idle(other) == 1
    other.close()


def test_a_deleted_record_does_not_come_back(
    spool: Spool, store: Store, project: str, record_of: Frames, directory: Path, rows: Rows
) -> None:
    spool.append(record_of("a"))
    spool.append(record_of("b"))
    before = segments(directory)
    first = Drain(directory, store)
    until_idle(first)
    first.close()
    assert store.delete_record(project, "a")
    # As if the position had been lost: the segment is read again from its start.
    with sqlite3.connect(str(directory.parent / "standpipe.db")) as connection:
        connection.execute("UPDATE spool_positions SET offset = 0")
    connection.close()
    second = Drain(directory, store)
    assert until_idle(second) == 0
    second.close()
    assert list(rows()) == ["b"]
    assert segments(directory) == before


def test_a_stream_that_ended_leaves_one_row(
    drain: Drain, spool: Spool, store: Store, begin_of: Frames, record_of: Frames, rows: Rows
) -> None:
    spool.append(begin_of("in one batch"))
    spool.append(record_of("in one batch"))
    spool.append(begin_of("in two"))
    assert drain.step() == 1
    assert [stream.id for stream in store.open_streams(None)] == ["in two"]
    spool.append(record_of("in two"))
    assert drain.step() == 1
    assert store.open_streams(None) == []
    spool.close()
    assert until_idle(drain) == 0
    assert {row.outcome for row in rows().values()} == {"complete"}


def test_a_stream_whose_worker_died_is_lost(
    drain: Drain, spool: Spool, store: Store, begin_of: Frames, rows: Rows
) -> None:
    spool.append(begin_of("a", model="m", logged=True, request=REQUEST, metadata={"x": "1"}))
    assert until_idle(drain) == 0
    spool.close()
    assert until_idle(drain) == 1
    row = rows()["a"]
    assert (row.outcome, row.status, row.streamed, row.error) == ("lost", 200, True, LOST)
    assert (row.usage, row.response, row.request) == (None, None, REQUEST.decode())
    assert (row.model, row.metadata) == ("m", {"x": "1"})
    assert store.open_streams(None) == []
    assert drain.lost == 1


def test_what_went_before_a_lost_stream_is_counted(
    directory: Path, spool: Spool, store: Store, begin_of: Frames, rows: Rows
) -> None:
    used = Usage(prompt_tokens=7, completion_tokens=2, total_tokens=9)
    tried = Attempt(provider="p", model="m", started_at=1, status=200)
    draft = msgspec.structs.replace(tried, usage=used, usage_source="provider", step="draft")
    spool.append(begin_of("a", attempts=(draft, draft, tried)))
    drain = Drain(directory, store, Prices({"p/m": Price(input="1", output="1")}))
    spool.close()
    until_idle(drain)
    drain.close()
    row = rows()["a"]
    assert (row.outcome, row.usage_source, row.cost) == ("lost", "estimated", Decimal("0.000018"))
    assert row.usage == Usage(prompt_tokens=14, completion_tokens=4, total_tokens=18)
    assert [each.step for each in row.attempts] == ["draft", "draft", None]
    assert [each.cost for each in row.attempts] == [Decimal("0.000009")] * 2 + [None]


def test_a_stream_may_end_in_a_later_segment(
    drain: Drain, spool: Spool, directory: Path, begin_of: Frames, record_of: Frames, rows: Rows
) -> None:
    spool.append(begin_of("a"))
    spool.append(begin_of("b"))
    for number in range(300):
        spool.append(record_of(f"{number:04}", user_agent="x" * 300))
    until_idle(drain)
    assert len(segments(directory)) == 1
    spool.append(record_of("a"))
    until_idle(drain)
    spool.close()
    until_idle(drain)
    outcomes = {call: row.outcome for call, row in rows().items()}
    assert (outcomes["a"], outcomes["b"], len(outcomes)) == ("complete", "lost", 302)


def test_a_lost_stream_is_known_to_a_drain_that_did_not_see_it_begin(
    spool: Spool, store: Store, directory: Path, begin_of: Frames, rows: Rows
) -> None:
    spool.append(begin_of("a"))
    for _ in range(2):
        drain = Drain(directory, store)
        until_idle(drain)
        drain.close()
        spool.close()
    assert rows()["a"].outcome == "lost"
    assert list(directory.iterdir()) == []


def test_an_unfinished_record_is_reported_and_cleared_away(
    drain: Drain,
    spool: Spool,
    record_of: Frames,
    directory: Path,
    rows: Rows,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spool.append(record_of("whole"))
    spool.append(record_of("torn"))
    spool.close()
    (name,) = segments(directory)
    with (directory / name).open("r+b") as file:
        file.truncate(file.seek(0, 2) - 5)
    assert until_idle(drain) == 1
    assert list(rows()) == ["whole"]
    assert (drain.torn, drain.damaged) == (1, 0)
    assert "unfinished record" in caplog.text
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("damage", ["a flipped bit", "a foreign frame"])
def test_a_damaged_segment_is_put_aside(
    drain: Drain,
    spool: Spool,
    store: Store,
    record_of: Frames,
    directory: Path,
    rows: Rows,
    damage: str,
) -> None:
    spool.append(record_of("before"))
    at = ends(directory, {}).popitem()[1]
    spool.append(b"no record" if damage == "a foreign frame" else record_of("harmed"))
    spool.append(record_of("after"))
    spool.close()
    (name,) = segments(directory)
    if damage == "a flipped bit":
        with (directory / name).open("r+b") as file:
            file.seek(at + 20)
            file.write(b"\x00")
    until_idle(drain)
    assert rows().keys() == {"before", "after"}
    assert [path.suffix for path in directory.iterdir()] == [names.DAMAGED]
    assert (drain.torn, drain.damaged) == (0, 1)
    assert store.positions() == {}


def test_records_wait_while_the_store_is_locked(
    drain: Drain,
    spool: Spool,
    record_of: Frames,
    directory: Path,
    rows: Rows,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spool.append(record_of("before"))
    drain.step()
    stop = threading.Event()
    holder = sqlite3.connect(str(directory.parent / "standpipe.db"), check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    spool.append(record_of("meanwhile"))
    with pytest.raises(StoreUnavailable):
        drain.step()
    running = threading.Thread(target=drain.run, args=(stop,))
    running.start()
    while "records wait" not in caplog.text:
        stop.wait(0.01)
    spool.append(record_of("later"))
    holder.rollback()
    holder.close()
    stop.set()
    running.join(timeout=30)
    assert set(rows()) == {"before", "meanwhile", "later"}
    assert caplog.text.count("records wait") == 1


def test_the_spares_of_a_dead_worker_are_cleared_away(drain: Drain, directory: Path) -> None:
    directory.mkdir()
    (directory / "0-0-00000000.spare").write_bytes(bytes(100))
    drain.step()
    assert list(directory.iterdir()) == []
