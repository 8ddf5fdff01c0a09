"""Mixtures on a running server: a model of every route that chats, judged, limited, recorded."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import doubles
import pytest
import serving
from asking import CHAT, HI, Asker, until
from doubles import Asked, Double, Said
from serving import Standpipe

from standpipe.store import Project, Store

Json = dict[str, Any]

#: The provider's own, which it may repeat.
SECRET = "sk-of-the-upstream"
CONFIGURATION = """
[mixtures.panel]
candidates = [{ model = "openai:short", number = 2 }, { model = "there" }]
critique = "openai:critic"
final = "there"

[mixtures.lame]
candidates = [{ model = "openai:short" }, { model = "openai:broken" }]
final = "there"

[mixtures.tells]
candidates = [{ model = "openai:tells" }]
critique = "openai:critic"
final = "there"

[routes.there]
targets = [{ provider = "openai", model = "long" }]

[prices."openai/short"]
input = "1"
output = "1"
[prices."openai/critic"]
input = "1"
output = "1"
[prices."openai/long"]
input = "1"
output = "1"
"""


def answered(asked: Asked) -> Said:
    """Answer with the model's name; a reward model says how long the answer is."""
    model = asked.body["model"]
    assert model != "broken"
    said = f"The answer of {model}"
    if model == "tells":
        said = f"My key is {SECRET}."
    if model == "reward":
        assert asked.body["messages"][-1]["role"] == "assistant"
        said = f"reward:{len(asked.body['messages'][-1]['content'])}"
    whole = doubles.completion(said)
    choice = whole["choices"][0]
    whole["choices"] = [
        {**choice, "index": n, "message": {**choice["message"], "content": said + "!" * n}}
        for n in range(asked.body.get("n") or 1)
    ]
    assert not asked.body.get("stream")
    return Said(whole)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Double]:
    with doubles.running(answered, "/v1") as double:
        yield double


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Double) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("mixtures") / "home"
    provider = serving.provider("openai", upstream.url, api_key=f'"{SECRET}"')
    with serving.serving(home, provider + CONFIGURATION) as running:
        yield running


@pytest.fixture(scope="module")
def store(server: Standpipe) -> Iterator[Store]:
    with closing(Store.open(f"sqlite:///{server.home / 'standpipe.db'}")) as opened:
        yield opened


@pytest.mark.parametrize("model", ["panel", "openpipe:panel"])
def test_mixture_answers_and_is_one_record(
    client: Asker, store: Store, project: Project, model: str
) -> None:
    said = client.chat(model)
    assert said["model"] == model
    assert said["choices"][0]["message"]["content"] == "The answer of long"
    assert said["usage"]["total_tokens"] == 9 * 4
    until(lambda: store.count(project.id) == 1)
    (row,) = store.each_log(project.id)
    assert row.id == said["request_id"]
    assert [(each.model, each.step) for each in row.attempts][2:] == [
        ("critic", "critique"),
        ("long", None),
    ]
    assert [each.cost for each in row.attempts] == [Decimal("0.000009")] * 4
    assert row.cost == Decimal("0.000036")
    shown = client.server.cli("logs", "show", row.id)
    assert "draft" in shown
    assert "$0.000009" in shown
    told = json.loads(client.server.cli("logs", "show", row.id, "--json"))
    assert [each["cost"] for each in told["attempts"]] == ["0.000009"] * 4


def test_mixture_of_the_hosted_service_is_of_its_model(client: Asker, upstream: Double) -> None:
    before = len(upstream.asked)
    said = client.chat("openpipe:moa-gpt-4o-v1")
    assert said["choices"][0]["message"]["content"] == "The answer of gpt-4o"
    asked = upstream.bodies[before:]
    assert [(body["model"], body.get("n")) for body in asked] == [("gpt-4o", 3)] + [
        ("gpt-4o", None)
    ] * 2


def test_mixture_is_listed_and_answers_in_anthropics_form_too(client: Asker) -> None:
    listed = {each["id"]: each for each in client.get("/models")["data"]}
    assert "panel" in listed
    body = {"model": "panel", "messages": HI, "max_tokens": 9}
    said = client.post("/messages", body)
    assert said["content"][0]["text"] == "The answer of long"


def test_mixture_is_no_model_of_another_route_and_no_fallback(client: Asker) -> None:
    answer = client.ask("POST", "/embeddings", {"model": "panel", "input": "x"})
    assert answer.status == 400
    assert "'panel' is a mixture" in answer.json["message"]
    status, said = asked_with(client, {"standpipe-fallback": '["panel"]'}, model="there")
    assert status == 400
    assert "standpipe-fallback: 'panel'" in said["message"]


