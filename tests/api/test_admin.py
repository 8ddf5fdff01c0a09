"""The admin API: who may use it, what it changes, and that every change is noted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import CHAT, HI, Asker, until
from serving import Standpipe, call

from standpipe.api.endpoints import ADMIN, PREFIXES
from standpipe.store import Project, Store, hash_token, now_us
from standpipe.store.tokens import new_token
from standpipe.wire.ids import new_id

LIMITS = {"requests_per_minute": 5, "dollars_per_month": "12.5"}


def key_of(server: Standpipe, store: Store, owner: Project, **fields: Any) -> Asker:
    _, token = new_token()
    made = {"name": "test", "read_only": False, **fields}
    return Asker(server, token, store.add_key(owner.id, token=token, **made).id)


@pytest.fixture
def admin(server: Standpipe, store: Store) -> Asker:
    """Ask with an admin key of a project of its own."""
    return key_of(server, store, store.add_project(new_id()), admin=True)


@pytest.fixture
def key(store: Store, project: Project) -> str:
    """Return the id of a key of the test's project."""
    _, token = new_token()
    return store.add_key(project.id, name="theirs", read_only=False, token=token).id


def actions(admin: Asker, project: str) -> list[Any]:
    """Return what was done to a project, the newest first."""
    entries: list[Any] = admin.get(f"/admin/audit?project={project}")["data"]
    return entries


# --- who may --------------------------------------------------------------------------------------

#: Of a key: what it has, and the status that it is answered with.
OTHERS: dict[str, tuple[dict[str, Any], int]] = {
    "plain": ({}, 403),
    "read-only": ({"read_only": True}, 403),
    "expired admin": ({"admin": True, "expires_at": 1}, 401),
    "revoked admin": ({"admin": True}, 401),
}


@pytest.mark.parametrize("who", [*OTHERS, "nobody", "stranger"])
def test_no_other_key_comes_anywhere(
    server: Standpipe, store: Store, project: Project, key: str, who: str
) -> None:
    fields, status = OTHERS.get(who, ({}, 401))
    asker = key_of(server, store, project, **fields)
    if who == "revoked admin":
        store.revoke_key(asker.key)
    token = {"nobody": "", "stranger": "Bearer nobody-knows-this-key"}.get(who)
    headers = {"Authorization": f"Bearer {asker.token}" if token is None else token}
    before = (store.projects(), store.keys(None), store.audit_log(None))
    for prefix in PREFIXES:
        for endpoint in ADMIN:
            for name in (project.id, key, "unknown"):
                path = prefix + endpoint.path.replace("{id}", name)
                body = {"name": "taken over"} if endpoint.method == "POST" else None
                answer = call(server, endpoint.method, path, body, root=True, headers=headers)
                assert answer.status == status, (endpoint, answer.body)
                assert name not in answer.json["message"]
    assert (store.projects(), store.keys(None), store.audit_log(None)) == before


def test_read_only_admin_key_reads_and_changes_nothing(
    server: Standpipe, store: Store, project: Project, key: str
) -> None:
    asker = key_of(server, store, project, admin=True, read_only=True)
    before = (store.projects(), store.keys(None), store.audit_log(None))
    for endpoint in ADMIN:
        path = endpoint.path.replace("{id}", key if "/keys/" in endpoint.path else project.id)
        body = {"name": "x"} if endpoint.method == "POST" else None
        answer = asker.ask(endpoint.method, path, body)
        assert answer.status == (200 if endpoint.method == "GET" else 403), answer.body
    assert (store.projects(), store.keys(None), store.audit_log(None)) == before


def test_admin_key_sees_no_calls_but_its_own_projects(client: Asker, admin: Asker) -> None:
    answer = client.chat()
    assert [each["id"] for each in client.stored()] == [answer["id"]]
    assert admin.stored() == []
    assert admin.ask("GET", f"{CHAT}/{answer['id']}").status == 404


# --- projects -------------------------------------------------------------------------------------


