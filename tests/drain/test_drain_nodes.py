"""Several nodes, each with a spool and drains of its own, and one PostgreSQL for all."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import postgres
import pytest
from spooling import start_python

from standpipe.spool import Spool, names, new_boot
from standpipe.store import Store
from standpipe.wire.ids import new_id
from standpipe.wire.record import Begin, Record, encode

NewDatabase = Callable[..., str]

DRAIN = "import sys; from standpipe.drain.__main__ import main; sys.exit(main())"

#: The system prompt of every call, so that all drains want to keep the same contents.
REQUEST = json.dumps(
    {"model": "m", "messages": [{"role": "system", "content": "Be brief." * 50}]}
).encode()


@pytest.fixture
def url(new_postgres: NewDatabase) -> str:
    return new_postgres()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(Store.open(url)) as opened:
        yield opened


class Node:
    """A worker that writes in this process, and two drains of which one waits for the other."""

    def __init__(self, home: Path, url: str, project: str) -> None:
        self.home = home
        self._url = url
        self._project = project
        self._spool = Spool(home, boot=new_boot(), worker=0, segment_bytes=1 << 17)
        self.drains = [self._drain(), self._drain()]
        #: Ids of calls that were answered, and of streams that were begun and never ended.
        self.answered: list[str] = []
        self.begun: list[str] = []

    def write(self, count: int) -> None:
        for n in range(count):
            call = new_id()
            if n % 50 == 0:
                self._spool.append(
                    encode(Begin(id=call, project=self._project, key="k", requested_at=1))
                )
                self.begun.append(call)
            else:
                self._spool.append(self._record(call))
                self.answered.append(call)

    def kill_a_drain(self, number: int) -> None:
        _end(self.drains[number], signal.SIGKILL)
        self.drains[number] = self._drain()

    def close(self) -> list[int]:
        """End the worker, and then the drains; return how these ended."""
        self._spool.close()
        return [_end(drain, signal.SIGTERM) for drain in self.drains]

    def _record(self, call: str) -> bytes:
        return encode(
            Record(
                id=call,
                kind="chat",
                project=self._project,
                key="k",
                requested_at=time.time_ns() // 1000,
                received_at=time.time_ns() // 1000,
                outcome="complete",
                status=200,
                logged=True,
                model="m",
                metadata={"call": call},
                request=REQUEST,
                response=b'{"usage":{"prompt_tokens":3,"completion_tokens":1}}',
            )
        )

    def _drain(self) -> subprocess.Popen[str]:
        drain = start_python(DRAIN, stdin=subprocess.PIPE)
        assert drain.stdin is not None
        assert drain.stdout is not None
        drain.stdin.write(json.dumps({"store_url": self._url, "spool": str(self.home)}) + "\n")
        drain.stdin.flush()
        assert json.loads(drain.stdout.readline()) == {"ready": True}
        return drain


def _end(drain: subprocess.Popen[str], number: int) -> int:
    drain.send_signal(number)
    code = drain.wait(timeout=60)
    for pipe in (drain.stdin, drain.stdout):
        assert pipe is not None
        pipe.close()
    return code


def test_nodes_drain_into_one_database_while_drains_are_killed(
    tmp_path: Path, url: str, store: Store
) -> None:
    project = store.add_project("ours").id
    nodes = [Node(tmp_path / f"spool{n}", url, project) for n in range(2)]
    moments = random.Random(4)
    for _ in range(3):
        for node in nodes:
            node.write(400)
        time.sleep(moments.random() * 0.3)
        nodes[moments.randrange(2)].kill_a_drain(moments.randrange(2))
    assert [node.close() for node in nodes] == [[0, 0], [0, 0]]

    rows = list(store.each_log(project))
    outcomes = {row.id: row.outcome for row in rows}
    answered = {call for node in nodes for call in node.answered}
    begun = {call for node in nodes for call in node.begun}
    assert len(rows) == len(outcomes) == len(answered) + len(begun) == 2400
    assert {call for call, outcome in outcomes.items() if outcome == "complete"} == answered
    assert {call for call, outcome in outcomes.items() if outcome == "lost"} == begun
    assert all(row.request == REQUEST.decode() for row in rows if row.id in answered)
    assert [names.listed(node.home, names.SEGMENT) for node in nodes] == [[], []]
    assert (store.positions(), store.open_streams(None)) == ({}, [])


def test_what_is_changed_and_deleted_meanwhile_stays_so(
    tmp_path: Path, url: str, store: Store
) -> None:
    project = store.add_project("ours").id
    nodes = [Node(tmp_path / f"spool{n}", url, project) for n in range(2)]
    writers = [threading.Thread(target=node.write, args=(400,)) for node in nodes]
    for writer in writers:
        writer.start()
    deleted: set[str] = set()
    while any(writer.is_alive() for writer in writers) or len(deleted) < 10:
        for row in store.logs(project, limit=2):
            if store.delete_record(project, row.id):
                deleted.add(row.id)
        store.update_metadata(project, [], {"seen": "yes"})
    assert [node.close() for node in nodes] == [[0, 0], [0, 0]]
    assert store.update_metadata(project, [], {"seen": "yes"}) > 0

    kept = {row.id: row for row in store.each_log(project)}
    written = {call for node in nodes for call in (*node.answered, *node.begun)}
    assert kept.keys() == written - deleted
    assert {row.metadata.get("seen") for row in kept.values() if row.logged} == {"yes"}


@pytest.fixture
def own_server() -> Iterator[postgres.Server]:
    with postgres.running() as server:
        yield server


def test_database_that_is_killed_and_comes_back_has_everything_once(
    tmp_path: Path, own_server: postgres.Server
) -> None:
    url = own_server.create("standpipe")
    with closing(Store.open(url)) as store:
        store.migrate()
        project = store.add_project("ours").id
        node = Node(tmp_path / "spool", url, project)
        for _ in range(2):
            node.write(300)
            own_server.kill()
            node.write(300)
            own_server.start()
        assert node.close() == [0, 0]
        found = [row.id for row in store.each_log(project)]
    assert sorted(found) == sorted((*node.answered, *node.begun))
