"""Stored completions, metadata and logs, as the API and the command line ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from standpipe.errors import BadRequest, NotFound
from standpipe.store import Batch, Filter, LogFilters, Project, Row, Store, labelled

RowMaker = Callable[..., Row]


def _ids(rows: list[Row]) -> list[str]:
    return [row.id for row in rows]


def test_record_is_found_by_its_id_and_by_its_answers(
    store: Store, project: Project, ten: list[Row]
) -> None:
    assert store.record(project.id, ten[4].id) == ten[4]
    assert store.record(project.id, "chatcmpl-4") == ten[4]
    assert store.record(project.id, "chatcmpl-none") is None


def test_newest_record_of_an_answer_wins(store: Store, project: Project, row_of: RowMaker) -> None:
    rows = [row_of(n, completion_id="chatcmpl-local") for n in (2, 3, 1)]
    store.add(Batch(rows=rows))
    assert store.record(project.id, "chatcmpl-local") == rows[1]


def test_completion_is_only_what_was_logged_and_answered(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    store.add(
        Batch(
            rows=[
                row_of(1),
                row_of(2, kind="report"),
                row_of(3, logged=False, response=None),
                row_of(4, status=500, outcome="failed"),
                row_of(5, status=None, outcome="lost", response=None),
                row_of(6, response=None),
            ]
        )
    )
    rows, more = store.completions(project.id)
    assert _ids(rows) == [row_of(1).id, row_of(2).id]
    assert not more
    assert store.completion(project.id, "chatcmpl-1") == row_of(1)
    assert store.completion(project.id, "chatcmpl-3") is None
    assert store.record(project.id, "chatcmpl-3") is not None


def test_completion_behind_a_newer_record_that_was_not_logged_is_found(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    hidden = row_of(2, completion_id="same", logged=False, response=None)
    shown = row_of(1, completion_id="same")
    store.add(Batch(rows=[shown, hidden]))
    assert store.completion(project.id, "same") == shown


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 5, 10, 11])
def test_pages_make_up_the_whole_list(
    store: Store, project: Project, ten: list[Row], order: Any, limit: int
) -> None:
    seen: list[Row] = []
    after, more = None, True
    while more:
        page, more = store.completions(project.id, order=order, limit=limit, after=after)
        assert 0 < len(page) <= limit
        seen += page
        after = page[-1].completion_id
    assert seen == (ten if order == "asc" else ten[::-1])


def test_rows_of_the_same_moment_are_all_listed(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    rows = [row_of(n, requested_at=5) for n in range(4)]
    store.add(Batch(rows=rows))
    first, more = store.completions(project.id, limit=2)
    second, none = store.completions(project.id, limit=2, after=first[-1].id)
    assert first + second == rows
    assert (more, none) == (True, False)


def test_unknown_after_is_named(store: Store, project: Project, ten: list[Row]) -> None:
    with pytest.raises(NotFound, match="chatcmpl-99") as caught:
        store.completions(project.id, after="chatcmpl-99")
    assert caught.value.param == "after"
    with pytest.raises(NotFound) as caught:
        store.logs(project.id, before="chatcmpl-99")
    assert caught.value.param == "before"


def test_completions_are_filtered_by_model_and_metadata(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    rows = [
        row_of(1, metadata={"a": "1", "b": "1"}),
        row_of(2, metadata={"a": "1", "b": "2"}),
        row_of(3, metadata={"a": "1", "b": "2"}, model="other"),
        row_of(4),
    ]
    store.add(Batch(rows=rows))
    both = {"a": "1", "b": "2"}
    assert store.completions(project.id, metadata=both)[0] == rows[1:3]
    assert store.completions(project.id, metadata=both, model="other")[0] == rows[2:3]
    assert store.completions(project.id, metadata={"a": "%"})[0] == []
    assert store.completions(project.id, model="OTHER")[0] == []


@pytest.mark.parametrize("few", [0, 10, labelled.FEW])
def test_records_with_labels_are_listed_in_order_whether_few_or_many_have_them(
    store: Store,
    project: Project,
    other: Project,
    row_of: RowMaker,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
) -> None:
    monkeypatch.setattr(labelled, "FEW", few)
    owners = (project, project, other)
    labels = [{"a": str(n % 2), "b": str(n % 7)} for n in range(60)]
    rows = [row_of(n, project=owners[n % 3].id, metadata=labels[n]) for n in range(60)]
    store.add(Batch(rows=rows))
    for wanted in ({"a": "1"}, {"b": "3"}, {"a": "0", "b": "3"}, {"a": "2"}, {"a": "1", "c": "1"}):
        theirs = [row for row in rows if wanted.items() <= row.metadata.items()]
        ours = [row for row in theirs if row.project == project.id]
        newest = ours[::-1]
        assert store.completions(project.id, metadata=wanted)[0] == ours[:20]
        assert store.completions(project.id, metadata=wanted, order="desc")[0] == newest[:20]
        assert store.logs(project.id, metadata=wanted) == newest
        assert store.logs(None, metadata=wanted) == theirs[::-1]
        if ours:
            after = store.completions(project.id, metadata=wanted, after=ours[2].id, limit=3)
            assert after == (ours[3:6], len(ours) > 6)


def test_metadata_is_replaced(store: Store, project: Project, ten: list[Row]) -> None:
    changed = store.set_metadata(project.id, "chatcmpl-4", {"x": "y"})
    assert changed is not None
    assert changed == store.record(project.id, ten[4].id)
    assert changed.metadata == {"x": "y"}
    assert changed.updated_at > ten[4].updated_at
    assert _ids(store.completions(project.id, metadata={"x": "y"})[0]) == [ten[4].id]
    assert store.completions(project.id, metadata={"n": "4"})[0] == []
    assert store.set_metadata(project.id, "chatcmpl-99", {}) is None


def test_metadata_can_be_emptied(store: Store, project: Project, ten: list[Row]) -> None:
    changed = store.set_metadata(project.id, ten[4].id, {})
    assert changed is not None
    assert changed.metadata == {}


def test_deleted_record_is_gone_with_its_metadata(
    store: Store, project: Project, ten: list[Row]
) -> None:
    assert store.delete_record(project.id, "chatcmpl-4")
    assert store.record(project.id, ten[4].id) is None
    assert store.completions(project.id, metadata={"n": "4"})[0] == []
    assert not store.delete_record(project.id, "chatcmpl-4")


CASES: dict[str, tuple[list[Filter], int]] = {
    "everything": ([], 3),
    "model": ([Filter("model", "gpt-4o")], 2),
    "completion": ([Filter("completionId", "chatcmpl-2")], 1),
    "metadata": ([Filter("metadata.prompt", "p1")], 2),
    "tags": ([Filter("tags.prompt", "p1")], 2),
    "dotted name": ([Filter("metadata.a.b", "c")], 1),
    "several": ([Filter("metadata.prompt", "p1"), Filter("model", "other")], 1),
    "contradiction": ([Filter("metadata.prompt", "p1"), Filter("metadata.prompt", "p2")], 0),
    "other value": ([Filter("model", "gpt-4")], 0),
    "pattern": ([Filter("model", "%")], 0),
}


@pytest.mark.parametrize(("filters", "matched"), CASES.values(), ids=CASES.keys())
def test_update_metadata_matches(
    store: Store, project: Project, row_of: RowMaker, filters: list[Filter], matched: int
) -> None:
    rows = [
        row_of(1, metadata={"prompt": "p1", "keep": "it"}),
        row_of(2, metadata={"prompt": "p1", "a.b": "c"}, model="other"),
        row_of(3, status=500, outcome="failed"),
        row_of(4, logged=False),
    ]
    store.add(Batch(rows=rows))
    assert store.update_metadata(project.id, filters, {"seen": "yes", "prompt": None}) == matched
    seen = store.logs(project.id, metadata={"seen": "yes"})
    assert len(seen) == matched
    for row in seen:
        before = next(each for each in rows if each.id == row.id)
        kept = {name: value for name, value in before.metadata.items() if name != "prompt"}
        assert row.metadata == {**kept, "seen": "yes"}
        assert row.updated_at > before.updated_at


def test_update_that_changes_what_it_matches_counts_each_call_once(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    store.add(Batch(rows=[row_of(n, metadata={"state": "new"}) for n in range(1_203)]))
    filters = [Filter("metadata.state", "new")]
    assert store.update_metadata(project.id, filters, {"state": "old"}) == 1_203
    assert store.update_metadata(project.id, filters, {"state": "old"}) == 0
    assert len(store.logs(project.id, metadata={"state": "old"}, limit=2_000)) == 1_203


@pytest.mark.parametrize("field", ["", "status", "metadata", "metadata.", "Model", "notes.a"])
def test_unknown_field_of_a_filter_is_refused(store: Store, project: Project, field: str) -> None:
    with pytest.raises(BadRequest, match="completionId"):
        store.update_metadata(project.id, [Filter(field, "x")], {})


_label = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz%"), max_size=3)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    first=_label,
    changes=st.dictionaries(st.sampled_from("abc"), st.none() | st.sampled_from("xyz%")),
)
def test_map_and_filters_agree(
    store: Store,
    project: Project,
    row_of: RowMaker,
    first: dict[str, str],
    changes: dict[str, str | None],
) -> None:
    store.add(Batch(rows=[row_of(1)]))
    store.set_metadata(project.id, row_of(1).id, first)
    assert store.update_metadata(project.id, [], changes) == 1
    row = store.record(project.id, row_of(1).id)
    assert row is not None
    expected = {key: value for key, value in (first | changes).items() if value is not None}
    assert row.metadata == expected
    for name in "abc":
        for value in "xyz%":
            found = store.logs(project.id, metadata={name: value})
            assert (found == [row]) == (expected.get(name) == value)


def test_latest_is_the_newest_logged_call_by_its_request(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    assert store.latest(project.id) is None
    rows = [row_of(9, logged=False), row_of(8, status=500, outcome="failed"), row_of(7)]
    store.add(Batch(rows=rows))
    assert store.latest(project.id) == rows[1]


def test_logs_are_newest_first_and_paged(store: Store, project: Project, ten: list[Row]) -> None:
    assert store.logs(project.id) == ten[::-1]
    first = store.logs(project.id, limit=4)
    assert first == ten[:5:-1]
    assert store.logs(project.id, limit=4, before=first[-1].id) == ten[5:1:-1]


FILTERS: dict[str, tuple[LogFilters, list[int]]] = {
    "none": ({}, [5, 4, 3, 2, 1]),
    "nulls": ({"model": None, "status": None, "since": None}, [5, 4, 3, 2, 1]),
    "model": ({"model": "other"}, [2]),
    "status": ({"status": 500}, [4]),
    "outcome": ({"outcome": "abandoned"}, [3]),
    "metadata": ({"metadata": {"a": "1"}}, [2, 1]),
    "since": ({"since": 4_000_000}, [5, 4]),
    "until": ({"until": 4_000_000}, [3, 2, 1]),
    "logged": ({"logged": True}, [4, 3, 2, 1]),
    "not logged": ({"logged": False}, [5]),
    "several": ({"metadata": {"a": "1"}, "model": "other", "since": 0}, [2]),
}


@pytest.mark.parametrize(("filters", "expected"), FILTERS.values(), ids=FILTERS.keys())
def test_logs_are_filtered(
    store: Store, project: Project, row_of: RowMaker, filters: LogFilters, expected: list[int]
) -> None:
    rows = [
        row_of(1, metadata={"a": "1"}),
        row_of(2, metadata={"a": "1"}, model="other"),
        row_of(3, outcome="abandoned", metadata={"a": "2"}),
        row_of(4, outcome="failed", status=500),
        row_of(5, logged=False),
    ]
    store.add(Batch(rows=rows))
    assert _ids(store.logs(project.id, **filters)) == [row_of(n).id for n in expected]
    assert _ids(store.logs(None, **filters)) == [row_of(n).id for n in expected]
    assert _ids(list(store.each_log(project.id, page=2, **filters))) == [
        row_of(n).id for n in expected
    ]


def test_all_calls_are_streamed_while_some_are_deleted(
    store: Store, project: Project, ten: list[Row]
) -> None:
    streamed = store.each_log(project.id, page=3)
    seen = [next(streamed) for _ in range(3)]
    for row in seen:
        store.delete_record(project.id, row.id)
    assert seen + list(streamed) == ten[::-1]


def test_counts_are_by_outcome(store: Store, project: Project, row_of: RowMaker) -> None:
    rows = [row_of(1), row_of(2), row_of(3, outcome="lost")]
    store.add(Batch(rows=rows))
    assert store.counts(project.id) == {"complete": 2, "lost": 1}
    assert store.counts(None) == {"complete": 2, "lost": 1}


def test_operator_sees_the_calls_of_all_projects(
    store: Store, other: Project, ten: list[Row], row_of: RowMaker
) -> None:
    store.add(Batch(rows=[row_of(11, project=other.id)]))
    assert len(store.logs(None)) == 11
    assert len(list(store.each_log(None, page=4))) == 11


def test_operator_pages_through_all_projects_in_order_of_time(
    store: Store, other: Project, ten: list[Row], row_of: RowMaker
) -> None:
    theirs = [row_of(n + 100, project=other.id, requested_at=n * 1_000_000 + 1) for n in range(10)]
    store.add(Batch(rows=theirs))
    merged = sorted(ten + theirs, key=lambda row: row.requested_at, reverse=True)
    assert store.logs(None, limit=7) == merged[:7]
    assert store.logs(None, limit=7, before=merged[6].id) == merged[7:14]
    assert list(store.each_log(None, page=3)) == merged
