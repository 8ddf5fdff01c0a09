"""Values that are found span by span of ids: every record's, whatever its id is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from standpipe.store import Batch, Filter, Project, Row, Store

#: Ids of several spans, some of the same one, and some that are none of ours.
IDS = (
    "0193b2a1-0000-7000-8000-000000000001",
    "0193b2ff-0000-7000-8000-000000000002",
    "0199a0de-3c00-7000-8000-000000000003",
    "019aabcd-3c00-7000-8000-000000000004",
    "a",
    "ab",
    "ab-foreign-one",
    "😀-foreign-one",
)
ONLY_SQLITE = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)


@pytest.fixture
def rows(store: Store, row_of: Callable[..., Row]) -> list[Row]:
    made = [
        row_of(n, id=name, completion_id=f"answer-{n}", metadata={"team": "x", "user": f"u{n}"})
        for n, name in enumerate(IDS)
    ]
    store.add(Batch(rows=made))
    return made


def test_every_record_is_found_by_its_answers_id(
    store: Store, project: Project, rows: list[Row]
) -> None:
    for n, row in enumerate(rows):
        found = store.record(project.id, f"answer-{n}")
        assert found is not None
        assert found.id == row.id
        earlier = store.logs(None, before=f"answer-{n}")
        assert [each.id for each in earlier] == [*reversed(IDS[:n])]
    assert store.record("another", "answer-1") is None


def test_every_record_is_found_by_its_metadata(
    store: Store, project: Project, rows: list[Row]
) -> None:
    assert store.count(project.id, metadata={"team": "x"}) == len(IDS)
    assert [row.id for row in store.completions(project.id, metadata={"team": "x"})[0]] == [*IDS]
    for row in rows:
        both = {"team": "x", "user": row.metadata["user"]}
        assert [each.id for each in store.logs(project.id, metadata=both)] == [row.id]
        assert store.count(project.id, metadata=both) == 1
    assert store.count("another", metadata={"team": "x"}) == 0


def test_every_record_is_changed_and_deleted_by_what_it_has(
    store: Store, project: Project, rows: list[Row]
) -> None:
    assert store.update_metadata(project.id, [Filter("metadata.team", "x")], {"seen": "1"}) == len(
        IDS
    )
    by_answer = [Filter("completionId", "answer-3"), Filter("metadata.seen", "1")]
    assert store.update_metadata(project.id, by_answer, {"seen": "2"}) == 1
    assert store.delete_records("another", [Filter("metadata.team", "x")]).calls == 0
    assert store.delete_records(project.id, [Filter("completionId", "answer-6")]).calls == 1
    assert store.delete_records(project.id, [Filter("metadata.team", "x")]).calls == len(rows) - 1
    assert store.counts(project.id) == {}


@ONLY_SQLITE
def test_nothing_is_gone_through_from_end_to_end(
    store: Store, project: Project, rows: list[Row], url: str
) -> None:
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_connection: object, _cursor: object, text: str, given: object, *_: object) -> None:
        assert isinstance(given, tuple)
        asked.append((text, given))

    engine = store._database._engine
    event.listen(engine, "before_cursor_execute", note)
    store.record(project.id, str(rows[0].completion_id))
    store.completions(project.id, metadata={"team": "x", "user": "u1"})
    store.count(project.id, metadata={"user": "u1"})
    event.remove(engine, "before_cursor_execute", note)
    with sqlite3.connect(Path(url.removeprefix("sqlite:///"))) as connection:
        for text, given in asked:
            if text.startswith(("SELECT", "WITH")):
                plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", given).fetchall()
                tables = [line[3] for line in plan if "record" in line[3]]
                assert not [line for line in tables if line.startswith("SCAN")], text
    connection.close()
