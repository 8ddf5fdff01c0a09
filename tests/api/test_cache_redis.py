"""`op-cache` with the answers in Redis: two nodes share them, and none needs it to answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import doubles
import pytest
import redis_server
import serving
from asking import CHAT, until
from doubles import Asked, Double, Said
from serving import KEY, Answer, Standpipe, call

from standpipe.calls.cache.redis_shelf import forget_others
from standpipe.config import Retention
from standpipe.drain import housekeeping
from standpipe.drain.housekeeping import Housekeeping
from standpipe.store import Store, new_token

READ_WRITE, READ_ONLY = "readWrite", "readOnly"


def answer(asked: Asked) -> Said:
    return doubles.as_openai(doubles.completion(str(uuid4())), asked.body)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Double]:
    with doubles.running(answer, "/v1") as double:
        yield double


@pytest.fixture(scope="module")
def redis() -> Iterator[redis_server.Server]:
    with redis_server.running() as server:
        yield server


@pytest.fixture(scope="module")
def nodes(
    tmp_path_factory: pytest.TempPathFactory, upstream: Double, redis: redis_server.Server
) -> Iterator[tuple[Standpipe, Standpipe]]:
    """Run two nodes of one database whose workers remember nothing."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    place = serving.provider("openai", upstream.url, api_key='"sk-upstream"')
    shared = {"CACHE_REDIS": redis.url, "CACHE_MEMORY_BYTES": "0"}
    shared["STORE_URL"] = f"sqlite:///{first / 'standpipe.db'}"
    with (
        serving.serving(first, place, **shared) as one,
        serving.serving(second, place, **shared) as other,
    ):
        yield one, other


def ask(node: Standpipe, mode: str, said: str, token: str = KEY, **fields: Any) -> Answer:
    messages = [{"role": "user", "content": said}]
    body = {"model": "openai:m", "messages": messages, **fields}
    return call(node, "POST", CHAT, body, key=token, headers={"op-cache": mode})


def told(answer: Answer) -> str | None:
    assert answer.status == 200, answer.body
    return answer.headers.get("standpipe-cache")


def test_answer_of_one_node_serves_the_other(nodes: tuple[Standpipe, Standpipe]) -> None:
    one, other = nodes
    said = str(uuid4())

    def is_shared() -> bool:
        made, again = ask(one, READ_WRITE, said), ask(other, READ_ONLY, said)
        return told(again) == "hit" and again.body == made.body

    assert told(ask(other, READ_ONLY, said)) == "miss"
    until(is_shared)
    until(lambda: told(ask(other, READ_ONLY, said, stream=True)) == "hit")


def test_calls_are_misses_while_redis_is_away_and_hits_when_it_is_back(
    nodes: tuple[Standpipe, Standpipe], redis: redis_server.Server
) -> None:
    one, other = nodes
    redis.stop()
    try:
        for node in nodes:
            assert told(ask(node, READ_WRITE, str(uuid4()))) == "miss"
    finally:
        redis.start()
    said = str(uuid4())
    # A connection from before may take some of the first writes with it.
    until(lambda: [told(ask(one, READ_WRITE, said)), told(ask(other, READ_ONLY, said))][1] == "hit")
    log = one.log.read_text()
    assert "what keeps the answers is away" in log
    assert redis_server.PASSWORD not in log


def test_redis_that_hangs_holds_up_no_call_for_long(
    nodes: tuple[Standpipe, Standpipe], redis: redis_server.Server
) -> None:
    one, _ = nodes
    redis.pause()
    try:
        assert [told(ask(one, READ_WRITE, str(uuid4()))) for _ in range(3)] == ["miss"] * 3
    finally:
        redis.go_on()
    said = str(uuid4())
    until(lambda: told(ask(one, READ_WRITE, said)) == "hit")


def test_answers_leave_redis_with_their_project(
    nodes: tuple[Standpipe, Standpipe],
    redis: redis_server.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, _ = nodes
    monkeypatch.setattr(housekeeping, "EVERY_S", 0.0)
    monkeypatch.setattr(housekeeping, "PIECE_S", 1e9)
    with closing(Store.open(f"sqlite:///{one.home / 'standpipe.db'}")) as store:
        project = store.add_project("leaves")
        token = new_token()[1]
        store.add_key(project.id, name="test", read_only=False, token=token)
        assert told(ask(one, READ_WRITE, "Hi", token)) == "miss"
        until(lambda: bool(_names(redis, project.id)))
        assert store.end_project(project.id)
        keeper = Housekeeping(store, Retention(), forget=lambda ids: forget_others(redis.url, ids))

        def is_gone() -> bool:
            keeper.step()
            return not _names(redis, project.id)

        until(is_gone)


def _names(redis: redis_server.Server, project: str) -> list[Any]:
    with redis.client() as client:
        return list(client.scan_iter(f"*{project}*"))
