"""`standpipe verify`: a sound system is right, and each thing that can be wrong is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from command_line import CommandLine
from sqlalchemy import create_engine, text

from standpipe.cli.verifying import Compared
from standpipe.drain.drain import Drain
from standpipe.drain.prices import Prices
from standpipe.spool import Spool, names, new_boot
from standpipe.spool.archive import compress
from standpipe.store import Project, Store, now_us
from standpipe.wire.ids import new_id
from standpipe.wire.record import Begin, Record, Usage, encode

TALK = b'{"messages":[{"role":"user","content":"%s"},{"role":"user","content":"Hi"}]}'


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, cli: CommandLine) -> str:
    cli.home.mkdir(exist_ok=True)
    if request.param == "sqlite":
        return f"sqlite:///{cli.home / 'standpipe.db'}"
    return str(request.getfixturevalue("new_postgres")())


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(Store.open(url)) as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def spool(cli: CommandLine) -> Iterator[Spool]:
    with closing(Spool(cli.home / "spool", boot=new_boot(), worker=0)) as made:
        yield made


@pytest.fixture
def drain(cli: CommandLine, store: Store) -> Iterator[Drain]:
    with closing(Drain(cli.home / "spool", store)) as made:
        yield made


@pytest.fixture
def compare(cli: CommandLine, store: Store) -> Callable[..., dict[str, int]]:
    """Return what compares the spool with the store, and returns what it counts beyond 0."""

    def run(**how: bool) -> dict[str, int]:
        compared = Compared(store, cli.home / "spool", Prices(), **{"mend": False, **how})
        compared.run()
        return {name: count for name, count in compared.counts.items() if count}

    return run


@pytest.fixture
def change(url: str) -> Iterator[Callable[[str], None]]:
    """Return what changes the database behind the store's back."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))

    def run(statement: str) -> None:
        with engine.begin() as connection:
            connection.execute(text(statement))

    yield run
    engine.dispose()


def record(project: Project, number: int = 0, **fields: Any) -> bytes:
    made: dict[str, Any] = {
        "id": new_id(),
        "kind": "chat",
        "project": project.id,
        "key": None,
        "requested_at": now_us(),
        "received_at": now_us(),
        "outcome": "complete",
        "status": 200,
        "logged": True,
        "request": TALK % (b"%d" % number * 400),
        "response": b"{}",
        "usage": Usage(prompt_tokens=7, completion_tokens=2, prompt_audio_tokens=1),
    }
    return encode(Record(**(made | fields)))


def begin(project: Project, call: str) -> bytes:
    return encode(Begin(id=call, project=project.id, key=None, requested_at=now_us()))


@pytest.fixture
def drained(store: Store, spool: Spool, drain: Drain) -> Project:
    """Put calls into the spool and from there into the store; one more waits."""
    project = store.add_project("ours")
    for number in range(20):
        spool.append(record(project, number % 3))
    spool.append(begin(project, "open"))
    while drain.step() or not drain.is_idle:
        pass
    spool.append(record(project))
    return project


SOUND = {"unreadable": 0, "unused": 0, "sizes": 0, "usage": 0}
READ = {"segments": 1, "records": 21, "waiting": 1}


def test_sound_system_is_right(
    store: Store, drained: Project, compare: Callable[..., dict[str, int]]
) -> None:
    assert compare() == READ
    for row in store.logs(drained.id, limit=5):
        store.delete_record(drained.id, row.id)
    assert compare() == READ
    assert store.faults() == SOUND


def test_empty_store_is_right(store: Store, compare: Callable[..., dict[str, int]]) -> None:
    assert compare() == {}
    assert store.faults() == SOUND


def test_what_is_missing_is_found_and_mended(
    store: Store,
    drained: Project,
    compare: Callable[..., dict[str, int]],
    change: Callable[[str], None],
) -> None:
    before = list(store.each_log(drained.id))
    change(f"DELETE FROM records WHERE id <> '{before[0].id}'")
    change("DELETE FROM open_streams")
    change("DELETE FROM usage_hours")
    assert compare() == READ | {"missing": 20}
    assert compare(mend=True) == READ | {"missing": 20, "mended": 20}
    assert compare() == READ
    after = {row.id: row for row in store.each_log(drained.id)}
    assert after.keys() == {"open"} | {row.id for row in before}
    assert after["open"].outcome == "lost"
    assert {row.id: row.request for row in before}.items() <= {
        row.id: row.request for row in after.values()
    }.items()


def test_records_of_a_removed_project_are_not_missing(
    store: Store, drained: Project, compare: Callable[..., dict[str, int]]
) -> None:
    store.remove_project(drained.id)
    assert compare() == READ


