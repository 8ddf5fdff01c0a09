"""Limits of keys and projects on a real server of several workers, and on two nodes."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import postgres
import psutil
import pytest
import redis_server
import serving
from asking import CHAT, HI, Asker, until
from misbehaving import Misbehaving
from serving import Answer, Standpipe

from standpipe.store import Project, Store
from standpipe.store.rows import now_us
from standpipe.store.tokens import new_token

#: A thousandth of a dollar a token.
PRICES = '[prices."openai/ok"]\ninput = "1000"\noutput = "1000"\n'


def configuration(upstream: Misbehaving) -> str:
    return serving.provider("openai", upstream.url, api_key='"sk-upstream"') + PRICES


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Misbehaving) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("limits") / "home"
    with serving.serving(home, configuration(upstream), SERVER_WORKERS="2") as running:
        yield running


def asker(server: Standpipe, store: Store, project: Project, **more: Any) -> Asker:
    limits = more.pop("limits", None)
    _, token = new_token()
    text = None if limits is None else json.dumps(limits)
    key = store.add_key(project.id, name="held", read_only=False, token=token, limits=text, **more)
    return Asker(server, token, key.id)


def chat(who: Asker, model: str = "ok", **fields: Any) -> Answer:
    return who.ask("POST", CHAT, {"model": model, "messages": HI, **fields})


def test_requests_a_minute_hold_over_all_workers(
    server: Standpipe, store: Store, project: Project
) -> None:
    who = asker(server, store, project, limits={"requests_per_minute": 30})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: chat(who), range(60)))
    assert Counter(answer.status for answer in answers) == {200: 30, 429: 30}
    left = {int(a.headers["x-ratelimit-remaining-requests"]) for a in answers}
    assert left == set(range(30))
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.json["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["x-ratelimit-limit-requests"] == "30"
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    # A refused call has its record.
    found = refused.headers["x-request-id"]
    until(lambda: store.record(project.id, found) is not None)
    row = store.record(project.id, found)
    assert row is not None
    assert (row.outcome, row.status, row.attempts) == ("refused", 429, ())


def test_tokens_of_the_answer_are_counted_when_it_is_there(
    server: Standpipe, store: Store, project: Project
) -> None:
    who = asker(server, store, project, limits={"tokens_per_minute": 100})
    first = chat(who, max_tokens=60)
    used = first.json["usage"]["total_tokens"]
    second = chat(who, max_tokens=60, stream=True)
    assert (first.status, second.status) == (200, 200)
    left = int(chat(who, max_tokens=1).headers["x-ratelimit-remaining-tokens"])
    assert 100 - 2 * used - 3 <= left < 100 - 2 * used
    assert chat(who, max_tokens=90).json["error"]["type"] == "tokens"
    never = chat(who, max_tokens=1000)
    assert never.status == 429
    assert never.headers["x-should-retry"] == "false"
    assert "retry-after" not in never.headers


@pytest.mark.parametrize("stream", [False, True])
def test_one_call_after_the_other_is_never_two_at_a_time(
    server: Standpipe, store: Store, project: Project, stream: bool
) -> None:
    who = asker(server, store, project, limits={"concurrent_calls": 1})
    # Each on a connection of its own, and so at any of the workers.
    assert {chat(who, stream=stream).status for _ in range(30)} == {200}


def test_calls_at_a_time_are_given_back_by_those_who_leave_and_by_workers_that_die(
    server: Standpipe, store: Store, project: Project
) -> None:
    who = asker(server, store, project, limits={"concurrent_calls": 2})
    with ThreadPoolExecutor(2) as pool:
        hanging = [pool.submit(_hang, who) for _ in range(2)]
        until(lambda: chat(who).status == 429)
        for each in _workers(server):
            os.kill(each, signal.SIGKILL)
        for one in hanging:
            one.result()
    until(lambda: _answered(who) == 200)
    assert {_answered(who) for _ in range(5)} == {200}


def _workers(server: Standpipe) -> list[int]:
    every = psutil.Process(server.process.pid).children()
    return [each.pid for each in every if "standpipe.worker" in each.cmdline()]


def _answered(who: Asker) -> int:
    """Return the status, 0 where the connection breaks: its worker is not there yet."""
    try:
        return chat(who).status
    except OSError:
        return 0


def _hang(who: Asker) -> None:
    """Make a call that has no end; as often as there is no room for it."""
    with suppress(OSError):
        while chat(who, "silent").status == 429:
            pass


def test_budget_is_exceeded_by_no_more_than_a_call_and_kept_by_a_new_limiter(
    server: Standpipe, store: Store, project: Project
) -> None:
    who = asker(server, store, project, limits={"dollars_per_day": "0.1"})
    spent = 0
    while (answer := chat(who, max_tokens=20)).status == 200:
        spent += answer.json["usage"]["total_tokens"]
    # A thousandth of a dollar a token: over the budget by less than a call.
    assert 100 <= spent < 100 + 40
    assert answer.status == 402
    assert answer.json["code"] == "PAYMENT_REQUIRED"
    assert answer.json["error"]["code"] == "insufficient_quota"
    os.kill(server.child("standpipe.limits").pid, signal.SIGKILL)
    until(lambda: chat(who).status != 503)
    assert chat(who).status == 402


def test_project_holds_its_keys_together_and_changes_are_heard(
    server: Standpipe, store: Store, project: Project
) -> None:
    first, second = asker(server, store, project), asker(server, store, project)
    assert chat(first).status == 200
    store.change_project(project.id, {"limits": '{"requests_per_minute": 2}'})
    # Each worker hears of it for itself.
    until(lambda: {chat(who).status for who in (first, second) * 5} == {429})
    store.change_project(project.id, {"limits": None})
    until(lambda: {chat(first).status for _ in range(8)} == {200})


def test_key_has_the_models_it_may_have_and_no_other(
    server: Standpipe, store: Store, project: Project
) -> None:
    who = asker(server, store, project, models='["ok*", "openai:chunks:?"]')
    assert chat(who).status == chat(who, "openai:chunks:2").status == 200
    for model in ("slow:1", "openai:ok", "O"):
        refused = chat(who, model)
        assert refused.status == 403
        assert refused.json["error"]["code"] == "model_not_found"
        assert refused.json["error"]["param"] == "model"
    given = {"standpipe-fallback": '["slow:1"]'}
    body = {"model": "ok", "messages": HI}
    answer = serving.call(server, "POST", CHAT, body, key=who.token, headers=given)
    assert answer.status == 403
    embeddings = who.ask("POST", "/embeddings", {"model": "slow:1", "input": "Hi"})
    assert embeddings.status == 403


def test_key_ends_when_it_is_said_to(server: Standpipe, store: Store, project: Project) -> None:
    who = asker(server, store, project, expires_at=now_us() + 1_500_000)
    assert chat(who).status == 200
    until(lambda: chat(who).status == 401)
    assert "expired" in chat(who).json["message"]
    assert who.ask("GET", "/models").status == 401


def test_limited_key_of_a_failed_call_has_its_request_back(
    server: Standpipe, store: Store, project: Project
) -> None:
    who = asker(server, store, project, limits={"requests_per_minute": 1})
    assert chat(who, "nowhere:x", n=0).status == 400
    assert chat(who, "status:503").status == 503
    assert chat(who).status == 200
    assert chat(who).status == 429


def test_two_nodes_hold_a_limit_together_and_one_may_die(
    tmp_path: Path, upstream: Misbehaving, new_postgres: Any, redis_run: redis_server.Server
) -> None:
    url = new_postgres()
    chosen = {"STORE_URL": url, "LIMITS_REDIS": redis_run.url}
    with (
        serving.serving(tmp_path / "one", configuration(upstream), **chosen) as one,
        serving.serving(tmp_path / "two", configuration(upstream), **chosen) as two,
        closing(Store.open(url)) as store,
    ):
        project = store.projects()[0]
        many = {"requests_per_minute": 40, "dollars_per_day": "100"}
        who = asker(one, store, project, limits=many)
        also = Asker(two, who.token, who.key)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: chat((who, also)[n % 2]), range(80)))
        assert Counter(answer.status for answer in answers) == {200: 40, 429: 40}
        few = asker(one, store, project, limits={"concurrent_calls": 1})
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(_hang, few)
            other = Asker(two, few.token, few.key)
            until(lambda: chat(other).status == 429)
            serving.kill_tree(one.process.pid)
            hanging.result()
        until(lambda: chat(other).status == 200)
    assert postgres.PASSWORD not in (tmp_path / "two" / "serve.log").read_text()
    assert redis_server.PASSWORD not in (tmp_path / "two" / "serve.log").read_text()
