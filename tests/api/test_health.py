"""What is open to all, and what a path or method that there is not is answered."""

from __future__ import annotations

import pytest
from asking import CHAT, HI, Asker
from serving import Answer, call

from standpipe import __version__
from standpipe.api.endpoints import ENDPOINTS, PREFIXES


def without_key(client: Asker, method: str, path: str) -> Answer:
    return call(client.server, method, path, root=True, key=" ")


def test_health_is_open_and_says_nothing_of_content(client: Asker) -> None:
    client.chat("ok", messages=[{"role": "user", "content": "a secret"}], metadata={"a": "secret"})
    answer = without_key(client, "GET", "/health")
    assert answer.status == 200
    state = answer.json
    assert state.keys() == {
        *("status", "version", "store", "spool", "records", "drain", "drained", "workers"),
    }
    assert [state[name] for name in ("status", "store", "spool", "drain")] == ["ok"] * 4
    assert state["version"] == __version__
    counted = {"written", "refused", "without_text", "lost", "unsynced", "unredacted"}
    assert state["records"].keys() == counted
    assert b"secret" not in answer.body


def test_health_counts_what_is_recorded(client: Asker) -> None:
    before = without_key(client, "GET", "/health").json["records"]
    client.chat()
    after = without_key(client, "GET", "/health").json["records"]
    assert after == {**before, "written": before["written"] + 1}
    assert not any(after[name] for name in ("refused", "without_text", "lost", "unsynced"))


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/v1/openapi.json", "/health/"])
def test_description_is_open(client: Asker, path: str) -> None:
    assert without_key(client, "GET", path).status == 200


@pytest.mark.parametrize("path", ["/v1/models", f"/v1{CHAT}", "/api/v1/models/ok"])
def test_everything_else_wants_a_key(client: Asker, path: str) -> None:
    assert without_key(client, "GET", path).status == 401


def test_head_of_health_has_no_body(client: Asker) -> None:
    answer = without_key(client, "HEAD", "/health")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/nowhere", "/api/v1"])
def test_head_of_an_unknown_path_warms_up(client: Asker, path: str) -> None:
    answer = without_key(client, "HEAD", path)
    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize("path", ["/nowhere", "/v1/", "/v2/models"])
def test_unknown_path_is_not_found(client: Asker, path: str) -> None:
    answer = without_key(client, "GET", path)
    assert (answer.status, answer.json["message"], answer.json["code"]) == (
        404,
        "Not found",
        "NOT_FOUND",
    )


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    "path", ["/nowhere", "/batches", "/messages/count_tokens", "/embeddings/1"]
)
def test_unknown_path_under_a_prefix_is_told_what_there_is(
    client: Asker, prefix: str, path: str
) -> None:
    answer = without_key(client, "POST", prefix + path)
    assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND")
    for each in ENDPOINTS:
        assert (
            each.testing
            or each.auth == "admin"
            or f"{each.method} {each.path}" in answer.json["message"]
        )
    assert answer.json["message"].startswith("Not found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", f"/v1{CHAT}", {"GET", "HEAD", "POST"}),
        ("PATCH", f"/v1{CHAT}/a", {"GET", "HEAD", "POST", "DELETE"}),
        ("GET", "/api/v1/report", {"POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("DELETE", "/v1/models", {"GET", "HEAD"}),
        ("GET", "/v1/embeddings", {"POST"}),
        ("DELETE", "/api/v1/messages", {"POST"}),
    ],
)
def test_method_that_is_not_offered_is_told_which_are(
    client: Asker, method: str, path: str, allowed: set[str]
) -> None:
    answer = without_key(client, method, path)
    assert (answer.status, answer.json["code"]) == (405, "METHOD_NOT_SUPPORTED")
    told = {name.lower(): value for name, value in answer.headers.items()}["allow"]
    assert set(told.split(", ")) == allowed


@pytest.mark.parametrize(
    "path", ["/api/v1//chat/completions", "//api//v1/chat/completions//", "/v1/chat/completions/"]
)
def test_doubled_and_trailing_slashes_are_forgiven(client: Asker, path: str) -> None:
    body = {"model": "ok", "messages": HI}
    answer = call(client.server, "POST", path, body, root=True, key=client.token)
    assert answer.status == 200
    listed = call(client.server, "GET", path, root=True, key=client.token)
    assert len(listed.json["data"]) == 1
