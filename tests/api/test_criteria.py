"""Criteria over HTTP: made, listed, versioned, deleted, and used to judge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import doubles
import pytest
import serving
from asking import Asker, until
from doubles import Asked, Double, Said
from serving import Answer, Standpipe

from standpipe.store import Project, Row, Store

Json = dict[str, Any]

HELLO = {"role": "assistant", "content": "Hello"}
SHORT = {"id": "short", "kind": "length", "max": 5}


def judged(asked: Asked) -> Said:
    """Judge as the judge's name says."""
    model, body = asked.body["model"], asked.body
    if model == "broken":
        return Said({"error": {"message": "out of order"}}, status=500)
    if model == "plain" and "logprobs" in body:
        return Said({"error": {"message": "logprobs: not supported"}}, status=400)
    said = {
        "garbage": "I liked it.",
        "stars": '{"explanation": "Fine.", "score": 4}',
        "refuses": '{"explanation": "Bad.", "verdict": "FAIL"}',
    }.get(model, '{"explanation": "Good.", "verdict": "PASS"}')
    whole = doubles.completion(said)
    if model == "sure":
        head, tail = said.split("PASS")
        others = [{"token": "PASS", "logprob": -0.2}, {"token": "FAIL", "logprob": -1.6}]
        told = [{"token": head, "logprob": 0, "top_logprobs": []},
                {"token": "PASS", "logprob": -0.2, "top_logprobs": others},
                {"token": tail, "logprob": 0, "top_logprobs": []}]  # fmt: skip
        whole["choices"][0]["logprobs"] = {"content": told}
    return doubles.as_openai(whole, body)


@pytest.fixture(scope="module")
def judge() -> Iterator[Double]:
    with doubles.running(judged, "/v1") as double:
        yield double


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, judge: Double) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("criteria") / "home"
    routes = "".join(
        f'[routes.{name}]\nretries = 0\ntargets = [{{ provider = "openai", model = "{name}" }}]\n'
        for name in ("broken", "garbage")
    )
    provider = serving.provider("openai", judge.url, api_key='"sk-upstream"')
    with serving.serving(home, provider + routes) as running:
        yield running


def make(client: Asker, **fields: Any) -> Json:
    made: Json = client.post("/criteria", {"id": "polite", "prompt": "Is it polite?", **fields})
    return made


def ask(client: Asker, criterion: str, output: Json = HELLO, **fields: Any) -> Answer:
    body = {"criterion_id": criterion, "output": output, **fields}
    return client.ask("POST", "/criteria/judge", body)


# --- making them ----------------------------------------------------------------------------------


def test_criterion_is_made_listed_versioned_and_deleted(client: Asker) -> None:
    made = client.post("/criteria", {**SHORT, "name": "Short answers"})
    assert (made["id"], made["name"], made["version"]) == ("short", "Short answers", "v1")
    assert client.get("/criteria/short") == made
    changed = client.post("/criteria/short/versions", {"kind": "length", "max": 4})
    assert changed["version"] == "v2"
    assert [each["max"] for each in changed["versions"]] == [5, 4]
    assert changed["versions"][0] == made["versions"][0]
    again = client.post("/criteria/short/versions", {"kind": "length", "max": 4})
    assert again == changed
    make(client, model="any")
    assert [each["id"] for each in client.get("/criteria")["data"]] == ["polite", "short"]
    assert client.ask("DELETE", "/criteria/short").json["deleted"] is True
    assert client.ask("DELETE", "/criteria/short").status == 404
    assert client.ask("GET", "/criteria/short").status == 404


