"""Labels after the fact and the latest call (spec 2.4, 2.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import serving
from asking import CHAT, HI, Asker

from standpipe.store import Project, Store


def update(client: Asker, *filters: tuple[str, Any], **metadata: Any) -> int:
    """Return how many calls matched."""
    conditions = [{"field": field, "equals": value} for field, value in filters]
    body = {"filters": conditions, "metadata": metadata}
    return int(client.post("/logs/update-metadata", body)["matchedLogs"])


def update_tags(client: Asker, *filters: tuple[str, Any], **tags: Any) -> int:
    conditions = [{"field": field, "equals": value} for field, value in filters]
    return int(
        client.post("/logs/update-tags", {"filters": conditions, "tags": tags})["matchedLogs"]
    )


def labels(client: Asker) -> list[dict[str, str]]:
    return [each["metadata"] for each in client.stored()]


def test_update_without_filters_reaches_every_logged_call(client: Asker) -> None:
    client.chat(metadata={"a": "1"})
    client.chat("openai:ok")
    client.chat(store=False)
    assert client.ask("POST", CHAT, {"model": "status:400", "messages": HI}).status == 400
    assert update(client, seen="yes") == 3  # the failed call is logged, the one not kept is not
    assert labels(client) == [{"a": "1", "seen": "yes"}, {"seen": "yes"}]


def test_update_of_nothing_matches_nothing(client: Asker) -> None:
    assert update(client, seen="yes") == 0


def test_filters_must_all_hold(client: Asker) -> None:
    first = client.chat(metadata={"a": "1", "b": "1"})
    client.chat(metadata={"a": "1", "b": "2"})
    assert update(client, ("metadata.a", "1"), ("metadata.b", "1"), hit="x") == 1
    assert update(client, ("model", "ok"), ("metadata.b", "2"), hit="y") == 1
    assert update(client, ("completionId", first["id"]), ("metadata.b", "2"), hit="z") == 0
    assert update(client, ("completionId", first["id"]), id="1") == 1
    assert labels(client) == [
        {"a": "1", "b": "1", "hit": "x", "id": "1"},
        {"a": "1", "b": "2", "hit": "y"},
    ]


def test_filter_compares_text(client: Asker) -> None:
    client.chat(metadata={"n": "1", "t": "true", "f": "1.5"})
    matching = (("metadata.n", 1), ("metadata.t", True), ("metadata.f", 1.5), ("tags.n", "1"))
    for condition in matching:
        assert update(client, condition) == 1
    assert update(client, ("metadata.n", 1.5)) == 0
    assert update(client, ("metadata.t", "TRUE")) == 0
    assert update(client, ("metadata.missing", "")) == 0


def test_given_names_are_set_and_null_removes(client: Asker) -> None:
    client.chat(metadata={"keep": "1", "change": "1", "drop": "1"})
    assert update(client, change="2", drop=None, new="3", never=None) == 1
    assert labels(client) == [{"keep": "1", "change": "2", "new": "3"}]
    assert update(client, ("metadata.drop", "1")) == 0
    assert update(client, ("metadata.new", "3")) == 1


def test_count_is_of_what_matched_before_the_update(client: Asker) -> None:
    client.chat(metadata={"state": "new"})
    assert update(client, ("metadata.state", "new"), state="old") == 1
    assert update(client, ("metadata.state", "new"), state="old") == 0


def test_update_marks_the_record_as_changed(client: Asker, store: Store, project: Project) -> None:
    client.chat()
    client.stored()  # waits for the drain
    (before,) = store.logs(project.id)
    update(client, seen="yes")
    (after,) = store.logs(project.id)
    assert after.updated_at > before.updated_at


def test_tags_of_any_scalar_type_become_text(client: Asker) -> None:
    client.chat(metadata={"drop": "1"})
    assert update_tags(client, ("tags.drop", 1), n=1, f=1.5, t=True, s="x", drop=None) == 1
    assert labels(client) == [{"n": "1", "f": "1.5", "t": "true", "s": "x"}]


def test_reported_call_is_labelled_too(client: Asker) -> None:
    response = {"id": "chatcmpl-r", "object": "chat.completion", "choices": []}
    client.post("/report", {"respPayload": response, "statusCode": 200})
    assert update(client, ("completionId", "chatcmpl-r"), relabel="yes") == 1
    assert client.latest()["metadata"] == {"relabel": "yes"}


def delete(client: Asker, *filters: tuple[str, Any]) -> dict[str, int]:
    body = {"filters": [{"field": field, "equals": value} for field, value in filters]}
    deleted: dict[str, int] = client.post("/logs/delete", body)["deleted"]
    return deleted


def test_calls_of_a_person_are_deleted_with_what_they_said(
    client: Asker, store: Store, project: Project
) -> None:
    for n in range(3):
        client.chat(metadata={"user": "a", "n": str(n)})
    kept = client.chat(metadata={"user": "b"})
    client.chat(store=False, metadata={"user": "a"})
    deleted = delete(client, ("metadata.user", "a"))
    assert (deleted["calls"], deleted["messages"], deleted["usageRows"]) == (4, 0, 0)
    assert deleted["bytes"] > 300
    assert [each["id"] for each in client.stored()] == [kept["id"]]
    assert len(store.logs(project.id)) == 1
    nothing = {"calls": 0, "messages": 0, "bytes": 0, "usageRows": 0}
    assert delete(client, ("metadata.user", "a")) == nothing
    assert delete(client, ("metadata.user", "b"), ("model", "other")) == nothing


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"filters": []}, "filters"),
        ({}, "filters"),
        ({"filters": [{"field": "id", "equals": "x"}]}, "'id'"),
        ({"filters": [{"field": "metadata.", "equals": "x"}]}, "'metadata.'"),
        ({"filters": [{"field": "model", "equals": None}]}, "filters[0].equals"),
        ({"filters": [{"field": "model", "equals": "x"}], "all": True}, "all"),
    ],
)
def test_deletion_that_is_not_clear_is_refused(client: Asker, body: Any, said: str) -> None:
    client.chat()
    answer = client.ask("POST", "/logs/delete", body)
    assert answer.status == 400
    assert said in answer.json["message"]
    assert len(client.stored()) == 1


def test_latest_call_is_null_where_there_is_none(client: Asker) -> None:
    assert client.latest() is None


def test_latest_call_is_the_newest_by_its_request(client: Asker) -> None:
    client.chat(metadata={"a": "b"})
    client.post("/report", {"requestedAt": 1_000, "reqPayload": "long ago"})
    latest = client.latest()
    assert latest.keys() == {
        "createdAt",
        "cacheHit",
        "statusCode",
        "errorMessage",
        "reqPayload",
        "respPayload",
        "tags",
        "metadata",
    }
    assert latest["reqPayload"] == {"model": "ok", "messages": HI, "metadata": {"a": "b"}}
    assert latest["respPayload"]["choices"][0]["message"]["content"] == "Hello there, how can I"
    assert (latest["statusCode"], latest["errorMessage"], latest["cacheHit"]) == (200, None, False)


def test_latest_call_may_be_a_failed_one(client: Asker) -> None:
    model = "openpipe:gpt-4o-error"
    assert client.ask("POST", CHAT, {"model": model, "messages": HI}).status == 404
    latest = client.latest()
    assert latest["statusCode"] == 404
    assert latest["errorMessage"] == f"The model `{model}` does not exist"
    assert latest["respPayload"]["code"] == "NOT_FOUND"


def test_latest_call_is_not_offered_unless_switched_on(tmp_path: Path) -> None:
    with serving.serving(tmp_path) as server:
        answer = serving.call(server, "GET", "/local-testing-only-get-latest-logged-call")
        assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND")
