"""Criteria and their versions."""

from __future__ import annotations

import threading

import pytest

from standpipe.errors import BadRequest, NotFound
from standpipe.store import Project, Store, criteria


def test_versions_are_counted_from_one_and_stay(store: Store, project: Project) -> None:
    made = store.add_criterion(project.id, "short", '{"max":1}', "Short answers")
    assert (made.slug, made.name, made.latest.number) == ("short", "Short answers", 1)
    second = store.add_criterion_version(project.id, "short", '{"max":2}')
    assert second is not None
    assert [each.definition for each in second.versions] == ['{"max":1}', '{"max":2}']
    assert second.versions[0] == made.latest
    assert store.criteria(project.id) == [second]
    assert second.version(1) == made.latest
    assert second.version(3) is None


def test_version_that_changes_nothing_is_none(store: Store, project: Project) -> None:
    made = store.add_criterion(project.id, "short", '{"max":1}')
    assert store.add_criterion_version(project.id, "short", '{"max":1}') == made
    assert store.add_criterion_version(project.id, "long", '{"max":1}') is None


def test_slug_is_the_only_one_of_its_project(
    store: Store, project: Project, other: Project
) -> None:
    store.add_criterion(project.id, "short", "{}")
    theirs = store.add_criterion(other.id, "short", '{"max":1}')
    with pytest.raises(BadRequest, match="'short' already"):
        store.add_criterion(project.id, "short", "{}")
    with pytest.raises(NotFound):
        store.add_criterion("nobody", "short", "{}")
    assert store.remove_criterion(project.id, "short")
    assert not store.remove_criterion(project.id, "short")
    assert store.criteria(None) == [theirs]


def test_criteria_are_listed_by_name_and_found_by_name(store: Store, project: Project) -> None:
    made = [store.add_criterion(project.id, slug, "{}") for slug in ("b", "a", "c")]
    assert [each.slug for each in store.criteria(project.id)] == ["a", "b", "c"]
    assert store.criteria(project.id, ["c", "nothing"]) == [made[2]]
    assert store.criteria(project.id, []) == []


def test_removed_criterion_that_is_made_again_begins_anew(store: Store, project: Project) -> None:
    store.add_criterion(project.id, "short", "{}")
    store.add_criterion_version(project.id, "short", '{"max":2}')
    store.remove_criterion(project.id, "short")
    assert store.add_criterion(project.id, "short", "{}").latest.number == 1
    assert len(store.criteria(project.id)[0].versions) == 1


def test_criteria_go_with_their_project(store: Store, project: Project, other: Project) -> None:
    store.add_criterion(project.id, "short", "{}")
    theirs = store.add_criterion(other.id, "short", "{}")
    assert store.end_project(project.id)
    assert store.criteria(None) == [theirs]


def test_there_are_only_so_many(
    store: Store, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(criteria, "MOST", 2)
    for slug in ("a", "b"):
        store.add_criterion(project.id, slug, "{}")
    with pytest.raises(BadRequest, match="2 criteria"):
        store.add_criterion(project.id, "c", "{}")
    store.add_criterion_version(project.id, "a", '{"max":1}')
    with pytest.raises(BadRequest, match="2 versions"):
        store.add_criterion_version(project.id, "a", '{"max":2}')


def test_versions_that_come_at_once_all_get_numbers(store: Store, project: Project) -> None:
    store.add_criterion(project.id, "short", "{}")

    def add(number: int) -> None:
        store.add_criterion_version(project.id, "short", f'{{"max":{number}}}')

    adding = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    (found,) = store.criteria(project.id)
    assert [each.number for each in found.versions] == list(range(1, 8))
    assert len({each.definition for each in found.versions}) == 7