def asked_with(client: Asker, headers: dict[str, str], **fields: Any) -> tuple[int, Json]:
    connection = http.client.HTTPConnection("127.0.0.1", client.server.port, timeout=60)
    headers = {"authorization": f"Bearer {client.token}", **headers}
    with closing(connection):
        connection.request(
            "POST", "/api/v1" + CHAT, json.dumps({"messages": HI, **fields}), headers
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_answers_of_a_mixture_are_ranked_by_a_reward_model_by_its_slug(
    client: Asker, store: Store, project: Project
) -> None:
    reward = {"id": "length", "kind": "reward", "model": "openai:reward", "low": 0, "high": 100}
    client.post("/criteria", reward)
    status, said = asked_with(client, {"op-criteria": '["length"]'}, model="panel", n=2)
    assert status == 200
    results = [each["criteria_results"]["length"] for each in said["choices"]]
    assert results == [{"status": "success", "score": 0.19}, {"status": "success", "score": 0.18}]
    assert said["usage"]["criteria"] == {"length": {"total_tokens": 18}}
    body = {"criterion_id": "length", "output": {"role": "assistant", "content": "12345"}}
    judged = client.post("/criteria/judge", body)
    assert judged == {"score": 0.05, "usage": {"total_tokens": 9}}
    until(lambda: store.count(project.id) == 4)
    kinds = sorted(row.kind for row in store.each_log(project.id))
    assert kinds == ["chat", "judge", "judge", "judge"]


def test_answer_of_a_mixture_is_cached_where_no_part_of_it_failed(
    client: Asker, store: Store, project: Project, upstream: Double
) -> None:
    def calls(model: str) -> int:
        before = len(upstream.asked)
        status, said = asked_with(client, {"op-cache": "true"}, model=model)
        assert status == 200
        assert said["choices"][0]["message"]["content"] == "The answer of long"
        return len(upstream.asked) - before

    assert [calls("panel"), calls("panel"), calls("lame"), calls("lame")] == [4, 0, 4, 4]
    until(lambda: store.count(project.id) == 4)
    hit, _ = sorted(store.each_log(project.id, model="panel"), key=lambda row: not row.cache_hit)
    assert hit.cache_hit
    assert hit.cost == 0
    assert hit.attempts == ()
    lame, _ = store.each_log(project.id, model="lame")
    assert "mixture.draft=dropped" in lame.fidelity


def test_secret_that_a_draft_repeats_is_told_to_no_other_model(
    client: Asker, upstream: Double
) -> None:
    before = len(upstream.asked)
    client.chat("tells")
    drafted, *others = [json.dumps(each.body) for each in upstream.asked[before:]]
    assert "draft" not in drafted
    assert ["My key is ***." in each for each in others] == [True, True]
    assert SECRET not in "".join(others)


def test_key_needs_the_right_to_the_mixture_alone(server: Standpipe, project: Project) -> None:
    token = server.cli("keys", "create", "--project", project.id).strip()
    key = token.split("_")[1]
    server.cli("keys", "limit", key, "--models", "panel")
    client = Asker(server, token)
    client.chat("panel")
    assert client.ask("POST", CHAT, {"model": "there", "messages": HI}).status == 403


def test_budget_counts_all_that_a_mixture_took(server: Standpipe, project: Project) -> None:
    token = server.cli("keys", "create", "--project", project.id).strip()
    server.cli("keys", "limit", token.split("_")[1], "--dollars-per-day", "0.0003")
    client = Asker(server, token)
    body = {"model": "panel", "messages": HI, "max_tokens": 9}
    statuses = [client.ask("POST", CHAT, body).status for _ in range(10)]
    # Each takes 36 micro-dollars: of 300, the ninth finds 12 left, and the tenth none.
    assert statuses == [200] * 9 + [402]


def test_mixture_is_one_call_whose_tokens_all_count(server: Standpipe, project: Project) -> None:
    token = server.cli("keys", "create", "--project", project.id).strip()
    limits = ("--concurrent-calls", "1", "--tokens-per-minute", "10000")
    server.cli("keys", "limit", token.split("_")[1], *limits)
    client = Asker(server, token)
    body = {"model": "panel", "messages": HI, "max_tokens": 9}
    answers = [client.ask("POST", CHAT, body) for _ in range(2)]
    assert [each.status for each in answers] == [200, 200]
    one, two = (int(each.headers["x-ratelimit-remaining-tokens"]) for each in answers)
    assert one - two == 9 * 4
