"""What is kept of a call, as its key and the configuration say."""

from __future__ import annotations

from pathlib import Path

import pytest
import serving
from asking import HI, Asker, until
from serving import Standpipe

from standpipe.config import Content
from standpipe.store import Project, Store
from standpipe.store.tokens import new_token

EMAIL = "bob@example.com"


def told(client: Asker) -> str:
    answer = client.ask("POST", "/chat/completions", {"model": "ok", "messages": HI, "store": True})
    return answer.headers.get("standpipe-fidelity", "")


def test_running_server_learns_what_a_key_keeps(client: Asker, store: Store) -> None:
    assert told(client) == ""
    store.change_key(client.key, {"content": "none"})
    until(lambda: told(client) == "store=dropped")
    store.change_key(client.key, {"content": None})
    until(lambda: told(client) == "")


@pytest.mark.parametrize(
    ("content", "dropped"),
    [("none", "reqPayload=dropped, respPayload=dropped, tags=dropped"), ("redacted", "")],
)
def test_report_is_kept_as_its_key_says(
    server: Standpipe, store: Store, project: Project, content: Content, dropped: str
) -> None:
    client = keeping(server, store, project, content)
    asked = {"model": "m", "messages": [{"role": "user", "content": EMAIL}]}
    said = {"id": "c", "choices": [{"message": {"content": EMAIL}, "finish_reason": "stop"}]}
    report = {"reqPayload": asked, "respPayload": said, "statusCode": 200, "tags": {"to": EMAIL}}
    answer = client.ask("POST", "/report", report)
    assert answer.json == {"status": "ok"}
    assert answer.headers.get("standpipe-fidelity", "") == dropped
    client.stored()  # which waits for the drain
    (kept,) = store.logs(project.id)
    assert (kept.model, kept.completion_id, kept.finish_reason) == ("m", "c", "stop")
    assert kept.metadata == ({} if dropped else {"to": "[email]"})
    assert EMAIL not in repr(kept)


@pytest.mark.parametrize(
    ("content", "labels", "dropped"),
    [("redacted", {"to": "[email]"}, ""), ("none", {}, "metadata=dropped")],
)
def test_label_is_kept_as_its_key_says(
    server: Standpipe,
    store: Store,
    project: Project,
    client: Asker,
    content: Content,
    labels: dict[str, str],
    dropped: str,
) -> None:
    name = client.chat(store=True)["id"]
    other = keeping(server, store, project, content)
    body = {"metadata": {"to": EMAIL}}
    answer = other.ask("POST", f"/chat/completions/{name}", body)
    assert answer.json["metadata"] == labels
    assert answer.headers.get("standpipe-fidelity", "") == dropped
    answer = other.ask("POST", "/logs/update-metadata", {"filters": [], **body})
    assert answer.headers.get("standpipe-fidelity", "") == dropped
    assert client.get(f"/chat/completions/{name}")["metadata"] == labels


def keeping(server: Standpipe, store: Store, project: Project, content: Content) -> Asker:
    """Return somebody whose key keeps this of its calls."""
    _, token = new_token()
    store.add_key(project.id, name="", read_only=False, token=token, content=content)
    return Asker(server, token)


@pytest.mark.parametrize(
    "variable", [("REDACTION_HOOK", "nowhere:hook"), ("REDACTION_KNOWN", "names")]
)
def test_server_does_not_start_with_a_redaction_that_cannot_be(
    tmp_path: Path, variable: tuple[str, str]
) -> None:
    name, value = variable
    server = serving.start(tmp_path / "home", **{name: value})
    try:
        assert server.process.wait(serving.PATIENCE) == 1
    finally:
        server.process.kill()
    said = server.log.read_text()
    assert name.lower().replace("_", ".") in said
    assert "Traceback" not in said


def test_error_does_not_repeat_the_key_that_it_came_with(client: Asker) -> None:
    answer = serving.call(
        client.server,
        "POST",
        "/chat/completions",
        {"model": "ok", "messages": HI},
        key=client.token,
        headers={"op-log-request": client.token},
    )
    assert answer.status == 400
    assert b"op-log-request" in answer.body
    assert b"***" in answer.body
    assert client.token.encode() not in answer.body