def test_project_is_made_changed_and_deleted(admin: Asker, store: Store) -> None:
    name = new_id()
    made = admin.post("/admin/projects", {"name": name, "content_days": 7, "limits": LIMITS})
    assert (made["name"], made["content_days"], made["limits"]) == (name, 7, LIMITS)
    assert admin.get(f"/admin/projects/{made['id']}") == made
    assert admin.get(f"/admin/projects/{name}") == made
    assert made in admin.get("/admin/projects")["data"]
    change = {"name": f"{name} 2", "records_days": 0.5, "content_days": None, "limits": None}
    changed = admin.post(f"/admin/projects/{made['id']}", change)
    assert changed == {**made, **change}
    _, token = new_token()
    store.add_key(made["id"], name="k", read_only=False, token=token)
    assert admin.ask("DELETE", f"/admin/projects/{made['id']}").json["deleted"]
    assert admin.ask("GET", f"/admin/projects/{made['id']}").status == 404
    assert admin.ask("DELETE", f"/admin/projects/{made['id']}").status == 404
    assert store.key_by_hash(hash_token(token)) is None
    removed, _, updated, created = actions(admin, made["id"])
    assert {each["actor"] for each in (removed, updated, created)} == {admin.key}
    assert created["detail"] == {"name": name, "content_days": 7, "limits": LIMITS}
    assert updated["detail"]["content_days"] == {"from": 7, "to": None}
    assert updated["detail"]["limits"] == {"from": LIMITS, "to": None}
    assert removed["action"] == "project.removed"


def test_change_that_says_nothing_changes_nothing(admin: Asker, project: Project) -> None:
    before = admin.get(f"/admin/projects/{project.id}")
    assert admin.post(f"/admin/projects/{project.id}", {}) == before
    assert [each["action"] for each in actions(admin, project.id)] == ["project.created"]


def test_project_of_the_key_that_asks_is_not_deleted(admin: Asker, store: Store) -> None:
    (own,) = [key.project for key in store.keys(None) if key.id == admin.key]
    assert admin.ask("DELETE", f"/admin/projects/{own}").status == 400
    assert store.project(own) is not None


# --- keys -----------------------------------------------------------------------------------------


def test_key_that_is_made_works_and_is_shown_once(admin: Asker, project: Project) -> None:
    path = f"/admin/projects/{project.id}/keys"
    made = admin.post(path, {"name": "ci", "content": "none", "models": ["ok"], "limits": LIMITS})
    token = made.pop("key")
    assert Asker(admin.server, token).chat()["request_id"]
    (listed,) = admin.get(path)["data"]
    assert listed == made
    assert (made["admin"], made["models"], made["limits"]) == (False, ["ok"], LIMITS)
    entries = actions(admin, project.id)
    assert entries[0]["detail"] == {
        "name": "ci", "content": "none", "models": ["ok"], "limits": LIMITS
    }  # fmt: skip
    assert token not in json.dumps(entries)
    assert token.rpartition("_")[2] not in json.dumps(entries)


def test_key_is_changed_and_revoked(
    server: Standpipe, store: Store, project: Project, admin: Asker
) -> None:
    asker = key_of(server, store, project)
    asker.chat()
    change = {"name": "new", "expires_at": "2100-01-01T00:00:00Z", "content": "redacted"}
    changed = admin.post(f"/admin/keys/{asker.key}", change)
    assert {name: changed[name] for name in change} == change
    assert admin.ask("DELETE", f"/admin/keys/{asker.key}").json["revoked"]
    until(lambda: asker.ask("GET", "/models").status == 401)
    assert admin.ask("DELETE", f"/admin/keys/{asker.key}").status == 404
    assert admin.ask("POST", f"/admin/keys/{asker.key}", change).status == 404
    revoked, updated, *_ = actions(admin, project.id)
    assert (revoked["action"], revoked["target"]) == ("key.revoked", asker.key)
    assert updated["detail"]["content"] == {"from": None, "to": "redacted"}
    assert updated["detail"]["expires_at"] == {"from": None, "to": "2100-01-01T00:00:00Z"}


def test_admin_key_cannot_be_made_here(admin: Asker, project: Project) -> None:
    answer = admin.ask("POST", f"/admin/projects/{project.id}/keys", {"admin": True})
    assert (answer.status, answer.json["error"]["param"]) == (400, "admin")


