"""A real server whose disk is full, or slow to be sure, or gone: told, survived and got over."""

from __future__ import annotations

import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import serving
from asking import CHAT, HI, Asker, until
from misbehaving import Misbehaving
from serving import Answer, Standpipe

from standpipe.store import Store
from standpipe.store.rows import Row

#: No file may be larger, so that a segment, which would be, cannot be preallocated.
LIMIT = 4 << 20
SEGMENT = str(8 << 20)


@contextmanager
def full(home: Path, upstream: Misbehaving, when_full: str) -> Iterator[Asker]:
    """Run a server that starts on a full disk."""
    configuration = serving.provider("up", upstream.url)
    settings = {"SPOOL_WHEN_FULL": when_full, "SPOOL_SEGMENT_BYTES": SEGMENT}
    within = ("prlimit", f"--fsize={LIMIT}:unlimited", "--")
    server = serving.start(home, configuration, within=within, **settings)
    try:
        server.wait()
        yield Asker(server, serving.KEY)
    finally:
        server.stop()
        serving.kill_tree(server.process.pid)


def make_room(server: Standpipe) -> None:
    worker = server.child("standpipe.worker")
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, unlimited)


def ask(client: Asker, **fields: Any) -> Answer:
    return client.ask("POST", CHAT, {"model": "up:ok", "messages": HI, **fields})


def health(client: Asker) -> Any:
    return serving.call(client.server, "GET", "/health", root=True).json


def rows(home: Path) -> dict[str, Row]:
    store = Store.open(f"sqlite:///{home / 'standpipe.db'}")
    try:
        return {row.id: row for row in store.each_log(None)}
    finally:
        store.close()


def has_recovered(client: Asker) -> bool:
    return bool(health(client)["spool"] == "ok")


def test_full_disk_refuses_only_calls_that_must_be_logged(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    with full(tmp_path, upstream, "refuse") as client:
        asked = len(upstream.requests)
        refused = ask(client)
        assert (refused.status, refused.json["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert "retry-after" in {name.lower() for name in refused.headers}
        assert len(upstream.requests) == asked
        reported = client.ask("POST", "/report", {"reqPayload": {}, "respPayload": {}})
        assert reported.status == 503
        assert ask(client, store=False).status == 200
        assert client.ask("GET", CHAT).status == 200
        state = health(client)
        assert (state["status"], state["spool"]) == ("degraded", "full")
        assert (state["records"]["refused"], state["records"]["lost"]) == (2, 1)

        make_room(client.server)
        until(lambda: has_recovered(client))
        answered = ask(client)
        assert answered.status == 200
        until(lambda: answered.headers["x-request-id"] in rows(tmp_path))
        assert health(client)["status"] == "ok"
    log = client.server.log.read_text()
    assert log.count("the spool has no room:") == 1
    assert "the spool has room again" in log


def test_full_disk_lets_calls_go_on_and_counts_them_where_that_is_wanted(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    with full(tmp_path, upstream, "count") as client:
        lost = [ask(client) for _ in range(3)]
        assert [answer.status for answer in lost] == [200] * 3
        assert client.ask("POST", "/report", {"reqPayload": {}}).status == 200
        state = health(client)
        assert (state["status"], state["spool"]) == ("degraded", "full")
        assert (state["records"]["refused"], state["records"]["lost"]) == (0, 4)
        make_room(client.server)
        until(lambda: has_recovered(client))
        kept = ask(client)
        until(lambda: rows(tmp_path).keys() == {kept.headers["x-request-id"]})
    log = client.server.log.read_text()
    assert all(answer.headers["x-request-id"] in log for answer in lost)


def test_spool_that_somebody_removed_is_made_again(tmp_path: Path, upstream: Misbehaving) -> None:
    with serving.serving(tmp_path, serving.provider("up", upstream.url)) as server:
        client = Asker(server, serving.KEY)
        assert ask(client).status == 200
        shutil.rmtree(tmp_path / "spool")

        def is_noticed() -> bool:
            ask(client)
            return "removed or moved away" in server.log.read_text()

        until(is_noticed)
        kept = ask(client)
        assert kept.status == 200
        until(lambda: kept.headers["x-request-id"] in rows(tmp_path))


def test_answers_whose_record_is_on_the_disk_survive_a_kill(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    settings = {"SPOOL_DURABILITY": "disk"}
    with serving.serving(tmp_path, serving.provider("up", upstream.url), **settings) as server:
        client = Asker(server, serving.KEY)
        server.child("standpipe.drain").send_signal(signal.SIGSTOP)
        answers = [ask(client, stream=bool(number % 2)) for number in range(6)]
        answers.append(client.ask("POST", "/embeddings", {"model": "up:ok", "input": "Hi"}))
        assert [answer.status for answer in answers] == [200] * 7
        assert client.ask("POST", "/report", {"reqPayload": {}}).status == 200
        assert health(client)["records"]["unsynced"] == 0
        server.child("standpipe.worker").kill()
        server.child("standpipe.drain").send_signal(signal.SIGCONT)
        ids = {answer.headers["x-request-id"] for answer in answers}
        until(lambda: len(rows(tmp_path)) == 8)
        assert ids < rows(tmp_path).keys()
        assert {row.outcome for row in rows(tmp_path).values()} == {"complete"}
