"""Embeddings, OpenAI's older completions and its responses: passed on, and recorded."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from asking import Asker, until
from misbehaving import Misbehaving
from serving import PATIENCE, Answer

from standpipe.store import Project, Row, Store

#: A body for each path, and the kind of its record.
BODIES: dict[str, dict[str, Any]] = {
    "/embeddings": {"input": ["river", "lake"], "dimensions": 3},
    "/completions": {"prompt": "Three rivers are", "max_tokens": 20},
    "/responses": {"input": "Name three rivers.", "x_unknown": [1, {"a": None}]},
}
STREAMED = ("/completions", "/responses")
CONTENT = "Hello there, how can I"


def kind_of(path: str) -> str:
    return path.removeprefix("/")


def ask(client: Asker, path: str, model: str = "ok", **fields: Any) -> Answer:
    return client.ask("POST", path, {"model": model, **BODIES[path], **fields})


def recorded(client: Asker, store: Store, project: Project) -> Row:
    """Return the one record of the project."""
    client.stored()  # waits for the drain
    (row,) = store.logs(project.id)
    return row


def events(answer: Answer) -> list[Any]:
    """Return the JSON of a stream's events, `[DONE]` as it is."""
    said = []
    assert answer.status == 200
    for event in answer.body.decode().replace("\r\n", "\n").strip().split("\n\n"):
        data = event.rpartition("data: ")[2]
        if event.startswith(":"):
            continue
        said.append(data if data == "[DONE]" else json.loads(data))
    return said


def text_of(stream: Answer) -> str:
    """Return the text of a stream that is whole."""
    said = events(stream)
    if said[-1] != "[DONE]":
        (item,) = said[-1]["response"]["output"]
        return str(item["content"][0]["text"])
    return "".join(choice["text"] for chunk in said[:-1] for choice in chunk["choices"])


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1", "/v1/"])
@pytest.mark.parametrize("path", BODIES)
def test_body_goes_on_and_answer_comes_back_with_the_model_as_asked(
    client: Asker, upstream: Misbehaving, path: str, prefix: str
) -> None:
    body = {"model": "openai:chunks:5", **BODIES[path]}
    answer = client.ask("POST", path, body, prefix=prefix)
    assert answer.status == 200
    assert answer.json["model"] == "openai:chunks:5"
    assert answer.json["x_vendor"] == {"kept": True}
    assert upstream.last.path.endswith(path)
    assert upstream.last.json == {**body, "model": "chunks:5"}
    assert upstream.last.headers["authorization"] == "Bearer sk-upstream"
    assert answer.headers["standpipe-model"] == "chunks:5-2025-06-01"


@pytest.mark.parametrize("path", BODIES)
def test_parameters_of_a_target_beat_the_callers(
    client: Asker, upstream: Misbehaving, path: str
) -> None:
    answer = ask(client, path, "fixed", user="caller", seed=7)
    assert (answer.status, answer.json["model"]) == (200, "fixed")
    sent = {**BODIES[path], "model": "ok", "user": "operator", "x_more": 1, "seed": 7}
    assert upstream.last.json == sent
    assert client.latest()["reqPayload"]["user"] == "caller"


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("/embeddings", (11, None, 11, None)),
        ("/completions", (11, 5, 16, 4)),
        ("/responses", (11, 5, 16, 4)),
    ],
)
@pytest.mark.parametrize("store_it", [True, False])
def test_call_leaves_a_record_of_its_kind_with_its_usage(
    client: Asker,
    store: Store,
    project: Project,
    path: str,
    counts: tuple[int | None, ...],
    store_it: bool,
) -> None:
    answer = ask(client, path, store=store_it, metadata={"prompt_id": "p"})
    row = recorded(client, store, project)
    assert (row.kind, row.outcome, row.status) == (kind_of(path), "complete", 200)
    assert (row.id, row.model, row.provider) == (answer.headers["x-request-id"], "ok", "openai")
    assert (row.logged, row.metadata) == (store_it, {"prompt_id": "p"})
    assert row.usage is not None
    usage = row.usage
    told = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.cached_tokens)
    assert (told, row.usage_source) == (counts, "provider")
    assert row.completion_id == answer.json.get("id")
    assert row.provider_model == "ok-2025-06-01"
    assert row.attempts[0].status == 200
    kept = json.loads(row.response) if row.response else None
    assert kept == (answer.json if store_it else None)


