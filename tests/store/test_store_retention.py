"""What was kept long enough ends: texts before numbers, the oldest first, a little at a time."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from orphans import wrong
from sqlalchemy import create_engine, text

from standpipe.store import Batch, Project, Row, Store
from standpipe.store.months import id_at
from standpipe.store.removal import AT_ONCE
from standpipe.store.schema import HAS_TEXT

RowMaker = Callable[..., Row]

LONG = [{"role": "user", "content": "a long question " * 100}]


@pytest.fixture
def row_of(row_of: RowMaker) -> RowMaker:
    """Return what makes a row whose id is of the time of its request."""

    def make(n: int, **fields: Any) -> Row:
        return row_of(n, **{"id": f"{id_at(n * 1_000_000)}-7000-8000-{n:012}", **fields})

    return make


def request(n: int) -> str:
    noise = random.Random(n).randbytes(700).hex()
    return json.dumps({"messages": [*LONG, {"role": "user", "content": noise}]})


def without_text(row: Row | None) -> dict[str, Any]:
    assert row is not None
    kept = {name: getattr(row, name) for name in row.__struct_fields__}
    return kept | {"request": None, "response": None, "updated_at": 0}


def test_texts_end_before_numbers(
    store: Store, url: str, project: Project, row_of: RowMaker
) -> None:
    rows = [row_of(n, request=request(n)) for n in range(6)]
    store.add(Batch(rows=rows))
    assert store.expire_texts(project.id, 3_000_000) == 3
    assert store.expire_texts(project.id, 3_000_000) == 0
    found = store.logs(project.id)
    assert found[:3] == rows[:2:-1]
    assert [without_text(row) for row in found] == [without_text(row) for row in rows[::-1]]
    assert [row.request for row in found[3:]] == [None] * 3
    assert all(row.logged for row in found)
    assert wrong(url) == {}


def test_report_of_a_call_of_long_ago_is_as_old_as_the_report(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    imported = row_of(1, id=f"{id_at(9_000_000)}-7000-8000-{1:012}", kind="report")
    store.add(Batch(rows=[imported]))
    assert store.expire_texts(project.id, 5_000_000) == 0
    assert store.expire_records(project.id, 5_000_000) == 0
    assert store.expire_records(project.id, 9_001_000) == 1


def test_call_whose_text_has_ended_is_no_stored_completion(
    store: Store, project: Project, ten: list[Row]
) -> None:
    store.expire_texts(project.id, 1_000_000)
    assert store.completion(project.id, ten[0].id) is None
    assert store.record(project.id, ten[0].id) is not None
    assert store.completions(project.id)[0] == ten[1:]


def test_texts_as_the_first_version_kept_them_end_too(
    store: Store, url: str, project: Project, ten: list[Row]
) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        old = "UPDATE records SET request = '{}', response = '[]', request_body = NULL,"
        connection.execute(text(f"{old} response_body = NULL"))
    engine.dispose()
    row = store.completion(project.id, ten[9].id)
    assert row is not None
    assert (row.request, row.response) == ("{}", "[]")
    assert store.expire_texts(project.id, 9_000_000) == 9
    assert store.completions(project.id)[0] == [row]


def test_oldest_texts_end_until_the_rest_has_room(
    store: Store, url: str, project: Project, row_of: RowMaker
) -> None:
    rows = [row_of(n, request=request(n)) for n in range(20)]
    store.add(Batch(rows=rows))
    whole = store.content_sizes()[project.id]
    assert store.shrink_texts(project.id, whole) == 0
    most = whole // 2
    while store.shrink_texts(project.id, most):
        pass
    assert most - whole // 10 < store.content_sizes()[project.id] <= most
    kept = [row.request is not None for row in store.logs(project.id)]
    assert kept == sorted(kept, reverse=True)
    assert any(kept)
    assert wrong(url) == {}
    while store.shrink_texts(project.id, 0):
        pass
    assert store.content_sizes()[project.id] == 0


def test_calls_end_some_at_a_time(
    store: Store, url: str, project: Project, row_of: RowMaker
) -> None:
    rows = [row_of(n, request=request(n % 7), metadata={"n": str(n)}) for n in range(AT_ONCE + 9)]
    store.add(Batch(rows=rows, positions={"segment": 1}))
    before = AT_ONCE * 1_000_000 + 5_000_000
    assert store.expire_records(project.id, before) == AT_ONCE
    assert store.expire_records(project.id, before) == 5
    assert store.expire_records(project.id, before) == 0
    assert store.logs(project.id) == rows[:-5:-1] or len(store.logs(project.id)) == 4
    assert wrong(url) == {}
    assert store.add(Batch(rows=rows)) == 0


def test_removal_of_a_project_is_finished_after_a_crash(
    store: Store, url: str, project: Project, ten: list[Row]
) -> None:
    assert store.finish_removals() == 0
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM projects"))
        grave = "INSERT INTO tombstones (record_id, project_id, deleted_at) VALUES (:id, :id, 1)"
        connection.execute(text(grave), {"id": project.id})
    engine.dispose()
    assert store.finish_removals() == 10
    assert store.finish_removals() == 0
    assert store.counts(project.id) == {}
    assert store.content_sizes() == {}
    assert wrong(url) == {}


def test_project_may_keep_its_calls_longer_or_shorter(store: Store, project: Project) -> None:
    changed = store.change_project(project.id, {"content_days": 1.5, "content_bytes": 0})
    assert changed == store.project(project.id)
    assert changed is not None
    assert (changed.content_days, changed.records_days, changed.content_bytes) == (1.5, None, 0)
    again = store.change_project(project.id, {"content_days": None})
    assert again is not None
    assert (again.content_days, again.content_bytes) == (None, 0)


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_what_has_ended_is_not_looked_through_again(store: Store, url: str) -> None:
    engine = create_engine(url)
    query = (
        "SELECT id FROM records WHERE project_id = 'p' AND requested_at < 5"
        f" AND ({HAS_TEXT}) ORDER BY requested_at LIMIT 100"
    )
    with engine.connect() as connection:
        plan = str(connection.execute(text(f"EXPLAIN QUERY PLAN {query}")).all())
    engine.dispose()
    assert "ix_records_with_text (project_id=? AND requested_at<?)" in plan
    assert "TEMP B-TREE" not in plan