def test_criteria_are_their_projects_alone(client: Asker, stranger: Asker, reader: Asker) -> None:
    client.post("/criteria", SHORT)
    assert stranger.get("/criteria")["data"] == []
    stranger.post("/criteria", {**SHORT, "max": 9})
    assert client.get("/criteria/short")["versions"][0]["max"] == 5
    assert reader.get("/criteria")["data"] == client.get("/criteria")["data"]
    assert ask(stranger, "short", {"content": "Hello you"}).json["score"] == 1
    assert ask(client, "short", {"content": "Hello you"}).json["score"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/criteria", SHORT),
        ("POST", "/criteria/short/versions", {"kind": "length", "max": 1}),
        ("DELETE", "/criteria/short", None),
        ("POST", "/criteria/judge", {"criterion_id": "short", "output": HELLO}),
    ],
)
def test_read_only_key_changes_and_judges_nothing(
    client: Asker, reader: Asker, method: str, path: str, body: Any
) -> None:
    client.post("/criteria", SHORT)
    assert reader.ask(method, path, body).status == 401
    assert client.get("/criteria/short")["version"] == "v1"


WRONG: dict[str, tuple[Json, str]] = {
    "no id": ({"kind": "length", "max": 1}, "id"),
    "an id of another form": ({**SHORT, "id": "a@v1"}, "id"),
    "an id that is no text": ({**SHORT, "id": 7}, "id"),
    "a name that is no text": ({**SHORT, "name": 7}, "name"),
    "a NUL": ({**SHORT, "name": "a\0"}, "name"),
    "no field of its kind": ({**SHORT, "prompt": "p"}, "prompt"),
    "a pattern that is none": ({"id": "a", "kind": "regex", "pattern": "("}, "pattern"),
    "a schema that is none": ({"id": "a", "kind": "json_schema", "schema": {"type": 1}}, "schema"),
    "a name in the prompt": ({"id": "a", "model": "m", "prompt": "{{output}}{{x}}"}, "prompt"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_criterion_is_refused_by_the_field(client: Asker, name: str) -> None:
    body, param = WRONG[name]
    answer = client.ask("POST", "/criteria", body)
    assert answer.status == 400
    assert answer.json["error"]["param"] == param
    assert client.get("/criteria")["data"] == []


def test_id_that_is_taken_is_refused(client: Asker) -> None:
    client.post("/criteria", SHORT)
    answer = client.ask("POST", "/criteria", SHORT)
    assert (answer.status, answer.json["error"]["param"]) == (400, "id")
    missing = client.ask("POST", "/criteria/long/versions", {"kind": "length", "max": 1})
    assert (missing.status, missing.json["message"]) == (404, "Criterion long not found")


# --- judging --------------------------------------------------------------------------------------


def test_check_scores_without_a_model(client: Asker, judge: Double) -> None:
    client.post("/criteria", SHORT)
    before = len(judge.asked)
    assert ask(client, "short").json == {"score": 1.0, "explanation": "5 characters"}
    assert ask(client, "short", {"content": "Hello!"}).json["score"] == 0
    assert len(judge.asked) == before


def test_version_that_is_named_judges(client: Asker) -> None:
    client.post("/criteria", SHORT)
    client.post("/criteria/short/versions", {"kind": "length", "max": 4})
    assert [ask(client, name).json["score"] for name in ("short@v1", "short", "short@v2")] == [
        1, 0, 0,
    ]  # fmt: skip


def test_judge_sees_the_case_and_explains(client: Asker, judge: Double) -> None:
    make(client, model="any", parameters={"temperature": 0})
    tools = [{"type": "function", "function": {"name": "f"}}]
    said = {"messages": [{"role": "user", "content": "Hi there"}], "tools": tools}
    answer = ask(client, "polite", input={**said, "tool_choice": "auto"})
    assert answer.json == {"score": 1.0, "explanation": "Good.", "usage": {"total_tokens": 9}}
    asked = judge.asked[-1].body
    shown = asked["messages"][1]["content"]
    assert all(text in shown for text in ("Is it polite?", "Hi there", "Hello", '"name": "f"'))
    assert asked["temperature"] == 0
    assert "metadata" not in asked


@pytest.mark.parametrize(
    ("model", "score", "more"),
    [
        ("refuses", 0, {}),
        ("sure", 0.8, {}),
        ("plain", 1, {}),
        ("stars", 0.75, {"kind": "score", "low": 1, "high": 5}),
    ],
)
def test_score_is_as_sure_as_the_judge_tells(
    client: Asker, model: str, score: float, more: Json
) -> None:
    make(client, model=model, **more)
    assert ask(client, "polite").json["score"] == pytest.approx(score, abs=0.01)


@pytest.mark.parametrize(
    ("model", "status", "message"),
    [
        ("broken", 500, "criterion polite@v1: the judge failed: out of order"),
        ("garbage", 502, "criterion polite@v1: the judge gave no verdict"),
        ("openpipe:nothing", 404, "does not exist"),
    ],
)
def test_judge_that_fails_is_an_error_and_no_score(
    client: Asker, model: str, status: int, message: str
) -> None:
    make(client, model=model)
    answer = ask(client, "polite")
    assert answer.status == status, answer.body
    assert message in answer.json["message"]
    assert "score" not in answer.json


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("invalid-criterion-name", "Criterion invalid-criterion-name not found"),
        ("short@fake-version", "Criterion version fake-version not found for criterion short"),
    ],
)
def test_criterion_that_is_not_there_is_named(client: Asker, name: str, message: str) -> None:
    client.post("/criteria", SHORT)
    answer = ask(client, name)
    assert (answer.status, answer.json["message"]) == (404, message)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"output": HELLO}, "criterion_id"),
        ({"criterion_id": "short"}, "output"),
        ({"criterion_id": "short", "output": {"content": 7}}, "output.content"),
        ({"criterion_id": "short", "output": {}}, "output.content"),
        ({"criterion_id": "short", "output": HELLO, "x": 1}, "x"),
        ({"criterion_id": "short", "output": HELLO, "input": {}}, "input.messages"),
        (
            {"criterion_id": "short", "output": HELLO, "input": {"messages": [{"role": "me"}]}},
            "input.messages[0].role",
        ),
    ],
)
def test_wrong_body_is_refused_by_the_field(client: Asker, body: Json, param: str) -> None:
    answer = client.ask("POST", "/criteria/judge", body)
    assert (answer.status, answer.json["error"]["param"]) == (400, param), answer.body


