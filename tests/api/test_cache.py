"""`op-cache` on the chat route: what is given again, to whom, and what never is."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import doubles
import pytest
import serving
from asking import CHAT, HI, Asker, until
from doubles import Asked, Double, Said
from serving import Answer, Standpipe, call

from standpipe.store import Project, Row, Store
from standpipe.wire import fold

Json = dict[str, Any]

READ_WRITE, READ_ONLY, WRITE_ONLY = "readWrite", "readOnly", "writeOnly"
#: Waits until the test lets it answer.
HELD = "held"
#: What models say of why they ended that did not.
UNFINISHED = {"unfinished": None, "failed": "error"}
#: That fail, break off or say nothing.
BAD = ("broken", "cut", "speechless")
ROUTE = "[routes.{}]\nretries = 0\ntargets = [{{ provider = 'openai', model = '{}' }}]\n"


class Provider:
    """Says something new each time, as its models say."""

    def __init__(self) -> None:
        self.said = 0
        self.may_answer = threading.Event()

    def answer(self, asked: Asked) -> Said:
        self.said += 1
        model, number = asked.body["model"], self.said
        if model == HELD:
            assert self.may_answer.wait(serving.PATIENCE)
        whole = doubles.completion(f"answer {number}", id=f"chatcmpl-{number}")
        if model == "speechless":
            whole["choices"][0]["message"] = None
        if model == "broken":
            return Said({"error": {"message": "out of order"}}, status=500)
        if model in UNFINISHED:
            whole["choices"][0]["finish_reason"] = UNFINISHED[model]
        if model == "cut":
            events = [b"data: " + json.dumps(c).encode() for c in doubles.chunks(whole, asked.body)]
            return Said(events=[event + b"\n\n" for event in events[:3]])
        if model == "tells":
            key = asked.body["messages"][0]["content"]
            whole["choices"][0]["message"]["content"] = key
        return doubles.as_openai(whole, asked.body)


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


@pytest.fixture(scope="module")
def upstream(provider: Provider) -> Iterator[Double]:
    with doubles.running(provider.answer, "/v1") as double:
        yield double


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Double) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("cache") / "home"
    place = serving.provider("openai", upstream.url, api_key='"sk-upstream"')
    routes = "".join(ROUTE.format(name, name) for name in (*BAD, *UNFINISHED))
    with serving.serving(home, place + routes) as running:
        yield running


def ask(who: Asker, mode: str | None, model: str = "m", **fields: Any) -> Answer:
    headers = {} if mode is None else {"op-cache": mode}
    headers |= fields.pop("headers", {})
    body = {"model": model, "messages": HI, **fields}
    return call(who.server, "POST", CHAT, body, key=who.token, headers=headers)


def told(answer: Answer) -> str | None:
    """Return what the header says, of an answer that is one."""
    assert answer.status == 200, answer.body
    return answer.headers.get("standpipe-cache")


def content(answer: Answer) -> str:
    streamed = answer.body.startswith(b"data:")
    completion = fold.fold_stream(answer.body).completion if streamed else answer.json
    assert completion is not None
    return str(completion["choices"][0]["message"]["content"])


def rows_of(store: Store, project: Project, count: int) -> list[Row]:
    until(lambda: len(store.logs(project.id)) >= count)
    return sorted(store.logs(project.id), key=lambda row: row.id)


# --- modes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modes", "results"),
    [
        ([None, None], [None, None]),
        ([READ_ONLY, READ_ONLY], ["miss", "miss"]),
        ([WRITE_ONLY, WRITE_ONLY], ["miss", "miss"]),
        ([WRITE_ONLY, READ_ONLY], ["miss", "hit"]),
        ([READ_WRITE, READ_WRITE, READ_ONLY], ["miss", "hit", "hit"]),
        (["true", "READWRITE"], ["miss", "hit"]),
        ([READ_WRITE, "false"], ["miss", None]),
        ([READ_WRITE, "sometimes"], ["miss", None]),
        ([READ_WRITE, ""], ["miss", None]),
    ],
)
def test_mode_says_whether_the_cache_is_read_and_written(
    client: Asker, modes: list[str | None], results: list[str | None]
) -> None:
    answers = [ask(client, mode) for mode in modes]
    assert [told(answer) for answer in answers] == results
    assert (content(answers[0]) == content(answers[-1])) == (results[-1] == "hit")


def test_write_only_puts_a_newer_answer_in_the_earlier_one_s_place(client: Asker) -> None:
    first, second = ask(client, READ_WRITE), ask(client, WRITE_ONLY)
    assert content(first) != content(second)
    assert ask(client, READ_WRITE).body == second.body


# --- what is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": "Ho"}]},
        {"temperature": 0.5},
        {"n": 2},
        {"top_p": 0.5},
        {"stop": "x"},
        {"seed": 1},
        {"max_tokens": 9},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"x_unknown": 1},
        {"model": "openai:m"},
        {"model": "other"},
        {"headers": {"standpipe-fidelity": "best-effort"}},
        {"headers": {"standpipe-fallback": '["other"]'}},
    ],
)
def test_what_can_change_the_answer_is_another_question(client: Asker, fields: Json) -> None:
    ask(client, READ_WRITE)
    assert told(ask(client, READ_WRITE, **fields)) == "miss"
    assert told(ask(client, READ_WRITE, **fields)) == "hit"


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"a": "b"}},
        {"store": True},
        {"user": "somebody"},
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"headers": {"op-tags": '{"a":"b"}', "op-log-request": "false"}},
    ],
)
def test_what_cannot_change_it_is_the_same_question(client: Asker, fields: Json) -> None:
    said = content(ask(client, READ_WRITE))
    again = ask(client, READ_WRITE, **fields)
    assert (told(again), content(again)) == ("hit", said)


def test_order_of_names_does_not_matter(client: Asker) -> None:
    ask(client, READ_WRITE, top_p=0.5, temperature=0.5)
    fields = {"temperature": 0.5, "top_p": 0.5, "messages": [{"content": "Hi", "role": "user"}]}
    headers = {"op-cache": READ_WRITE}
    answer = call(
        client.server, "POST", CHAT, {**fields, "model": "m"}, key=client.token, headers=headers
    )
    assert told(answer) == "hit"


def test_another_project_has_answers_of_its_own(client: Asker, stranger: Asker) -> None:
    said = content(ask(client, READ_WRITE))
    theirs = ask(stranger, READ_WRITE)
    assert told(theirs) == "miss"
    assert content(theirs) != said


# --- what is given again --------------------------------------------------------------------------


def test_hit_is_the_same_answer_with_all_that_was_told_of_it(
    client: Asker, upstream: Double
) -> None:
    first = ask(client, READ_WRITE)
    asked = len(upstream.asked)
    again = ask(client, READ_WRITE)
    assert len(upstream.asked) == asked
    assert again.body == first.body
    assert again.headers["standpipe-model"] == first.headers["standpipe-model"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


def test_hit_is_a_record_that_costs_nothing(client: Asker, store: Store, project: Project) -> None:
    ask(client, READ_WRITE, model="openai:gpt-4o-mini", metadata={"a": "b"})
    ask(client, READ_WRITE, model="openai:gpt-4o-mini", metadata={"a": "c"})
    ask(client, READ_WRITE, model="openai:gpt-4o-mini", stream=True)
    made, again, streamed = rows_of(store, project, 3)
    assert [row.cache_hit for row in (made, again, streamed)] == [False, True, True]
    assert made.cost
    assert (again.cost, streamed.cost) == (Decimal(0), Decimal(0))
    assert made.usage == again.usage == streamed.usage
    assert (again.provider, again.provider_model) == (made.provider, made.provider_model)
    assert again.completion_id == made.completion_id
    assert (again.outcome, again.attempts, again.metadata) == ("complete", (), {"a": "c"})
    assert streamed.streamed
    assert json.loads(again.response or "") == json.loads(made.response or "")


@pytest.mark.parametrize("usage", [True, False])
def test_streamed_answer_serves_whole_calls_and_streams(client: Asker, usage: bool) -> None:
    options: Json = {"stream_options": {"include_usage": True}} if usage else {}
    streamed = ask(client, READ_WRITE, stream=True, **options)
    assert told(streamed) == "miss"
    whole = ask(client, READ_WRITE)
    assert told(whole) == "hit"
    assert whole.json["object"] == "chat.completion"
    assert whole.json["usage"]["total_tokens"] == 9
    again = ask(client, READ_WRITE, stream=True, stream_options={"include_usage": True})
    assert told(again) == "hit"
    assert again.headers["content-type"].startswith("text/event-stream")
    assert again.body.endswith(b"data: [DONE]\n\n")
    assert fold.fold_stream(again.body).completion == whole.json
    assert content(streamed) == content(whole)


def test_judged_answers_are_judged_anew(client: Asker, store: Store, project: Project) -> None:
    client.post("/criteria", {"id": "short", "kind": "length", "max": 500})
    said = content(ask(client, READ_WRITE, n=2))
    for stream in (False, True):
        sent = {"op-criteria": '["short"]'}
        judged = ask(client, READ_WRITE, n=2, stream=stream, headers=sent)
        assert (told(judged), content(judged)) == ("hit", said)
        assert b"criteria_results" in judged.body
    assert b"criteria_results" not in ask(client, READ_WRITE, n=2).body
    assert [row.cache_hit for row in rows_of(store, project, 4)] == [False, True, True, True]


def test_messages_of_anthropic_s_clients_are_cached_too(client: Asker) -> None:
    body = {"model": "m", "messages": HI, "max_tokens": 9}
    answers = [
        call(client.server, "POST", "/messages", body, key=client.token, headers=headers)
        for headers in ({"op-cache": READ_WRITE}, {"op-cache": READ_WRITE})
    ]
    assert [told(answer) for answer in answers] == ["miss", "hit"]
    assert answers[0].json["content"] == answers[1].json["content"]
    headers = {"op-cache": READ_WRITE}
    streamed = call(
        client.server,
        "POST",
        "/messages",
        {**body, "stream": True},
        key=client.token,
        headers=headers,
    )
    assert told(streamed) == "hit"
    assert streamed.body.startswith(b"event: message_start")
    assert b"event: message_stop" in streamed.body


def test_answer_is_there_for_the_next_worker(
    client: Asker, store: Store, tmp_path_factory: pytest.TempPathFactory, upstream: Double
) -> None:
    said = content(ask(client, READ_WRITE, temperature=0.25))
    url = f"sqlite:///{client.server.home / 'standpipe.db'}"
    place = serving.provider("openai", upstream.url, api_key='"sk-upstream"')
    home = tmp_path_factory.mktemp("another")
    with serving.serving(home, place, STORE_URL=url) as another:
        asker = Asker(another, client.token)
        until(lambda: told(ask(asker, READ_ONLY, temperature=0.25)) == "hit")
        assert content(ask(asker, READ_ONLY, temperature=0.25)) == said


# --- what is not kept -----------------------------------------------------------------------------


@pytest.mark.parametrize("model", [*BAD, *UNFINISHED])
def test_errors_and_answers_without_an_end_are_not_kept(
    client: Asker, upstream: Double, model: str
) -> None:
    asked = len(upstream.asked)
    for _ in range(2):
        ask(client, READ_WRITE, model=model, stream=model == "cut")
    assert len(upstream.asked) == asked + 2


def test_answer_that_repeats_the_caller_s_key_is_not_kept(client: Asker) -> None:
    messages = [{"role": "user", "content": f"say {client.token}"}]
    results = [
        told(ask(client, READ_WRITE, model="tells", messages=messages, stream=stream))
        for stream in (False, False, True, True)
    ]
    assert results == ["miss"] * 4


@pytest.mark.parametrize("kept", ["none", "redacted"])
def test_what_is_not_kept_whole_is_not_cached_and_the_caller_is_told(
    client: Asker, store: Store, kept: Any
) -> None:
    store.change_key(client.key, {"content": kept})
    fresh = Asker(client.server, client.token)
    until(lambda: "cache=dropped" in ask(fresh, READ_WRITE).headers.get("standpipe-fidelity", ""))
    answers = [ask(fresh, READ_WRITE) for _ in range(2)]
    assert [told(answer) for answer in answers] == [None, None]
    assert content(answers[0]) != content(answers[1])


def test_read_only_key_is_refused_as_without_a_cache(reader: Asker, client: Asker) -> None:
    ask(client, READ_WRITE)
    assert ask(reader, READ_WRITE).status == 403


@pytest.mark.parametrize("path", ["/embeddings", "/completions", "/responses"])
def test_other_routes_refuse_what_they_cannot_do(client: Asker, path: str) -> None:
    body = {"model": "m", "input": "Hi", "prompt": "Hi"}
    answer = call(
        client.server, "POST", path, body, key=client.token, headers={"op-cache": READ_ONLY}
    )
    assert answer.status == 400
    assert "op-cache: 'readOnly': only chat completions are cached" in answer.json["message"]


# --- at the same time -----------------------------------------------------------------------------


def test_identical_calls_at_the_same_time_reach_the_provider_once(
    client: Asker, provider: Provider, upstream: Double
) -> None:
    provider.may_answer.clear()
    before = len(upstream.asked)
    with ThreadPoolExecutor(12) as threads:
        asked = [
            threads.submit(ask, client, READ_WRITE, HELD, stream=n % 3 == 1) for n in range(12)
        ]
        until(lambda: _requests(client) >= 12)
        provider.may_answer.set()
        answers = [each.result() for each in asked]
    assert len(upstream.asked) == before + 1
    assert sorted(str(told(answer)) for answer in answers) == ["hit"] * 11 + ["miss"]
    assert len({content(answer) for answer in answers}) == 1


def test_calls_that_wait_for_one_whose_client_leaves_are_answered_all_the_same(
    client: Asker, provider: Provider, upstream: Double
) -> None:
    provider.may_answer.clear()
    before = len(upstream.asked)
    body = json.dumps({"model": HELD, "messages": HI}).encode()
    with (
        contextlib.closing(_asked(client, body)) as first,
        ThreadPoolExecutor(3) as threads,
    ):
        until(lambda: len(upstream.asked) == before + 1)
        waiting = [threads.submit(ask, client, READ_WRITE, HELD) for _ in range(3)]
        until(lambda: _requests(client) >= 4)
        first.close()
        until(lambda: len(upstream.asked) == before + 2)
        provider.may_answer.set()
        answers = [each.result() for each in waiting]
    assert len(upstream.asked) == before + 2
    assert sorted(str(told(answer)) for answer in answers) == ["hit", "hit", "miss"]


def _asked(who: Asker, body: bytes) -> socket.socket:
    """Return a connection on which a call has been made."""
    connection = socket.create_connection(("127.0.0.1", who.server.port), timeout=serving.PATIENCE)
    head = (
        f"POST /api/v1{CHAT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {who.token}\r\n"
        f"op-cache: {READ_WRITE}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def _requests(who: Asker) -> int:
    """Return how many requests are being answered, beside the one that asks."""
    health = call(who.server, "GET", "/metrics", root=True, key=who.token).body.decode()
    counts = [
        float(line.rpartition(" ")[2])
        for line in health.splitlines()
        if line.startswith("standpipe_requests{")
    ]
    return int(sum(counts)) - 1


def test_calls_that_wait_for_one_that_fails_have_their_own_made(
    client: Asker, upstream: Double
) -> None:
    before = len(upstream.asked)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(ask, client, READ_WRITE, "broken") for _ in range(4)]
        assert {each.result().status for each in asked} == {500}
    assert len(upstream.asked) == before + 4


# --- what is told of it ---------------------------------------------------------------------------


def test_metrics_tell_of_hits_misses_and_bytes(client: Asker) -> None:
    for _ in range(3):
        ask(client, READ_WRITE, temperature=0.125)

    def counted(name: str) -> float:
        text = call(client.server, "GET", "/metrics", root=True, key=client.token).body.decode()
        found = [line for line in text.splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    assert counted('standpipe_cache_looks_total{worker="worker-0"') >= 3
    until(lambda: counted("standpipe_cache_written_bytes_total{") > 0)
    assert counted("standpipe_cache_memory_bytes{") > 0
