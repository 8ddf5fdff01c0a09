"""The process tree, with real processes, signals and sockets."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
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
    tmp_path.mkdir(exist_ok=True)
    notes = tmp_path / "notes"
    terminal = plan.pop("terminal", None)
    reloads = [child for each in plan.get("reloads", []) for child in each or []]
    for child in [*children, *reloads]:
        child["spec"] = child.get("spec", {}) | {"notes": str(notes)}
    process = subprocess.Popen(
        [sys.executable, PROGRAM, json.dumps({"children": children} | plan)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=plan.get("inherit", ()) if terminal is None else (terminal,),
        preexec_fn=None if terminal is None else lambda: _take_terminal(terminal),  # noqa: PLW1509  # no threads here
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        try:
            yield Tree(process, notes)
        finally:
            process.kill()


def _take_terminal(terminal: int) -> None:
    """Let it be the terminal of this process, a session's first."""
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    os.close(terminal)


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


def test_terminal_that_is_closed_stops_in_order_too(tmp_path: Path) -> None:
    terminal, its_side = pty.openpty()
    with tree(tmp_path, {"name": "worker"}, terminal=its_side) as running:
        running.ready()
        os.close(its_side)
        os.close(terminal)
        assert running.process.wait(DEADLINE) == 0
        assert running.notes()[-1] == "worker ended"


