"""Every change of projects and keys is noted, with the change and by whoever made it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from standpipe.errors import BadRequest, NotFound
from standpipe.store import Project, Store, new_token
from standpipe.store.audit import Entry

TOKEN = "a-token-from-the-environment"


def told(entry: Entry) -> object:
    return msgspec.json.decode(entry.detail)


def test_changes_of_a_project_are_noted_with_what_was_and_is(store: Store) -> None:
    acting = store.acting_as("the-key")
    project = acting.add_project("ours", {"content_days": 7.0})
    acting.rename_project(project.id, "still ours")
    limits = '{"requests_per_minute":5}'
    acting.change_project(project.id, {"name": "still ours", "limits": limits})
    acting.add_key(project.id, name="k", read_only=True, token=TOKEN)
    assert acting.remove_project(project.id)
    removed, _, limited, renamed, created = store.audit_log(project.id)
    assert [created.action, renamed.action, removed.action] == [
        "project.created",
        "project.changed",
        "project.removed",
    ]
    assert told(created) == {"name": "ours", "content_days": 7.0}
    assert told(renamed) == {"name": {"from": "ours", "to": "still ours"}}
    assert told(limited) == {"limits": {"from": None, "to": {"requests_per_minute": 5}}}
    assert told(removed) == {"name": "still ours", "keys_revoked": 1}
    assert {each.actor for each in store.audit_log(project.id)} == {"the-key"}
    assert {created.target, removed.target} == {project.id}


def test_changes_of_a_key_are_noted_and_its_token_never(store: Store, project: Project) -> None:
    public_id, token = new_token()
    store.add_key(project.id, name="k", read_only=True, token=token, admin=True)
    changed = store.change_key(public_id, {"content": "none", "models": '["gpt-*"]'})
    assert changed is not None
    assert (changed.content, changed.models, changed.admin) == ("none", '["gpt-*"]', True)
    assert store.keys(project.id) == [changed]
    assert store.revoke_key(public_id)
    revoked, changing, created, _ = store.audit_log(project.id)
    assert [revoked.action, changing.action, created.action] == [
        "key.revoked",
        "key.changed",
        "key.created",
    ]
    assert told(created) == {"name": "k", "read_only": True, "admin": True}
    assert told(changing) == {
        "content": {"from": None, "to": "none"},
        "models": {"from": None, "to": ["gpt-*"]},
    }
    everything = store.audit_log(None)
    assert {each.actor for each in everything} == {"cli"}
    assert {each.target for each in (revoked, changing, created)} == {public_id}
    kept = msgspec.json.encode(everything)
    assert token.encode() not in kept
    assert token.rpartition("_")[2].encode() not in kept


def test_what_comes_back_out_of_a_backup_is_noted(store: Store, project: Project) -> None:
    _, token = new_token()
    key = store.add_key(project.id, name="k", read_only=False, token=token, admin=True)
    back = msgspec.structs.replace(key, id="x" * 10, token_hash=b"x" * 32)
    assert store.restore_key(back) == "new"
    assert store.restore_key(back) == "there"
    away = msgspec.structs.replace(project, id="an id", name="another")
    assert store.restore_project(away) == "new"
    there, restored, *_ = store.audit_log(None)
    assert (there.action, there.target) == ("project.restored", "an id")
    assert (restored.action, restored.target) == ("key.restored", back.id)
    assert told(restored) == {"name": "k", "admin": True}


CHANGING_NOTHING: dict[str, Callable[[Store, Project], object]] = {
    "the same name": lambda store, project: store.rename_project(project.id, project.name),
    "no such project": lambda store, _: store.change_project("unknown", {"name": "x"}),
    "removal of none": lambda store, _: store.remove_project("unknown"),
    "no such key": lambda store, _: store.change_key("unknown", {"content": "none"}),
    "revocation of none": lambda store, _: store.revoke_key("unknown"),
}


@pytest.mark.parametrize("change", CHANGING_NOTHING.values(), ids=CHANGING_NOTHING.keys())
def test_what_changes_nothing_is_not_noted(
    store: Store, project: Project, change: Callable[[Store, Project], object]
) -> None:
    before = store.audit_log(None)
    change(store, project)
    assert store.audit_log(None) == before


def test_what_fails_is_not_noted(store: Store, project: Project, other: Project) -> None:
    before = store.audit_log(None)
    with pytest.raises(BadRequest):
        store.add_project(project.name)
    with pytest.raises(BadRequest):
        store.rename_project(other.id, project.name)
    with pytest.raises(NotFound):
        store.add_key("unknown", name="k", read_only=False, token=TOKEN)
    assert store.audit_log(None) == before


def test_log_is_read_in_pages_the_newest_first(
    store: Store, project: Project, other: Project
) -> None:
    for number in range(4):
        store.rename_project(project.id, f"name {number}")
    everything = store.audit_log(None)
    assert [each.at for each in everything] == sorted((e.at for e in everything), reverse=True)
    first = store.audit_log(None, limit=2)
    rest = store.audit_log(None, before=first[-1].id)
    assert [*first, *rest] == everything
    assert [each.project for each in store.audit_log(other.id)] == [other.id]


def test_ended_project_is_gone_at_once(store: Store, project: Project) -> None:
    assert store.end_project(project.id)
    assert store.project(project.id) is None
    assert not store.end_project(project.id)
