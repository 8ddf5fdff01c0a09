"""Routes of several targets on a real server: what fails is passed over, rests and comes back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import doubles
import misbehaving
import pytest
import serving
from asking import CHAT, HI, Asker, until
from doubles import Asked, Said
from misbehaving import Misbehaving
from serving import KEY, Answer, Standpipe

from standpipe.store import Store
from standpipe.store.rows import Row
from standpipe.wire.record import Attempt

CALLS = 1000


def table(name: str, *targets: str, **settings: Any) -> str:
    """Return a [routes] table; a target is `provider model`."""
    rows = ", ".join(
        f'{{ provider = "{provider}", model = "{model}" }}'
        for provider, model in (target.split(" ") for target in targets)
    )
    lines = [f"[routes.{name}]", f"targets = [{rows}]"]
    return "\n".join([*lines, *(f"{n} = {json.dumps(v)}" for n, v in settings.items()), ""])


def rows_of(server: Standpipe, ids: Sequence[str]) -> list[Row]:
    """Return the rows of calls, once all are drained."""
    with closing(Store.open(f"sqlite:///{server.home / 'standpipe.db'}")) as store:
        (project,) = {key.project for key in store.keys(None)}
        left = list(ids)

        def all_are_there() -> bool:
            left[:] = [each for each in left if store.record(project, each) is None]
            return not left

        until(all_are_there)
        found = [store.record(project, each) for each in ids]
    return [row for row in found if row is not None]


def attempts_of(rows: Sequence[Row]) -> list[Attempt]:
    return [attempt for row in rows for attempt in row.attempts]


def test_route_of_a_dead_a_slow_and_a_busy_target_answers_every_call(tmp_path: Path) -> None:
    port = serving.free_port()
    dead = serving.provider("dead", f"http://127.0.0.1:{port}/v1")
    route = table("held", "dead ok", "there slow:20", "there status:429", rest=0.5)
    with misbehaving.running() as there:
        providers = serving.provider("there", there.url) + dead
        with serving.serving(tmp_path / "home", providers + route) as server:
            asker = Asker(server, KEY)

            def ask(_: int) -> Answer:
                return asker.ask("POST", CHAT, {"model": "held", "messages": HI})

            with ThreadPoolExecutor(16) as pool:
                answers = list(pool.map(ask, range(CALLS)))
            assert Counter(answer.status for answer in answers) == {200: CALLS}
            rows = rows_of(server, [answer.headers["x-request-id"] for answer in answers])
            attempts = attempts_of(rows)
            shares = Counter((attempt.provider, attempt.model) for attempt in attempts)
            assert shares["dead", "ok"] < 0.02 * len(attempts), shares
            assert {row.provider for row in rows} == {"there"}
            assert {row.provider_model for row in rows} == {"slow:20-2025-06-01"}
            _comes_back(ask, port)


def _comes_back(ask: Any, port: int) -> None:
    """Let the dead target recover: a probe finds it, and it has its share again."""
    with misbehaving.running(port=port) as recovered:
        until(lambda: ask(0).status == 200 and bool(recovered.requests))
        before = len(recovered.requests)
        assert {ask(n).status for n in range(40)} == {200}
        assert len(recovered.requests) - before >= 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Misbehaving) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("routes") / "home"
    dead = serving.provider("dead", f"http://127.0.0.1:{serving.free_port()}/v1")
    there = serving.provider("there", upstream.url)
    other = serving.provider("other", upstream.url, dialect='"anthropic"')
    routes = (
        table("falls", "dead ok", failures=1000)
        + 'fallback = [{ provider = "there", model = "ok" }]\n'
    )
    mixed = table("mixed", "other claude") + 'fallback = [{ provider = "there", model = "echo" }]\n'
    with serving.serving(home, there + other + dead + routes + mixed) as running:
        yield running


@pytest.fixture
def asker(server: Standpipe) -> Asker:
    return Asker(server, KEY)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": HI}),
        (CHAT, {"messages": HI, "stream": True}),
        ("/messages", {"messages": HI, "max_tokens": 9}),
        ("/completions", {"prompt": "Hi"}),
        ("/embeddings", {"input": "Hi"}),
        ("/responses", {"input": "Hi"}),
    ],
)
def test_every_route_of_the_api_falls_back(asker: Asker, path: str, body: dict[str, Any]) -> None:
    answer = asker.ask("POST", path, {"model": "falls", **body})
    assert answer.status == 200, answer.body
    assert answer.headers["standpipe-model"] == "ok-2025-06-01"
    (row,) = rows_of(asker.server, [answer.headers["x-request-id"]])
    assert [attempt.provider for attempt in row.attempts] == ["dead", "there"]


@pytest.mark.parametrize("path", [CHAT, "/messages", "/embeddings"])
def test_header_names_what_is_tried_next(server: Standpipe, path: str) -> None:
    body = {"model": "dead:x", "messages": HI, "max_tokens": 9, "input": "Hi"}
    headers = {"standpipe-fallback": '["dead:y", "there:ok"]'}
    answer = serving.call(server, "POST", path, body, headers=headers)
    assert answer.status == 200, answer.body
    headers = {"standpipe-fallback": "there:ok"}
    answer = serving.call(server, "POST", path, body, headers=headers)
    assert answer.status == 400
    assert "standpipe-fallback: must be a JSON list" in answer.json["error"]["message"]


def test_marks_of_anthropics_callers_are_left_out_where_a_target_cannot_read_them(
    asker: Asker, upstream: Misbehaving
) -> None:
    marked = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
    body = {"model": "mixed", "max_tokens": 9, "messages": [{"role": "user", "content": [marked]}]}
    assert asker.ask("POST", "/messages", body).status == 200
    assert "cache_control" not in upstream.last.body.decode()


def test_keys_take_turns_and_one_that_is_refused_costs_no_call_its_answer(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        key = asked.headers["authorization"].removeprefix("Bearer ")
        if key == "sk-refused":
            return Said({"error": {"message": f"bad key {key}"}}, status=401)
        return doubles.as_openai(doubles.completion(key), asked.body)

    with doubles.running(answer, "/v1") as double:
        keys = '["sk-one", "sk-refused", "sk-two"]'
        row = serving.provider("acme", double.url, api_keys=keys)
        with serving.serving(tmp_path / "home", row) as server:
            asker = Asker(server, KEY)
            answers = [
                asker.ask("POST", CHAT, {"model": "acme:m", "messages": HI}) for _ in "123456"
            ]
            said = [each.json["choices"][0]["message"]["content"] for each in answers]
            rows = rows_of(server, [each.headers["x-request-id"] for each in answers])
    assert said == ["sk-one", "sk-two", "sk-one", "sk-two", "sk-one", "sk-two"]
    told = [(attempt.status, attempt.key) for attempt in rows[1].attempts]
    assert told == [(401, 1), (200, 2)]
    assert "sk-refused" not in str(rows)