#: A body, and the field that the answer names.
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("projects", {}, "name"),
    ("projects", {"name": ""}, "name"),
    ("projects", {"name": "a\x00b"}, "name"),
    ("projects", {"name": "x" * 65}, "name"),
    ("projects", {"name": " x"}, "name"),
    ("projects", {"name": "x", "colour": "red"}, "colour"),
    ("projects", {"name": "x", "content_days": -1}, "content_days"),
    ("projects", {"name": "x", "content_bytes": 1.5}, "content_bytes"),
    ("projects", {"name": "x", "limits": {"requests_per_minute": -1}}, "requests_per_minute"),
    ("projects", {"name": "x", "limits": {"calls_per_century": 1}}, "limits"),
    ("projects", {"name": "x", "limits": {"dollars_per_day": "much"}}, "dollars_per_day"),
    ("projects/{project}", {"name": None}, "name"),
    ("projects/{project}", {"id": "x"}, "id"),
    ("projects/{project}/keys", {"token": "x"}, "token"),
    ("projects/{project}/keys", {"content": "some"}, "content"),
    ("projects/{project}/keys", {"models": "gpt"}, "models"),
    ("projects/{project}/keys", {"models": [""]}, "models[0]"),
    ("projects/{project}/keys", {"expires_at": "soon"}, "expires_at"),
    ("projects/{project}/keys", {"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
    ("keys/{key}", {"read_only": False}, "read_only"),
    ("keys/{key}", {"admin": True}, "admin"),
]


@pytest.mark.parametrize(("path", "body", "param"), WRONG)
def test_body_that_cannot_be_is_refused_by_name(
    admin: Asker, project: Project, key: str, path: str, body: dict[str, Any], param: str
) -> None:
    answer = admin.ask("POST", "/admin/" + path.format(project=project.id, key=key), body)
    assert answer.status == 400, answer.body
    assert answer.json["error"]["param"] == param
    assert [each["action"] for each in actions(admin, project.id)] == [
        "key.created",
        "project.created",
    ]


def test_name_that_is_taken_is_refused(admin: Asker, store: Store, project: Project) -> None:
    other = store.add_project(new_id())
    for path in ("/admin/projects", f"/admin/projects/{other.id}"):
        answer = admin.ask("POST", path, {"name": project.name})
        assert (answer.status, answer.json["error"]["param"]) == (400, "name")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "projects/unknown"),
        ("POST", "projects/unknown"),
        ("DELETE", "projects/unknown"),
        ("GET", "projects/unknown/keys"),
        ("POST", "projects/unknown/keys"),
        ("POST", "keys/unknown"),
        ("DELETE", "keys/unknown"),
    ],
)
def test_what_is_not_there_is_404(admin: Asker, method: str, path: str) -> None:
    answer = admin.ask(method, f"/admin/{path}", {} if method == "POST" else None)
    assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND")


# --- what there is to see -------------------------------------------------------------------------


def test_routes_and_providers_are_shown_without_secrets(admin: Asker) -> None:
    route, fixed = admin.get("/admin/routes")["data"]
    assert route["name"] == "mine"
    assert route["targets"][0]["model"] == "chunks:2"
    assert fixed["fallback"][0]["parameters"] == ["user", "x_more"]
    answer = admin.ask("GET", "/admin/providers")
    (provider,) = answer.json["data"]
    assert (provider["name"], provider["dialect"], provider["has_key"]) == (
        "openai", "openai", True
    )  # fmt: skip
    assert provider["models"] == ["ok"]
    assert b"sk-upstream" not in answer.body


def test_usage_is_that_of_all_projects_or_of_one(
    client: Asker, stranger: Asker, admin: Asker, store: Store, project: Project
) -> None:
    for who in (client, client, stranger):
        who.chat()
    report = admin.get("/admin/usage?group=project,model")
    calls = {each["project"]: each["calls"] for each in report["data"] if each["model"] == "ok"}
    assert calls[project.id] == 2
    (theirs,) = [key.project for key in store.keys(None) if key.id == stranger.key]
    assert calls[theirs] == 1
    of_one = admin.get(f"/admin/usage?project={project.id}")
    assert of_one["total"]["calls"] == 2
    assert "project" not in of_one["data"][0]
    assert of_one["total"] == client.get("/usage")["total"]
    assert admin.ask("GET", "/admin/usage?group=colour").status == 400
    assert client.ask("GET", "/usage?group=project").status == 400


def test_audit_log_is_read_in_pages(admin: Asker, store: Store, project: Project) -> None:
    for number in range(4):
        store.rename_project(project.id, f"{project.name} {number}")
    whole = admin.get(f"/admin/audit?project={project.id}")
    assert whole["has_more"] is False
    first = admin.get(f"/admin/audit?project={project.id}&limit=3")
    assert first["has_more"] is True
    rest = admin.get(f"/admin/audit?project={project.id}&after={first['last_id']}")
    assert [*first["data"], *rest["data"]] == whole["data"]
    assert {each["actor"] for each in whole["data"]} == {"cli"}
    assert admin.get("/admin/audit?project=unknown")["data"] == []
    assert admin.ask("GET", "/admin/audit?limit=0").status == 400
    assert admin.ask("GET", "/admin/audit?since=0").status == 400


def test_expired_key_is_refused_where_it_worked_before(
    server: Standpipe, store: Store, project: Project
) -> None:
    asker = key_of(server, store, project, admin=True, expires_at=now_us() + 1_500_000)
    assert asker.ask("GET", "/admin/routes").status == 200
    until(lambda: asker.ask("GET", "/admin/routes").status == 401)
    body = {"model": "ok", "messages": HI}
    assert asker.ask("POST", CHAT, body).status == 401
