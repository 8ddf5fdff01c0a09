"""What a key opens: its own project, and less if it is read-only or revoked."""

from __future__ import annotations

import pytest
from asking import CHAT, HI, Asker, until

from standpipe.store import Project, Store
from standpipe.store.tokens import new_token

READ_ONLY_CHAT = "Read-only OpenPipe API keys cannot access the base OpenAI API"
UPDATE = {"filters": [], "metadata": {"seen": "yes"}}


def test_other_project_sees_nothing_through_any_route(client: Asker, stranger: Asker) -> None:
    answer = client.chat(metadata={"a": "b"})
    before = client.get(f"{CHAT}/{answer['id']}")
    for name in (answer["id"], answer["request_id"]):
        assert stranger.ask("GET", f"{CHAT}/{name}").status == 404
        assert stranger.ask("GET", f"{CHAT}/{name}/messages").status == 404
        assert stranger.ask("POST", f"{CHAT}/{name}", {"metadata": {}}).status == 404
        assert stranger.ask("DELETE", f"{CHAT}/{name}").status == 404
        assert stranger.ask("GET", f"{CHAT}?after={name}").status == 404
    assert stranger.stored() == []
    assert stranger.stored("?metadata[a]=b") == []
    assert stranger.latest() is None
    assert stranger.post("/logs/update-metadata", UPDATE) == {"matchedLogs": 0}
    by_id = {"filters": [{"field": "completionId", "equals": answer["id"]}], "tags": {"x": 1}}
    assert stranger.post("/logs/update-tags", by_id) == {"matchedLogs": 0}
    assert client.get(f"{CHAT}/{answer['id']}") == before


def test_same_answer_id_in_two_projects_is_two_completions(client: Asker, stranger: Asker) -> None:
    for who, text in ((client, "ours"), (stranger, "theirs")):
        payload = {"id": "chatcmpl-same", "object": "chat.completion", "choices": [], "x": text}
        who.post("/report", {"respPayload": payload, "statusCode": 200})
    assert client.get(f"{CHAT}/chatcmpl-same")["x"] == "ours"
    assert stranger.get(f"{CHAT}/chatcmpl-same")["x"] == "theirs"
    assert stranger.ask("DELETE", f"{CHAT}/chatcmpl-same").status == 200
    assert client.get(f"{CHAT}/chatcmpl-same")["x"] == "ours"


def test_record_says_which_key_called(client: Asker, store: Store, project: Project) -> None:
    answer = client.chat()
    client.stored()  # waits for the drain
    (row,) = store.logs(project.id)
    assert (row.id, row.key, row.project) == (answer["request_id"], client.key, project.id)


def test_read_only_key_reads(client: Asker, reader: Asker) -> None:
    answer = client.chat()
    path = f"{CHAT}/{answer['id']}"
    assert [each["id"] for each in reader.stored()] == [answer["id"]]
    assert reader.get(path)["id"] == answer["id"]
    assert reader.get(f"{path}/messages")["data"]
    assert reader.get("/models")["data"]
    assert reader.latest()["statusCode"] == 200


def test_read_only_key_may_not_call_and_its_text_is_not_kept(
    reader: Asker, store: Store, project: Project
) -> None:
    body = {"model": "ok", "messages": HI, "store": True}
    answer = reader.ask("POST", CHAT, body)
    assert (answer.status, answer.json["message"]) == (403, READ_ONLY_CHAT)
    assert answer.json["code"] == "FORBIDDEN"
    reader.stored()  # waits for the drain
    (row,) = store.logs(project.id)
    assert (row.status, row.outcome, row.logged, row.request) == (403, "refused", False, None)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/report", {"reqPayload": {}}),
        ("POST", f"{CHAT}/unknown", {"metadata": {}}),
        ("DELETE", f"{CHAT}/unknown", None),
        ("POST", "/logs/update-metadata", UPDATE),
        ("POST", "/logs/delete", {"filters": [{"field": "model", "equals": "ok"}]}),
        ("POST", "/logs/update-tags", {"filters": [], "tags": {}}),
        ("POST", "/check-cache", {}),
    ],
)
def test_read_only_key_may_not_write(
    client: Asker, reader: Asker, method: str, path: str, body: object
) -> None:
    client.chat()
    answer = reader.ask(method, path, body)
    assert (answer.status, answer.json["code"]) == (401, "UNAUTHORIZED")
    assert "read-only" in answer.json["message"]
    assert answer.json["error"]["code"] == "insufficient_permissions"
    (stored,) = client.stored()
    assert stored["metadata"] == {}


def test_revoked_key_is_refused_soon(client: Asker, store: Store) -> None:
    client.chat()
    assert store.revoke_key(client.key)
    until(lambda: client.ask("GET", "/models").status == 401)
    answer = client.ask("POST", CHAT, {"model": "ok", "messages": HI})
    assert (answer.status, answer.json["message"]) == (401, "UNAUTHORIZED")


def test_key_of_a_removed_project_is_refused_soon(
    client: Asker, store: Store, project: Project
) -> None:
    client.chat()
    assert store.remove_project(project.id)
    until(lambda: client.ask("GET", "/models").status == 401)


def test_key_that_was_refused_before_it_was_made_works_soon_after(
    client: Asker, store: Store, project: Project
) -> None:
    _, token = new_token()
    early = Asker(client.server, token)
    assert early.ask("GET", "/models").status == 401
    store.add_key(project.id, name="late", read_only=False, token=token)
    until(lambda: early.ask("GET", "/models").status == 200)


def test_refused_key_leaves_no_record_and_no_trace_in_the_log(client: Asker, store: Store) -> None:
    before = sum(store.counts(None).values())
    secret = "sk-somebody-elses-openai-key-1234567890"
    wrong = Asker(client.server, secret)
    assert wrong.ask("POST", CHAT, {"model": "ok", "messages": HI}).status == 401
    assert wrong.ask("POST", "/report", {"reqPayload": {}}).status == 401
    client.stored()  # waits for the drain
    assert sum(store.counts(None).values()) == before
    assert secret not in client.server.log.read_text()