def test_kept_and_damaged_segments_are_read_too(
    cli: CommandLine,
    store: Store,
    spool: Spool,
    drained: Project,
    compare: Callable[..., dict[str, int]],
) -> None:
    directory = cli.home / "spool"
    spool.close()
    segment = directory / names.listed(directory, names.SEGMENT)[0]
    frames = segment.read_bytes()
    compress(segment)
    segment.unlink()
    (directory / f"{new_boot()}-0-00000000{names.DAMAGED}").write_bytes(frames + b"damage" * 9)
    found = compare()
    assert (found["segments"], found["records"], found["damaged"]) == (2, 42, 54)
    # The last record of either was not stored before it was put away.
    assert (found["missing"], found.get("doubled", 0)) == (2, 0)
    assert compare(mend=True)["mended"] == 1
    assert len(list(store.each_log(drained.id))) == 21


def test_frames_of_no_sense_and_ids_that_are_there_twice_are_found(
    spool: Spool, drained: Project, compare: Callable[..., dict[str, int]]
) -> None:
    twice = record(drained, id="twice")
    for payload in (twice, twice, record(drained, 1, id="twice"), b"no record"):
        spool.append(payload)
    assert compare() == READ | {"records": 24, "waiting": 4, "doubled": 1, "strange": 1}


def test_texts_that_differ_are_named(
    cli: CommandLine,
    store: Store,
    spool: Spool,
    drain: Drain,
    drained: Project,
    compare: Callable[..., dict[str, int]],
    change: Callable[[str], None],
    url: str,
) -> None:
    odd = b'{"nul": "\0", "half": "\\ud800"}'
    spool.append(record(drained, id="odd", request=odd, response=b"no JSON \xff"))
    while drain.step() or not drain.is_idle:
        pass
    first, second, third, fourth, *_ = (
        row for row in store.each_log(drained.id) if row.id != "odd"
    )
    assert compare(contents=True)["alike"] == 22
    settings = {"STANDPIPE_STORE_URL": url}
    assert "22 records have the texts" in cli("verify", "--contents", **settings)
    # Expired, another's, and no text at all.
    change(f"UPDATE records SET request_head = NULL, request_body = NULL WHERE id = '{first.id}'")
    theirs = "(SELECT request_body FROM records WHERE id = 'odd')"
    change(f"UPDATE records SET response_body = {theirs} WHERE id = '{second.id}'")
    change(f"UPDATE records SET request_body = response_body WHERE id = '{third.id}'")
    change(f"UPDATE records SET response_body = request_head WHERE id = '{fourth.id}'")
    found = compare(contents=True)
    assert (found["alike"], found["differ"]) == (19, 3)
    done = cli.run("verify", "--contents", "--json", **settings)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    (told,) = [line["found"] for line in lines if line["what"] == "Contents"]
    for call, what in ((second, "response"), (third, "request"), (fourth, "unreadable")):
        assert f"{call.id} ({what})" in told
    assert "Contents" not in cli.run("verify", **settings).stdout


#: One of several: a count must not be all or nothing.
ONE_OF = "(SELECT hash FROM {0} ORDER BY hash LIMIT 1)"


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM contents", "unreadable"),
        ("DELETE FROM contents WHERE hash = " + ONE_OF.format("contents"), "unreadable"),
        ("DELETE FROM prefixes", "unreadable"),
        ("DELETE FROM prefixes WHERE hash = " + ONE_OF.format("prefixes"), "unreadable"),
        ("UPDATE records SET request_head = NULL", "unused"),
        ("UPDATE project_sizes SET content_bytes = content_bytes + 1", "sizes"),
        ("DELETE FROM project_sizes", "sizes"),
        ("UPDATE usage_hours SET prompt_tokens = prompt_tokens + 1", "usage"),
        ("UPDATE usage_hours SET calls = calls - 1", "usage"),
        ("DELETE FROM usage_hours", "usage"),
        ("UPDATE usage_days SET calls = calls + 1", "usage"),
        ("DELETE FROM usage_days", "usage"),
    ],
)
def test_each_fault_of_the_tables_is_found(
    store: Store, drained: Project, change: Callable[[str], None], statement: str, fault: str
) -> None:
    assert store.faults() == SOUND
    change(statement)
    found = store.faults()
    assert found[fault] > 0
    store.recount()
    assert store.faults()[fault] == (0 if fault in {"sizes", "usage"} else found[fault])


def test_command_says_what_to_do_and_exits_with_1(
    cli: CommandLine, url: str, drained: Project, change: Callable[[str], None]
) -> None:
    settings = {"STANDPIPE_STORE_URL": url}
    assert "wrong" not in cli("verify", **settings)
    change("DELETE FROM records")
    done = cli.run("verify", **settings)
    assert done.returncode == 1
    assert "20 records are not in the store" in done.stdout
    assert "--repair" in done.stdout
    cli("verify", "--repair", **settings)
    lines = [json.loads(line) for line in cli("verify", "--json", **settings).splitlines()]
    assert all(line.keys() == {"state", "what", "found", "advice"} for line in lines)
    assert {line["state"] for line in lines} <= {"ok", "note"}
