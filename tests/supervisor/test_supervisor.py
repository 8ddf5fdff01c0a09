"""The process tree, with real processes, signals and sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = str(Path(__file__).with_name("supervised.py"))
DEADLINE = 30.0


class Tree:
    """A running supervisor and what its children wrote down."""

    def __init__(self, process: subprocess.Popen[str], notes: Path) -> None:
        self.process = process
        self.notes_path = notes

    def ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def notes(self) -> list[str]:
        return self.notes_path.read_text().splitlines() if self.notes_path.exists() else []

    def wait_for(self, condition: Callable[[list[str]], bool]) -> list[str]:
        give_up = time.monotonic() + DEADLINE
        while not condition(notes := self.notes()):
            assert time.monotonic() < give_up, notes
            time.sleep(0.01)
        return notes

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    def wait_for_error(self, text: str) -> None:
        assert self.process.stderr is not None
        assert any(text in line for line in self.process.stderr), text

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()


@contextmanager
def tree(tmp_path: Path, *children: dict[str, Any], **plan: Any) -> Iterator[Tree]:
    notes = tmp_path / "notes"
    for child in children:
        child["spec"] = child.get("spec", {}) | {"notes": str(notes)}
    process = subprocess.Popen(
        [sys.executable, PROGRAM, json.dumps({"children": children} | plan)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=plan.get("inherit", ()),
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        try:
            yield Tree(process, notes)
        finally:
            process.kill()


def starts(name: str, notes: list[str]) -> list[int]:
    return [int(note.split()[2]) for note in notes if note.startswith(f"{name} started")]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_ready_lines_reach_the_caller_by_name(tmp_path: Path) -> None:
    with tree(tmp_path, {"name": "worker"}, {"name": "drain"}) as running:
        ready = running.ready()
        assert ready["worker"] == {"ready": True, "pid": starts("worker", running.notes())[0]}
        assert set(ready) == {"worker", "drain"}
        assert running.end(signal.SIGTERM) == 0


def test_killed_child_is_started_again(tmp_path: Path) -> None:
    with tree(tmp_path, {"name": "worker"}, {"name": "drain"}) as running:
        first = running.ready()["worker"]["pid"]
        os.kill(first, signal.SIGKILL)
        notes = running.wait_for(lambda notes: len(starts("worker", notes)) == 2)
        assert starts("worker", notes)[1] != first
        assert len(starts("drain", notes)) == 1
        assert running.end(signal.SIGTERM) == 0
        assert "worker was ended by signal 9" in running.errors()


def test_work_that_could_not_be_finished_shows_in_the_exit_status(tmp_path: Path) -> None:
    worker = {"name": "worker", "spec": {"status": 1}}
    drain = {"name": "drain", "stop_order": 2, "finishes": True, "spec": {"status": 1}}
    with tree(tmp_path, worker, drain) as running:
        running.ready()
        assert running.end(signal.SIGTERM) == 1
    with tree(tmp_path, worker) as running:
        running.ready()
        assert running.end(signal.SIGTERM) == 0


def test_children_stop_group_by_group_with_the_drain_last(tmp_path: Path) -> None:
    children: list[dict[str, Any]] = [
        {"name": "drain", "stop_order": 2},
        {"name": "engine", "stop_order": 1, "essential": False},
        {"name": "worker-0", "spec": {"linger": 0.3}},
        {"name": "worker-1"},
    ]
    with tree(tmp_path, *children) as running:
        running.ready()
        running.wait_for(lambda notes: len(notes) == 4)
        assert running.end(signal.SIGTERM) == 0
        notes = [note for note in running.notes() if "started" not in note]
    assert set(notes[:4]) == {
        "worker-0 asked",
        "worker-1 asked",
        "worker-1 ended",
        "worker-0 ended",
    }
    assert notes[4:] == ["engine asked", "engine ended", "drain asked", "drain ended"]


def test_interrupt_of_the_whole_terminal_is_decided_by_the_supervisor(tmp_path: Path) -> None:
    children: list[dict[str, Any]] = [{"name": "worker"}, {"name": "drain", "stop_order": 2}]
    with tree(tmp_path, *children) as running:
        running.ready()
        running.wait_for(lambda notes: len(notes) == 2)
        os.killpg(running.process.pid, signal.SIGINT)  # what a terminal does at Ctrl-C
        assert running.process.wait(DEADLINE) == 0
        notes = running.notes()
        assert notes[2:] == ["worker asked", "worker ended", "drain asked", "drain ended"]
        assert "on_stop" in running.errors()


def test_second_interrupt_ends_all_at_once(tmp_path: Path) -> None:
    children: list[dict[str, Any]] = [
        {"name": "worker", "spec": {"stubborn": True}, "grace": 600.0},
        {"name": "drain", "stop_order": 2},
    ]
    with tree(tmp_path, *children) as running:
        pids = [report["pid"] for report in running.ready().values()]
        running.process.send_signal(signal.SIGINT)
        running.wait_for(lambda notes: "worker asked" in notes)
        assert running.end(signal.SIGINT) == 130
        assert not any(is_alive(pid) for pid in pids)
        assert "drain ended" not in running.notes()


def test_child_that_outlives_its_grace_is_killed(tmp_path: Path) -> None:
    children: list[dict[str, Any]] = [
        {"name": "worker", "spec": {"stubborn": True}, "grace": 0.1},
        {"name": "drain", "stop_order": 2},
    ]
    with tree(tmp_path, *children) as running:
        running.ready()
        assert running.end(signal.SIGTERM) == 0
        assert running.notes()[-2:] == ["drain asked", "drain ended"]
        assert "worker did not end in time and is killed" in running.errors()


def test_children_leave_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with tree(tmp_path, {"name": "worker"}, {"name": "drain"}) as running:
        pids = [report["pid"] for report in running.ready().values()]
        running.process.kill()
        running.wait_for(lambda notes: {"worker orphaned", "drain orphaned"} <= set(notes))
        running.wait_for(lambda _: not any(is_alive(pid) for pid in pids))


def test_essential_child_that_refuses_stops_the_start(tmp_path: Path) -> None:
    children: list[dict[str, Any]] = [
        {"name": "worker", "spec": {"refuse": "no such model file"}},
        {"name": "drain", "stop_order": 2},
    ]
    with tree(tmp_path, *children) as running:
        assert running.process.wait(DEADLINE) == 1
        assert "worker cannot start: no such model file" in running.errors()
        assert len(starts("worker", running.notes())) == 1


def test_essential_child_that_is_never_ready_stops_the_start(tmp_path: Path) -> None:
    mute = {"name": "worker", "spec": {"mute": True}, "ready_timeout": 0.5}
    with tree(tmp_path, mute) as running:
        assert running.process.wait(DEADLINE) == 1
        assert "worker was not ready in time" in running.errors()


def test_essential_child_that_keeps_crashing_stops_the_start(tmp_path: Path) -> None:
    crashing = {"name": "worker", "spec": {"crash": True}, "ready_timeout": 1.0}
    with tree(tmp_path, crashing) as running:
        assert running.process.wait(DEADLINE) == 1
        assert "worker ended with status 3" in running.errors()
        assert len(starts("worker", running.notes())) > 1


def test_program_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    with tree(tmp_path, {"name": "worker", "argv": ["/no/such/program"]}) as running:
        assert running.process.wait(DEADLINE) == 1
        assert "worker cannot start" in running.errors()


def test_server_runs_without_a_child_that_is_not_essential(tmp_path: Path) -> None:
    engine = {"name": "engine", "essential": False, "spec": {"refuse": "no weights"}}
    with tree(tmp_path, {"name": "worker"}, engine, longest=600.0) as running:
        running.ready()
        # A refusal is not tried again soon: the wait is the longest from the first.
        running.wait_for_error("engine ended with status 1; next start in 600 s")
        assert running.end(signal.SIGTERM) == 0


@pytest.mark.parametrize(("status", "again"), [(0, False), (1, True)])
def test_child_that_has_done_its_work_is_not_started_again(
    tmp_path: Path, status: int, again: bool
) -> None:
    child = {"name": "once", "once": True, "essential": False}
    child["spec"] = {"done": True, "status": status}
    with tree(tmp_path, child, {"name": "worker"}, {"name": "drain"}) as running:
        os.kill(running.ready()["worker"]["pid"], signal.SIGKILL)
        notes = running.wait_for(lambda notes: len(starts("worker", notes)) == 2)
        if again:
            notes = running.wait_for(lambda notes: len(starts("once", notes)) > 1)
        assert (len(starts("once", notes)) > 1) == again
        assert running.end(signal.SIGTERM) == 0


def test_crashed_child_waits_longer_each_time(tmp_path: Path) -> None:
    engine = {"name": "engine", "essential": False, "spec": {"crash": True}}
    with tree(tmp_path, {"name": "worker"}, engine) as running:
        running.ready()
        running.wait_for(lambda notes: len(starts("engine", notes)) == 4)
        assert running.end(signal.SIGTERM) == 0
        errors = running.errors()
    waits = ["0.05", "0.1", "0.2", "0.2"]
    found = [line.split()[-2] for line in errors.splitlines() if "next start" in line]
    assert found[:3] == waits[:3]


def test_no_connection_is_refused_while_a_worker_is_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd = listening.fileno()
        worker = {"name": "worker", "spec": {"listen": fd}, "pass_fds": [fd]}
        with tree(tmp_path, worker, inherit=[fd]) as running:
            first = running.ready()["worker"]["pid"]
            assert greeting(listening) == first
            os.kill(first, signal.SIGKILL)
            assert greeting(listening) != first
            assert running.end(signal.SIGTERM) == 0


def greeting(listening: socket.socket) -> int:
    while True:
        with socket.create_connection(listening.getsockname(), timeout=DEADLINE) as client:
            # A worker that is killed with our connection in its hands says nothing.
            if said := client.recv(64):
                return int(said)


def test_hang_up_of_the_terminal_stops_in_order_too(tmp_path: Path) -> None:
    with tree(tmp_path, {"name": "worker"}) as running:
        running.ready()
        assert running.end(signal.SIGHUP) == 0
        assert running.notes()[-1] == "worker ended"