def test_body_that_is_no_json_is_refused(client: Asker) -> None:
    answer = client.send("/criteria/judge", b"{")
    assert (answer.status, answer.json["code"]) == (400, "PARSE_ERROR")


def rows_of(store: Store, project: Project, count: int) -> list[Row]:
    until(lambda: len(store.logs(project.id)) >= count)
    return store.logs(project.id)


def test_judges_call_is_a_record_of_its_own(
    client: Asker, store: Store, project: Project, judge: Double
) -> None:
    make(client, model="gpt-4o-mini")
    answer = ask(client, "polite")
    (row,) = rows_of(store, project, 1)
    assert (row.id, row.kind, row.key) == (answer.headers["x-request-id"], "judge", client.key)
    assert (row.model, row.status, row.parent) == ("gpt-4o-mini", 200, None)
    assert row.metadata == {"criterion": "polite@v1"}
    assert row.usage is not None
    assert row.cost
    kept = store.record(project.id, row.id)
    assert kept is not None
    assert "Is it polite?" in (kept.request or "")
    assert client.stored() == []


def test_judges_call_is_kept_as_the_caller_wants(
    client: Asker, store: Store, project: Project
) -> None:
    make(client, model="any")
    body = json.dumps({"criterion_id": "polite", "output": HELLO})
    headers = {"op-log-request": "false"}
    answer = serving.call(
        client.server, "POST", "/criteria/judge", json.loads(body),
        key=client.token, headers=headers,
    )  # fmt: skip
    assert answer.status == 200
    (row,) = rows_of(store, project, 1)
    assert not row.logged
    kept = store.record(project.id, row.id)
    assert kept is not None
    assert kept.request is None


def test_judge_is_held_to_the_keys_models(client: Asker, store: Store) -> None:
    store.change_key(client.key, {"models": '["gpt-*"]'})
    make(client, model="any")
    until(lambda: ask(client, "polite").status == 403)
    assert "`any`" in ask(client, "polite").json["message"]
