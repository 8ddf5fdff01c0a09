"""Projects, and the keys to them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from standpipe.errors import BadRequest, NotFound
from standpipe.store import Batch, Project, Row, Store, hash_token, new_token, public_id_of

TOKEN = "a-token-from-the-environment"


def test_project_is_found_by_name_and_by_id(store: Store, project: Project) -> None:
    assert store.project("ours") == project
    assert store.project(project.id) == project
    assert store.project("nobody's") is None


def test_project_named_like_another_ones_id_does_not_hide_it(
    store: Store, project: Project
) -> None:
    store.add_project(project.id)
    assert store.project(project.id) == project


def test_projects_are_listed_oldest_first(store: Store, project: Project, other: Project) -> None:
    assert store.projects() == [project, other]


def test_name_of_a_project_is_given_once(store: Store, project: Project, other: Project) -> None:
    with pytest.raises(BadRequest, match="ours"):
        store.add_project("ours")
    with pytest.raises(BadRequest, match="ours"):
        store.rename_project(other.id, "ours")


def test_project_can_be_renamed(store: Store, project: Project) -> None:
    renamed = store.rename_project(project.id, "still ours")
    assert renamed is not None
    assert (renamed.id, renamed.name) == (project.id, "still ours")
    assert store.project("ours") is None
    assert store.rename_project("no such id", "x") is None


def test_removed_project_takes_its_records_and_keys_along(
    store: Store, project: Project, ten: list[Row]
) -> None:
    key = store.add_key(project.id, name="k", read_only=False, token=TOKEN)
    assert store.remove_project(project.id)
    assert store.project(project.id) is None
    assert store.counts(None) == {}
    assert store.keys(None) == []
    assert store.key_by_hash(key.token_hash) is None
    assert not store.remove_project(project.id)


def test_workers_learn_of_the_keys_of_a_removed_project(store: Store, project: Project) -> None:
    key = store.add_key(project.id, name="k", read_only=False, token=TOKEN)
    store.remove_project(project.id)
    (changed,) = store.keys_changed_since(key.updated_at)
    assert changed.id == key.id
    assert changed.revoked_at is not None


def test_late_records_of_a_removed_project_are_not_kept(
    store: Store, project: Project, ten: list[Row]
) -> None:
    store.remove_project(project.id)
    store.forget_segment("any")
    assert store.add(Batch(rows=ten)) == 0


def test_token_has_a_public_part() -> None:
    public_id, token = new_token()
    assert public_id_of(token) == public_id
    assert token.startswith(f"sp_{public_id}_")
    assert len(token) == 3 + 10 + 1 + 43
    assert new_token() != (public_id, token)


@pytest.mark.parametrize("token", ["", TOKEN, "sp_short_x", "sp_abcdefghij_" + "x" * 42])
def test_foreign_token_has_no_public_part(token: str) -> None:
    assert public_id_of(token) is None


def test_hash_is_the_sha256_of_the_whole_token() -> None:
    assert hash_token(TOKEN) == hashlib.sha256(TOKEN.encode()).digest()
    assert len(hash_token("\ud800")) == 32


def test_key_is_found_by_the_hash_of_its_token(store: Store, project: Project) -> None:
    public_id, token = new_token()
    key = store.add_key(project.id, name="laptop", read_only=True, token=token)
    assert store.key_by_hash(hash_token(token)) == key
    assert (key.id, key.project, key.name) == (public_id, project.id, "laptop")
    assert key.read_only
    assert store.key_by_hash(hash_token("another")) is None


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_token_is_nowhere_in_the_file(tmp_path: Path, store: Store, project: Project) -> None:
    _, token = new_token()
    store.add_key(project.id, name="laptop", read_only=True, token=token)
    store.close()
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"laptop" in content
    assert token.encode() not in content
    assert token[14:].encode() not in content


def test_foreign_token_gets_an_id_of_ours(store: Store, project: Project) -> None:
    key = store.add_key(project.id, name="environment", read_only=False, token=TOKEN)
    assert len(key.id) == 36
    assert store.key_by_hash(hash_token(TOKEN)) == key


def test_key_needs_a_project(store: Store) -> None:
    with pytest.raises(NotFound, match="nobody"):
        store.add_key("nobody", name="k", read_only=False, token=TOKEN)


def test_token_is_added_once(store: Store, project: Project, other: Project) -> None:
    key = store.add_key(project.id, name="k", read_only=False, token=TOKEN)
    with pytest.raises(BadRequest, match="added before"):
        store.add_key(other.id, name="k", read_only=False, token=TOKEN)
    store.revoke_key(key.id)
    with pytest.raises(BadRequest, match="revoked"):
        store.add_key(project.id, name="k", read_only=False, token=TOKEN)


def test_revoked_key_is_listed_but_opens_nothing(store: Store, project: Project) -> None:
    key = store.add_key(project.id, name="k", read_only=False, token=TOKEN)
    assert store.revoke_key(key.id)
    assert store.key_by_hash(key.token_hash) is None
    (listed,) = store.keys(project.id)
    assert listed.revoked_at is not None
    assert not store.revoke_key(key.id)
    assert not store.revoke_key("unknown")


def test_keys_changed_since_are_the_new_and_the_revoked(store: Store, project: Project) -> None:
    first = store.add_key(project.id, name="first", read_only=False, token=TOKEN + "1")
    second = store.add_key(project.id, name="second", read_only=False, token=TOKEN + "2")
    assert [key.id for key in store.keys_changed_since(0)] == [first.id, second.id]
    assert [key.id for key in store.keys_changed_since(second.updated_at + 1)] == []
    store.revoke_key(first.id)
    (changed,) = store.keys_changed_since(second.updated_at + 1)
    assert changed.id == first.id
    assert changed.revoked_at is not None


def test_keys_are_listed_of_one_project_or_of_all(
    store: Store, project: Project, other: Project
) -> None:
    ours = store.add_key(project.id, name="k", read_only=False, token=TOKEN + "1")
    theirs = store.add_key(other.id, name="k", read_only=False, token=TOKEN + "2")
    assert store.keys(project.id) == [ours]
    assert store.keys(None) == [ours, theirs]