def test_under_nohup_a_closed_terminal_is_nothing_and_a_signal_reloads(tmp_path: Path) -> None:
    terminal, its_side = pty.openpty()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with tree(tmp_path, worker(), terminal=its_side, reloads=[[worker()]] * 99) as running:
            first = running.ready()["worker"]["pid"]
            os.close(its_side)
            os.close(terminal)
            while terminal_of(running.process.pid):
                time.sleep(0.01)
            time.sleep(0.1)  # to let it do what it should not
            assert starts("worker", running.notes()) == [first]
            while len(starts("worker", running.notes())) == 1:
                # Again, since two signals at once are one.
                running.process.send_signal(signal.SIGHUP)
                time.sleep(0.2)
            running.wait_for_error("reloaded, whole: True")
            assert running.end(signal.SIGTERM) == 0
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def terminal_of(pid: int) -> int:
    """Return the device number of a process's terminal, 0 for none."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4])


def worker(name: str = "worker", **spec: Any) -> dict[str, Any]:
    return {"name": name, "overlaps": True, "spec": spec}


def test_reload_replaces_one_after_the_other_each_once_its_replacement_is_ready(
    tmp_path: Path,
) -> None:
    both = [worker("worker-0"), worker("worker-1")]
    drain = {"name": "drain", "stop_order": 2}
    with tree(tmp_path, *both, drain, reloads=[[*both, drain]]) as running:
        ready = running.ready()
        running.wait_for(lambda notes: len(notes) == 3)
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_error("reloaded, whole: True")
        notes = running.wait_for(lambda notes: "worker-1 ended" in notes)[3:]
        assert [note.rsplit(" ", 1)[0] for note in notes if "started" in note] == [
            "worker-0 started",
            "worker-1 started",
        ]
        told = notes.index("worker-0 told to leave")
        assert notes[0].startswith("worker-0 started")
        assert told < next(n for n, note in enumerate(notes) if "worker-1 started" in note)
        assert "asked" not in " ".join(notes)
        assert starts("drain", running.notes()) == [ready["drain"]["pid"]]
        assert running.end(signal.SIGTERM) == 0


def test_replacement_that_cannot_start_leaves_all_as_it_is(tmp_path: Path) -> None:
    both = [worker("worker-0"), worker("worker-1")]
    drain = {"name": "drain", "stop_order": 2}
    wanted = [worker("worker-0", refuse="no such file"), both[1], {**drain, "grace": 1.0}]
    with tree(tmp_path, *both, drain, reloads=[wanted, [*both, drain]]) as running:
        first = [report["pid"] for report in running.ready().values()]
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_error("worker-0 cannot start: no such file")
        running.wait_for_error("the new worker-0 was not ready")
        running.wait_for_error("reloaded, whole: False")
        assert all(is_alive(pid) for pid in first)
        assert not any("told" in note or "asked" in note for note in running.notes())
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_error("reloaded, whole: True")
        assert running.end(signal.SIGTERM) == 0


def test_reload_that_is_not_wanted_changes_nothing(tmp_path: Path) -> None:
    # Signals that come together may count as one, so they are sent until the second is seen.
    with tree(tmp_path, worker(), reloads=[None, [worker()], *[None] * 5000]) as running:

        def reloaded(notes: list[str]) -> bool:
            running.process.send_signal(signal.SIGHUP)
            return len(starts("worker", notes)) == 2

        running.ready()
        running.wait_for(reloaded)
        running.wait_for_error("reloaded, whole: True")
        assert len(starts("worker", running.notes())) == 2
        assert running.end(signal.SIGTERM) == 0


def test_reload_has_more_children_or_fewer_and_starts_anew_what_changed(tmp_path: Path) -> None:
    drain = {"name": "drain", "stop_order": 2, "finishes": True}
    engine = {"name": "engine", "essential": False, "stop_order": 1}
    more = [worker("worker-0"), worker("worker-1"), {**drain, "grace": 10.0}]
    fewer = [worker("worker-1"), more[2], engine]
    with tree(
        tmp_path, worker("worker-0"), drain, {**engine, "name": "old"}, reloads=[more, fewer]
    ) as running:
        first = running.ready()
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_error("reloaded, whole: True")
        running.wait_for(lambda notes: {"old ended", "worker-0 ended"} <= set(notes))
        notes = running.wait_for(lambda notes: len(starts("drain", notes)) == 2)
        assert len(starts("worker-1", notes)) == 1
        assert notes.index("drain ended") < notes.index(
            f"drain started {starts('drain', notes)[1]}"
        )
        assert starts("drain", notes)[0] == first["drain"]["pid"]
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_error("reloaded, whole: True")
        notes = running.wait_for(lambda notes: notes.count("worker-0 ended") == 2)
        assert (len(starts("drain", notes)), len(starts("worker-0", notes))) == (2, 2)
        running.wait_for(lambda notes: len(starts("engine", notes)) == 1)
        assert running.end(signal.SIGTERM) == 0


def test_stop_in_the_middle_of_a_reload_ends_all_and_finishes_the_work(tmp_path: Path) -> None:
    drain: dict[str, Any] = {"name": "drain", "stop_order": 2, "finishes": True}
    slow = worker("worker-0", mute=True)
    drain["spec"] = {"linger": 0.5}
    wanted = [worker("worker-0"), {**drain, "grace": 10.0}]
    with tree(tmp_path, worker("worker-0"), drain, reloads=[[slow, drain]]) as running:
        running.ready()
        running.process.send_signal(signal.SIGHUP)
        running.wait_for(lambda notes: len(starts("worker-0", notes)) == 2)
        assert running.end(signal.SIGTERM) == 0
        assert running.notes().count("worker-0 ended") == 2
    with tree(tmp_path / "more", worker("worker-0"), drain, reloads=[wanted]) as running:
        running.ready()
        running.process.send_signal(signal.SIGHUP)
        running.wait_for(lambda notes: "drain asked" in notes)
        assert running.end(signal.SIGTERM) == 0
        assert len(starts("drain", running.notes())) == 2
        assert running.notes()[-1] in {"drain ended", "drain orphaned"}


def test_ends_are_told_with_the_process(tmp_path: Path) -> None:
    with tree(tmp_path, {"name": "worker"}) as running:
        pid = running.ready()["worker"]["pid"]
        os.kill(pid, signal.SIGKILL)
        running.wait_for_error(f"end of worker: {pid}")
        assert running.end(signal.SIGTERM) == 0
