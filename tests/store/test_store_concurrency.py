"""The drain and the API write at the same time, from processes and threads of their own."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from standpipe.store import Filter, Project, Row, Store

PROGRAM = Path(__file__).parent / "drain_many.py"
#: What each run of the program puts in.
MANY = 12 * 40


def _start(url: str, project: Project, segment: str, prefix: str) -> subprocess.Popen[str]:
    words = [sys.executable, str(PROGRAM), url, project.id, segment, prefix]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _inserted(drain: subprocess.Popen[str]) -> int:
    told, complaints = drain.communicate(timeout=60)
    assert complaints == ""
    return int(told)


def test_processes_and_threads_write_at_once(url: str, store: Store, project: Project) -> None:
    drains = [_start(url, project, "a", "1-"), _start(url, project, "b", "2-")]
    new = [Filter("metadata.state", "new")]
    with ThreadPoolExecutor(4) as threads:
        marks = [
            threads.submit(store.update_metadata, project.id, new, {f"m{n}": "x"})
            for n in range(40)
        ]
        assert [_inserted(drain) for drain in drains] == [MANY, MANY]
        for mark in marks:
            mark.result(timeout=60)
    assert store.counts(project.id) == {"complete": 2 * MANY}
    assert store.positions() == {"a": 12, "b": 12}
    assert store.update_metadata(project.id, new, {"m": "x"}) == 2 * MANY


def test_same_rows_from_two_processes_are_inserted_once(
    url: str, store: Store, project: Project
) -> None:
    drains = [_start(url, project, segment, "1-") for segment in "ab"]
    assert sum(_inserted(drain) for drain in drains) == MANY
    assert len(store.logs(project.id, metadata={"state": "new"}, limit=1_000)) == MANY


def test_no_label_is_lost_when_many_threads_set_one_each(
    store: Store, project: Project, ten: list[Row]
) -> None:
    with ThreadPoolExecutor(8) as threads:
        changes = [
            threads.submit(store.update_metadata, project.id, [], {f"m{n}": str(n)})
            for n in range(24)
        ]
        assert [change.result(timeout=60) for change in changes] == [10] * 24
    row = store.record(project.id, ten[0].id)
    assert row is not None
    assert row.metadata == {"n": "0"} | {f"m{n}": str(n) for n in range(24)}
