"""Cached answers: found, replaced, ended by time and size, gone with their project."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from standpipe.errors import StoreUnavailable
from standpipe.store import Project, Store
from standpipe.store.cache import CachedAnswer
from standpipe.store.removal import AT_ONCE
from standpipe.store.rows import now_us


def answers(project: str, *hashes: bytes, body: bytes = b"a") -> list[CachedAnswer]:
    return [CachedAnswer(project, each, body) for each in hashes]


def test_answer_is_found_by_project_and_hash_and_not_when_it_is_old(
    store: Store, project: Project, other: Project
) -> None:
    before = now_us()
    assert store.cached_answer(project.id, b"h", 0) is None
    assert store.cache_answers(answers(project.id, b"h", body=b"\x00\xffsaid")) == 1
    assert store.cached_answer(project.id, b"h", before) == b"\x00\xffsaid"
    assert store.cached_answer(project.id, b"h", now_us() + 1) is None
    assert store.cached_answer(project.id, b"i", 0) is None
    assert store.cached_answer(other.id, b"h", 0) is None


def test_newer_answer_takes_the_place_of_the_earlier_one(store: Store, project: Project) -> None:
    store.cache_answers(answers(project.id, b"h"))
    again = now_us()
    store.cache_answers([*answers(project.id, b"h", b"i", body=b"newer")])
    assert store.cached_answer(project.id, b"h", again) == b"newer"
    assert store.trim_cache(0, len(b"newer") * 2) == 0


def test_answer_of_no_project_is_not_kept(store: Store, project: Project) -> None:
    assert store.cache_answers([*answers("gone", b"h"), *answers(project.id, b"h")]) == 1
    assert store.cached_answer("gone", b"h", 0) is None


def test_old_answers_go_and_then_the_oldest_over_the_size(store: Store, project: Project) -> None:
    for number in range(4):
        store.cache_answers(answers(project.id, b"%d" % number, body=b"x" * 10))
    assert store.trim_cache(0, 40) == 0
    assert store.trim_cache(0, 25) == 2
    found = [store.cached_answer(project.id, b"%d" % number, 0) for number in range(4)]
    assert found == [None, None, b"x" * 10, b"x" * 10]
    assert store.trim_cache(now_us() + 1, 40) == 2
    assert store.trim_cache(now_us() + 1, 0) == 0


def test_answers_go_with_their_project(store: Store, project: Project, other: Project) -> None:
    many = [b"%d" % number for number in range(AT_ONCE + 5)]
    store.cache_answers([*answers(project.id, *many), *answers(other.id, b"h")])
    assert store.end_project(project.id)
    assert store.finish_removals() == AT_ONCE
    assert store.finish_removals() == 5
    assert store.finish_removals() == 0
    assert store.cached_answer(project.id, many[-1], 0) is None
    assert store.cached_answer(other.id, b"h", 0) == b"a"
    assert store.remove_project(other.id)
    assert store.cached_answer(other.id, b"h", 0) is None


def test_answers_are_looked_up_in_many_threads(store: Store, project: Project) -> None:
    store.cache_answers(answers(project.id, b"h"))
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(store.cached_answer, project.id, b"h", 0) for _ in range(200)]
        assert {each.result() for each in asked} == {b"a"}


def test_look_up_that_fails_says_that_the_store_is_away_and_works_again(
    empty_url: str,
) -> None:
    store = Store.open(empty_url)
    with pytest.raises(StoreUnavailable):
        store.cached_answer("p", b"h", 0)
    store.migrate()
    assert store.cached_answer("p", b"h", 0) is None
    store.close()
