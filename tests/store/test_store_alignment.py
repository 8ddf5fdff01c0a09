"""Alignment sets: rows, what people say of them, and what versions do."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from standpipe.errors import BadRequest
from standpipe.store import Project, Store, alignment
from standpipe.store.alignment import (
    AlignmentRow,
    AlignmentTally,
    AlignmentVerdict,
    NewAlignmentRow,
)

ROWS = [NewAlignmentRow("a", '{"output":{}}', "PASS"), NewAlignmentRow("b", "{}")]
SAID = AlignmentVerdict(1, 0.75, "Why", None, 5)


@pytest.fixture
def filled(store: Store, project: Project) -> Store:
    store.add_criterion(project.id, "polite", "{}")
    assert store.add_alignment_rows(project.id, "polite", ROWS) == 2
    return store


def rows(store: Store, project: Project) -> list[AlignmentRow]:
    found = store.alignment_rows(project.id, "polite")
    assert found is not None
    return found


def test_rows_stay_in_their_order_with_what_people_say(filled: Store, project: Project) -> None:
    found = rows(filled, project)
    assert [(each.id, each.case, each.judgement) for each in found] == [
        ("a", '{"output":{}}', "PASS"), ("b", "{}", None),
    ]  # fmt: skip
    bare = filled.alignment_rows(project.id, "polite", cases=False)
    assert bare == [replace(each, case="") for each in found]


def test_row_that_is_there_takes_another_judgement_and_loses_none(
    filled: Store, project: Project
) -> None:
    again = [replace(ROWS[0], judgement=None), replace(ROWS[1], judgement="FAIL")]
    assert filled.add_alignment_rows(project.id, "polite", again) == 0
    assert [each.judgement for each in rows(filled, project)] == ["PASS", "FAIL"]


def test_row_is_judged_and_taken_out(filled: Store, project: Project) -> None:
    assert filled.judge_alignment_row(project.id, "polite", "b", "FAIL")
    assert filled.judge_alignment_row(project.id, "polite", "a", None)
    assert [each.judgement for each in rows(filled, project)] == [None, "FAIL"]
    assert not filled.judge_alignment_row(project.id, "polite", "c", "FAIL")
    assert filled.remove_alignment_row(project.id, "polite", "a")
    assert not filled.remove_alignment_row(project.id, "polite", "a")
    assert [each.id for each in rows(filled, project)] == ["b"]


def test_verdicts_are_kept_by_version_and_the_last_counts(filled: Store, project: Project) -> None:
    second = replace(SAID, number=2, score=None, error="it hung", explanation=None)
    for verdict in (second, replace(SAID, score=0.1), SAID):
        assert filled.add_alignment_verdict(project.id, "polite", "a", verdict)
    assert rows(filled, project)[0].verdicts == (SAID, second)
    assert not filled.add_alignment_verdict(project.id, "polite", "c", SAID)


def test_another_project_sees_and_changes_nothing(
    filled: Store, project: Project, other: Project
) -> None:
    before = rows(filled, project)
    assert filled.alignment_rows(other.id, "polite") is None
    filled.add_criterion(other.id, "polite", "{}")
    assert filled.alignment_rows(other.id, "polite") == []
    assert not filled.judge_alignment_row(other.id, "polite", "a", "FAIL")
    assert not filled.remove_alignment_row(other.id, "polite", "a")
    assert not filled.add_alignment_verdict(other.id, "polite", "a", SAID)
    assert rows(filled, project) == before


def test_verdicts_are_counted_by_version_and_by_what_people_say(
    filled: Store, project: Project, other: Project
) -> None:
    filled.add_alignment_rows(project.id, "polite", [replace(ROWS[1], id="c", judgement="PASS")])
    for row, score in (("a", 0.5), ("b", 1.0), ("c", 0.4)):
        filled.add_alignment_verdict(project.id, "polite", row, replace(SAID, score=score))
    failed = AlignmentVerdict(2, None, None, "it hung", 5)
    filled.add_alignment_verdict(project.id, "polite", "a", failed)
    filled.change_project(project.id, {"alignment_bar": 0.25})
    (criterion,) = filled.criteria(project.id)
    # Nobody has said what the second row is.
    first = AlignmentTally(criterion.id, 1, 0.25, "PASS", asked=2, judged=2, passed=1)
    second = AlignmentTally(criterion.id, 2, 0.25, "PASS", asked=1, judged=0, passed=0)
    found = filled.alignment_tallies(project.id, passes=0.5)
    assert sorted(found, key=lambda each: each.number) == [first, second]
    assert len(filled.alignment_tallies(None, ["polite"], passes=0.5)) == 2
    assert filled.alignment_tallies(project.id, ["other"], passes=0.5) == []
    assert filled.alignment_tallies(other.id, passes=0.5) == []
    filled.judge_alignment_row(project.id, "polite", "b", "FAIL")
    found = filled.alignment_tallies(project.id, ["polite"], passes=0.4)
    assert {(each.number, each.judgement, each.passed) for each in found} == {
        (1, "PASS", 2), (1, "FAIL", 1), (2, "PASS", 0),
    }  # fmt: skip


def test_set_goes_with_its_criterion(filled: Store, project: Project) -> None:
    filled.add_alignment_verdict(project.id, "polite", "a", SAID)
    filled.remove_criterion(project.id, "polite")
    assert filled.add_alignment_rows(project.id, "polite", ROWS) is None
    filled.add_criterion(project.id, "polite", "{}")
    assert rows(filled, project) == []


def test_set_holds_so_many_rows_and_no_more(
    filled: Store, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alignment, "MOST", 2)
    with pytest.raises(BadRequest, match="2 rows"):
        filled.add_alignment_rows(project.id, "polite", [NewAlignmentRow("c", "{}")])
    assert len(rows(filled, project)) == 2


def test_row_is_put_back_with_its_verdicts(filled: Store, project: Project) -> None:
    filled.add_alignment_verdict(project.id, "polite", "a", SAID)
    row = rows(filled, project)[0]
    assert not filled.restore_alignment_row(row)
    filled.remove_alignment_row(project.id, "polite", "a")
    assert filled.restore_alignment_row(row)
    assert rows(filled, project)[0] == row
    assert not filled.restore_alignment_row(replace(row, criterion="none"))


def test_bar_is_the_projects(store: Store, project: Project) -> None:
    assert project.alignment_bar is None
    changed = store.change_project(project.id, {"alignment_bar": 0.7})
    assert changed is not None
    assert store.project(project.id) == changed
    assert changed.alignment_bar == 0.7