def test_call_is_no_stored_completion(client: Asker) -> None:
    for path in BODIES:
        assert ask(client, path).status == 200
    assert client.stored() == []


@pytest.mark.parametrize("path", ["/embeddings", "/completions"])
def test_labels_stay_here(client: Asker, upstream: Misbehaving, path: str) -> None:
    ask(client, path, store=True, metadata={"a": "b"})
    assert not {"store", "metadata"} & upstream.last.json.keys()


def test_what_a_response_hangs_on_goes_to_the_provider_too(
    client: Asker, upstream: Misbehaving
) -> None:
    ask(client, "/responses", store=False, metadata={"a": "b"})
    assert (upstream.last.json["store"], upstream.last.json["metadata"]) == (False, {"a": "b"})


def test_stream_of_completions_is_relayed_and_folded(
    client: Asker, store: Store, project: Project, upstream: Misbehaving
) -> None:
    answer = ask(client, "/completions", stream=True)
    *chunks, done = events(answer)
    assert done == "[DONE]"
    assert {chunk["model"] for chunk in chunks} == {"ok"}
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == CONTENT
    assert upstream.last.json["stream_options"] == {"include_usage": True}
    row = recorded(client, store, project)
    assert (row.kind, row.streamed, row.outcome) == ("completions", True, "complete")
    assert (row.finish_reason, row.completion_id) == ("stop", chunks[0]["id"])
    assert row.usage is not None
    assert row.usage.total_tokens == 16
    assert row.response is not None
    folded = json.loads(row.response)
    assert folded["object"] == "text_completion"
    assert folded["choices"][0]["text"] == CONTENT


def test_usage_of_a_stream_is_given_to_who_asks(client: Asker) -> None:
    answer = ask(client, "/completions", stream=True, stream_options={"include_usage": True})
    assert events(answer)[-2]["usage"]["total_tokens"] == 16


def test_stream_of_a_response_is_relayed_to_its_last_event(
    client: Asker, store: Store, project: Project
) -> None:
    answer = ask(client, "/responses", stream=True)
    said = events(answer)
    assert [event["sequence_number"] for event in said] == list(range(len(said)))
    assert said[-1]["type"] == "response.completed"
    assert {event["response"]["model"] for event in said if "response" in event} == {"ok"}
    assert answer.body.startswith(b"event: response.created\ndata: {")
    row = recorded(client, store, project)
    assert (row.kind, row.streamed, row.outcome) == ("responses", True, "complete")
    assert (row.finish_reason, row.completion_id) == ("stop", said[-1]["response"]["id"])
    assert row.usage is not None
    assert (row.usage.total_tokens, row.usage.reasoning_tokens) == (16, 2)
    assert row.response is not None
    assert json.loads(row.response) == said[-1]["response"]


@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize("trait", ["odd-splits", "chunks:3+odd-splits", "gzip", "until-close"])
def test_stream_is_the_same_however_it_comes(client: Asker, path: str, trait: str) -> None:
    assert text_of(ask(client, path, trait, stream=True)).startswith("Hello there, how")


@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize("trait", ["cut", "reset", "error-event"])
def test_stream_that_breaks_ends_in_an_error(
    client: Asker, store: Store, project: Project, path: str, trait: str
) -> None:
    answer = ask(client, path, trait, stream=True)
    last = events(answer)[-1]
    assert last["error"]["message"]
    if path == "/responses":
        assert (last["type"], last["message"]) == ("error", last["error"]["message"])
        assert answer.body.rpartition(b"event: ")[2].startswith(b"error\n")
    row = recorded(client, store, project)
    assert (row.outcome, row.status, row.error) == ("cut", 200, last["error"]["message"])
    assert row.usage_source in {"estimated", None}


