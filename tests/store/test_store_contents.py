"""Messages kept once: shared, read again, and gone with the last call that had them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from orphans import wrong
from sqlalchemy import create_engine, text

from standpipe.errors import BadRequest
from standpipe.store import Batch, Filter, Project, Row, Store

RowMaker = Callable[..., Row]

SYSTEM = {"role": "system", "content": "You are a river. " * 40}


def request(*messages: str, **fields: Any) -> str:
    turns = [{"role": "user", "content": each} for each in messages]
    return json.dumps({"model": "m", "messages": [SYSTEM, *turns], **fields})


def count(url: str, table: str) -> int:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        found: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    engine.dispose()
    return found


def conversation(row_of: RowMaker, turns: int, first: int = 0) -> list[Row]:
    said = [f"turn {n}" for n in range(turns)]
    return [row_of(first + n, request=request(*said[: n + 1])) for n in range(turns)]


def test_message_is_kept_once_in_a_project(
    store: Store, url: str, project: Project, other: Project, row_of: RowMaker
) -> None:
    rows = conversation(row_of, 20)
    store.add(Batch(rows=rows[:7]))
    store.add(Batch(rows=rows[7:]))
    assert count(url, "contents") == count(url, "prefixes") == 20
    theirs = [row_of(100, project=other.id, request=rows[-1].request)]
    store.add(Batch(rows=theirs))
    assert count(url, "contents") == count(url, "prefixes") == 40
    assert list(store.each_log(project.id, page=6)) == rows[::-1]
    assert store.logs(None, limit=30) == [*theirs, *rows[::-1]]
    assert wrong(url) == {}


def test_list_of_thousands_of_messages_is_read_at_once(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    said = [f"message {n}" for n in range(3_000)]
    rows = [row_of(1, request=request(*said)), row_of(2, request=request(*said[:2_000]))]
    store.add(Batch(rows=rows))
    assert store.logs(project.id) == rows[::-1]


def test_rows_without_texts_are_asked_for_as_such(
    store: Store, project: Project, ten: list[Row]
) -> None:
    rows = store.logs(project.id, texts=False)
    assert [row.id for row in rows] == [row.id for row in ten[::-1]]
    assert {(row.request, row.response) for row in rows} == {(None, None)}


def test_call_takes_with_it_what_only_it_used(
    store: Store, url: str, project: Project, row_of: RowMaker
) -> None:
    rows = conversation(row_of, 5)
    branch = row_of(50, request=request("turn 0", "turn 1", "another", "way"))
    store.add(Batch(rows=[*rows, branch]))
    store.delete_record(project.id, rows[4].id)
    assert count(url, "contents") == 5
    store.delete_record(project.id, rows[0].id)
    assert store.record(project.id, branch.id) == branch
    store.delete_record(project.id, branch.id)
    assert count(url, "contents") == 4
    assert wrong(url) == {}
    for row in rows[1:4]:
        assert store.record(project.id, row.id) == row
        store.delete_record(project.id, row.id)
        assert wrong(url) == {}
    assert count(url, "contents") == count(url, "prefixes") == 0


def test_removed_project_leaves_nothing(
    store: Store, url: str, project: Project, other: Project, row_of: RowMaker
) -> None:
    theirs = row_of(900, project=other.id, request=request("turn 0", "turn 1"))
    store.add(Batch(rows=[*conversation(row_of, 250), theirs]))
    assert store.remove_project(project.id)
    assert count(url, "records") == 1
    assert wrong(url) == {}
    assert store.remove_project(other.id)
    for table in ("records", "contents", "prefixes", "project_sizes", "record_metadata"):
        assert count(url, table) == 0


def test_calls_are_deleted_by_metadata_with_all_that_they_had(
    store: Store, url: str, project: Project, other: Project, row_of: RowMaker
) -> None:
    mine = conversation(row_of, 130)
    rows = [row_of(n, request=row.request, metadata={"user": "a"}) for n, row in enumerate(mine)]
    kept = row_of(500, request=request("turn 0"), metadata={"user": "b"})
    unlogged = row_of(501, logged=False, request=None, response=None, metadata={"user": "a"})
    theirs = row_of(502, project=other.id, metadata={"user": "a"})
    store.add(Batch(rows=[*rows, kept, unlogged, theirs], positions={"segment": 1}))
    deleted = store.delete_records(project.id, [Filter("metadata.user", "a")])
    assert (deleted.calls, deleted.messages) == (131, 129)
    assert deleted.bytes > 131 * 20
    assert store.logs(None) == [theirs, kept]
    assert store.add(Batch(rows=rows)) == 0
    assert wrong(url) == {}
    assert store.delete_records(project.id, [Filter("tags.user", "a")]).calls == 0


def test_calls_are_deleted_by_all_filters_together(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    rows = [
        row_of(1, metadata={"user": "a"}),
        row_of(2, metadata={"user": "a"}, model="other"),
        row_of(3, model="other"),
    ]
    store.add(Batch(rows=rows))
    filters = [Filter("metadata.user", "a"), Filter("model", "other")]
    assert store.delete_records(project.id, filters).calls == 1
    assert store.logs(project.id) == [rows[2], rows[0]]
    assert store.delete_records(project.id, [Filter("completionId", "chatcmpl-3")]).calls == 1


def test_everything_is_deleted_by_no_filter_that_is_wrong_or_missing(
    store: Store, project: Project, ten: list[Row]
) -> None:
    with pytest.raises(BadRequest, match="at least one"):
        store.delete_records(project.id, [])
    with pytest.raises(BadRequest, match="'id'"):
        store.delete_records(project.id, [Filter("id", ten[0].id)])
    assert len(store.logs(project.id)) == 10


def test_sums_by_metadata_go_with_the_last_call_that_has_it(
    url: str, project: Project, row_of: RowMaker
) -> None:
    with closing(Store.open(url, usage_names=("user", "team"))) as store:
        rows = [
            row_of(1, metadata={"user": "a", "team": "x"}),
            row_of(2, metadata={"user": "b", "team": "x"}),
        ]
        store.add(Batch(rows=rows))
        assert count(url, "usage_hours") == 4
        filters = [Filter("metadata.user", "a"), Filter("metadata.team", "x")]
        assert store.delete_records(project.id, filters).usage_rows == 2
        assert store.delete_records(project.id, [Filter("metadata.team", "x")]).usage_rows == 2
        assert count(url, "usage_hours") == 2


def test_some_add_what_others_delete(url: str, project: Project, row_of: RowMaker) -> None:
    def drain(first: int) -> None:
        with closing(Store.open(url, busy_timeout_s=30)) as own:
            for at in range(first, first + 60, 6):
                rows = [
                    row_of(at + n, request=request(*"ab"[: n % 3], "c" * n, "d")) for n in range(6)
                ]
                own.add(Batch(rows=rows))

    def end(_: int) -> None:
        with closing(Store.open(url, busy_timeout_s=30)) as own:
            for _ in range(25):
                own.shrink_texts(project.id, 100)
                own.expire_records(project.id, 1 << 60)

    with ThreadPoolExecutor(5) as threads:
        work = [threads.submit(drain, n * 1000) for n in range(3)]
        work += [threads.submit(end, n) for n in range(2)]
        for each in work:
            each.result(timeout=60)
    assert wrong(url) == {}
    with closing(Store.open(url)) as own:
        kept = own.logs(project.id, limit=1000)
    assert all(row.request is None or '"d"' in row.request for row in kept)


def test_every_row_is_in_order_after_a_random_history(
    store: Store, url: str, project: Project, other: Project, row_of: RowMaker
) -> None:
    chance = random.Random(7)
    there: dict[str, Row] = {}
    for n in range(60):
        owner = chance.choice((project, other))
        some = [
            row_of(
                n * 10 + m,
                project=owner.id,
                request=request(*(chance.choice("ab") for _ in range(chance.randrange(5)))),
                metadata={"n": chance.choice("xyz")},
            )
            for m in range(chance.randrange(8))
        ]
        store.add(Batch(rows=some))
        there.update({row.id: row for row in some})
        for row in chance.sample(list(there.values()), min(len(there), chance.randrange(5))):
            store.delete_record(row.project, row.id)
            del there[row.id]
        if not n % 10:
            assert wrong(url) == {}
    kept = sorted(there.values(), key=lambda row: row.id, reverse=True)
    assert store.logs(None, limit=1000) == kept
    assert wrong(url) == {}