def test_response_without_its_last_event_is_no_success(
    client: Asker, store: Store, project: Project
) -> None:
    answer = ask(client, "/responses", "finish-no-done", stream=True)
    assert events(answer)[-1]["type"] == "error"
    row = recorded(client, store, project)
    assert row.outcome == "cut"
    assert row.response is not None
    item = json.loads(row.response)["output"][0]
    assert item["content"][0]["text"] == CONTENT


def test_completion_without_done_is_whole_when_it_is_finished(client: Asker) -> None:
    answer = ask(client, "/completions", "finish-no-done", stream=True)
    said = events(answer)
    assert said[-1] == "[DONE]"
    assert "".join(chunk["choices"][0]["text"] for chunk in said[:-1]) == CONTENT


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("status:429", 429, "TOO_MANY_REQUESTS"),
        ("status:400", 400, "BAD_REQUEST"),
        ("status:401", 502, "BAD_GATEWAY"),
        ("not-json", 502, "BAD_GATEWAY"),
        ("not-completion", 502, "BAD_GATEWAY"),
        ("garbage", 502, "BAD_GATEWAY"),
        ("openpipe:nothing", 404, "NOT_FOUND"),
    ],
)
def test_error_is_answered_and_recorded_as_for_chat(
    client: Asker,
    store: Store,
    project: Project,
    path: str,
    model: str,
    status: int,
    code: str,
) -> None:
    answer = ask(client, path, model)
    assert (answer.status, answer.json["code"]) == (status, code)
    row = recorded(client, store, project)
    assert (row.kind, row.status, row.model) == (kind_of(path), status, model)
    assert (row.id, row.error) == (answer.headers["x-request-id"], answer.json["message"])


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 1}, "model"),
        ({"model": ""}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"store": 1}, "store"),
        ({"metadata": {"a": 1}}, "metadata.a"),
    ],
)
def test_field_that_we_read_is_checked(
    client: Asker, upstream: Misbehaving, path: str, fields: dict[str, Any], param: str
) -> None:
    before = upstream.requests_seen
    answer = client.ask("POST", path, {"model": "ok", **BODIES[path], **fields})
    assert (answer.status, answer.json["error"]["param"]) == (400, param)
    assert upstream.requests_seen == before


def test_response_in_the_background_is_refused(client: Asker) -> None:
    answer = ask(client, "/responses", background=True)
    assert (answer.status, answer.json["error"]["param"]) == (400, "background")
    assert ask(client, "/responses", background=False).status == 200


@pytest.mark.parametrize("path", BODIES)
def test_key_is_wanted_and_a_read_only_one_is_refused(
    client: Asker, reader: Asker, path: str
) -> None:
    assert ask(reader, path).status == 403
    nobody = Asker(client.server, "not-a-key-of-anybody")
    assert ask(nobody, path).status == 401


@pytest.mark.parametrize("path", STREAMED)
def test_provider_is_let_go_when_the_client_leaves(
    client: Asker, store: Store, project: Project, upstream: Misbehaving, path: str
) -> None:
    left = upstream.disconnects
    body = {"model": "drip:30+chunks:500", "stream": True, **BODIES[path]}
    connection = http.client.HTTPConnection("127.0.0.1", client.server.port, timeout=PATIENCE)
    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json"}
    connection.request("POST", f"/v1{path}", json.dumps(body), headers)
    answer = connection.getresponse()
    assert answer.read(10)
    answer.close()
    connection.close()
    until(lambda: upstream.disconnects > left)
    until(lambda: bool(store.logs(project.id)))
    row = recorded(client, store, project)
    assert (row.kind, row.outcome) == (kind_of(path), "abandoned")
