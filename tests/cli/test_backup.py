"""A backup and what comes back of it: every call, text and sum, in either database."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
import serving
import zstandard
from asking import Asker, until
from command_line import CommandLine, RowAdder
from misbehaving import running
from serving import PATIENCE
from spooling import SRC

from standpipe.cli.archive_file import FORMAT, Damaged, Manifest, entries, written
from standpipe.errors import ConfigError
from standpipe.spool import Spool, new_boot
from standpipe.store import Batch, OpenStream, Project, Row, Store, new_token, now_us
from standpipe.store.alignment import AlignmentVerdict, NewAlignmentRow
from standpipe.store.archive import Hour
from standpipe.wire.ids import new_id
from standpipe.wire.record import Begin, Record, Usage, encode

HOUR_US = 3_600_000_000
TALK = '{{"model":"m","messages":[{},{{"role":"user","content":"and {}"}}]}}'


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without tables, to restore into."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'target.db'}"
    return str(request.getfixturevalue("new_postgres")(migrated=False))


def fill(store: Store, project: Project, *, calls: int = 300) -> None:
    """Put calls of many kinds into a store, and take some away again."""
    dice = random.Random(7)
    now = now_us()
    said = ",".join(f'{{"role":"user","content":"{"long " * 300}{n}"}}' for n in range(5))
    rows = [
        Row(
            id=new_id(),
            kind="chat",
            project=project.id,
            key=dice.choice((None, "abcdefghij")),
            requested_at=now - dice.randrange(3 * HOUR_US),
            received_at=now,
            outcome=dice.choice(("complete", "failed", "abandoned")),
            status=dice.choice((200, 500, None)),
            logged=True,
            updated_at=now,
            model=dice.choice(("gpt-4o", "\u043c\u043e\u0434\u0435\u043b\u044c", None)),
            usage=Usage(prompt_tokens=dice.randrange(100), completion_tokens=dice.randrange(9)),
            cost=dice.choice((None, Decimal(dice.randrange(10**9)) / 10**12)),
            metadata={"n": str(n), "user": dice.choice("ab")},
            request=TALK.format(said, n),
            response=dice.choice((None, f'{{"n": {n}}}')),
        )
        for n in range(calls)
    ]
    assert store.add(Batch(rows=rows)) == calls
    for row in rows[::40]:
        store.delete_record(project.id, row.id)


def state(url: str) -> tuple[list[Project], list[object], dict[str, Row], list[Hour]]:
    """Return all that a backup is of."""
    with closing(Store.open(url)) as store, store.snapshot() as found:
        rows = {row.id: row for row in found.rows()}
        return (
            found.projects(),
            [*found.keys(), *found.criteria(), *found.alignment_rows()],
            rows,
            list(found.hours()),
        )


def url_of(cli: CommandLine) -> str:
    return f"sqlite:///{cli.home / 'standpipe.db'}"


def test_everything_comes_back_in_either_database(
    cli: CommandLine, store: Store, project: Project, target: str, tmp_path: Path
) -> None:
    store.add_key(project.id, name="k", read_only=True, token=new_token()[1])
    gone = store.add_key(project.id, name="gone", read_only=False, token=new_token()[1])
    store.revoke_key(gone.id)
    store.add_criterion(project.id, "short", '{"kind":"length","max":9}', "Short answers")
    store.add_criterion_version(project.id, "short", '{"kind":"length","max":8}')
    store.add_alignment_rows(project.id, "short", [NewAlignmentRow("r", "{}", "PASS")])
    said = AlignmentVerdict(2, None, "Why", "it hung", 7)
    store.add_alignment_verdict(project.id, "short", "r", said)
    store.change_project(project.id, {"alignment_bar": 0.7})
    fill(store, project)
    fill(store, store.add_project("other"), calls=10)
    file = tmp_path / "backup"
    assert "293 calls" not in cli("backup", str(file))
    assert file.stat().st_mode & 0o077 == 0
    first = cli("restore", str(file), STANDPIPE_STORE_URL=target)
    assert state(target) == state(url_of(cli))
    again = cli("restore", str(file), STANDPIPE_STORE_URL=target)
    assert state(target) == state(url_of(cli))
    assert first != again
    rows = len(state(target)[2])
    assert first.split()[-4:] == ["calls", str(rows), "0", "0"]
    assert again.split()[-4:] == ["calls", "0", str(rows), "0"]


def test_what_waits_in_the_spool_is_in_the_backup(
    cli: CommandLine, store: Store, project: Project, tmp_path: Path
) -> None:
    deleted, waiting, begun = new_id(), new_id(), new_id()
    add_deleted(store, project, deleted)
    with closing(Spool(cli.home / "spool", boot=new_boot(), worker=0)) as spool:
        spool.append(encode(record(project, deleted)))
        spool.append(encode(record(project, waiting)))
        spool.append(encode(Begin(id=begun, project=project.id, key=None, requested_at=now_us())))
        cli("backup", str(tmp_path / "backup"))
    target = f"sqlite:///{tmp_path / 'target.db'}"
    cli("restore", str(tmp_path / "backup"), STANDPIPE_STORE_URL=target)
    _, _, rows, hours = state(target)
    assert list(rows) == [waiting]
    assert rows[waiting].request == '{"a": 1}'
    assert sum(hour.sums.calls for hour in hours) == 2  # the deleted one was made, too


def add_deleted(store: Store, project: Project, call: str) -> None:
    row = Row(
        id=call,
        kind="chat",
        project=project.id,
        key=None,
        requested_at=now_us(),
        received_at=now_us(),
        outcome="complete",
        status=200,
        logged=True,
        updated_at=now_us(),
    )
    store.add(Batch(rows=[row]))
    store.delete_record(project.id, call)


def record(project: Project, call: str) -> Record:
    return Record(
        id=call,
        kind="chat",
        project=project.id,
        key=None,
        requested_at=now_us(),
        received_at=now_us(),
        outcome="complete",
        status=200,
        logged=True,
        request=b'{"a": 1}',
    )


def test_stream_that_had_not_ended_comes_back_as_lost_unless_it_may_end_here(
    cli: CommandLine, store: Store, project: Project, tmp_path: Path
) -> None:
    known, begun, ended, late, gone = (new_id() for _ in range(5))
    streams = {
        call: encode(Begin(id=call, project=owner, key=None, requested_at=now_us(), model="m"))
        for call, owner in [
            *((each, project.id) for each in (known, begun, ended, late)),
            (gone, "x"),
        ]
    }
    for call in (known, ended, gone):
        store.add(Batch(opened=[OpenStream(call, "a-writer", streams[call])]))
    with closing(Spool(cli.home / "spool", boot=new_boot(), worker=0)) as spool:
        for payload in (streams[begun], encode(record(project, ended)), streams[late]):
            spool.append(payload)
        spool.append(encode(record(project, late)))
        cli("backup", str(tmp_path / "backup"))
        # Here each of them may end yet.
        cli("restore", str(tmp_path / "backup"))
        assert set(state(url_of(cli))[2]) == {ended, late}
    other = CommandLine(tmp_path / "elsewhere")
    for _ in range(2):
        other("restore", str(tmp_path / "backup"))
        rows = state(url_of(other))[2]
        outcomes = {call: row.outcome for call, row in rows.items()}
        assert outcomes == {
            **dict.fromkeys((known, begun), "lost"),
            **dict.fromkeys((ended, late), "complete"),
        }
        assert rows[known].model == "m"


def test_what_was_changed_by_whom_comes_back_once(
    cli: CommandLine, store: Store, project: Project, tmp_path: Path, target: str
) -> None:
    key = store.add_key(project.id, name="k", read_only=True, token=new_token()[1])
    store.revoke_key(key.id)
    gone = store.add_project("gone")
    store.remove_project(gone.id)
    before = store.audit_log(None)
    assert len(before) > 3
    cli("backup", str(tmp_path / "backup"))
    for _ in range(2):
        cli("restore", str(tmp_path / "backup"), STANDPIPE_STORE_URL=target)
        with closing(Store.open(target)) as restored:
            after = restored.audit_log(None)
        assert [each for each in after if not each.action.endswith(".restored")] == before


def test_backup_of_the_first_form_is_taken(tmp_path: Path) -> None:
    owner = Project(id="p", name="of old", created_at=1)
    with written(tmp_path / "backup") as file:
        file.write(Manifest(format=1, standpipe="0.1", schema="0002", made_at=0, records=0))
        file.write(owner)
    cli = CommandLine(tmp_path / "home")
    cli("restore", str(tmp_path / "backup"))
    assert state(url_of(cli))[0] == [owner]


def test_usage_of_calls_that_are_no_more_comes_back_exactly(
    cli: CommandLine, store: Store, project: Project, add: RowAdder, tmp_path: Path
) -> None:
    kept, gone = (add(cost=Decimal("0.25"), requested_at=now_us()) for _ in range(2))
    before = add(cost=Decimal("1.5"), requested_at=now_us() - 30 * 24 * HOUR_US)
    for row in (gone, before):
        store.delete_record(project.id, row.id)
    cli("backup", str(tmp_path / "backup"))
    target = f"sqlite:///{tmp_path / 'target.db'}"
    for _ in range(2):
        cli("restore", str(tmp_path / "backup"), STANDPIPE_STORE_URL=target)
        _, _, rows, hours = state(target)
        assert list(rows) == [kept.id]
        assert sum((hour.sums.cost or 0) for hour in hours) == 2
        assert hours == state(url_of(cli))[3]
        with closing(Store.open(target)) as restored:
            assert not any(restored.faults().values())


def test_what_was_deleted_and_changed_since_stays_so(
    cli: CommandLine, store: Store, project: Project, add: RowAdder, tmp_path: Path
) -> None:
    key = store.add_key(project.id, name="k", read_only=False, token=new_token()[1])
    other = store.add_project("removed since")
    gone, changed, theirs = add(), add(metadata={"a": "1"}), add(project=other.id)
    cli("backup", str(tmp_path / "backup"))
    store.delete_record(project.id, gone.id)
    store.set_metadata(project.id, changed.id, {"a": "2"})
    store.revoke_key(key.id)
    store.remove_project(other.id)
    later = add()
    before = state(url_of(cli))
    said = cli("restore", str(tmp_path / "backup"))
    assert state(url_of(cli)) == before
    assert {changed.id, later.id} == set(before[2])
    assert theirs.id not in before[2]
    assert said.split()[-4:] == ["calls", "0", "3", "0"]


def test_name_that_is_another_projects_is_refused_or_changed(
    cli: CommandLine, store: Store, project: Project, add: RowAdder, tmp_path: Path
) -> None:
    row = add()
    file = str(tmp_path / "backup")
    cli("backup", file)
    other = CommandLine(tmp_path / "elsewhere")
    other("keys", "create")
    before = state(url_of(other))
    assert "'default'" in other.fails("restore", file)
    assert state(url_of(other)) == before
    assert "default-restored" in other("restore", file, "--rename")
    found = state(url_of(other))
    assert {each.name for each in found[0]} == {"default", "default-restored"}
    assert found[2][row.id].project == project.id
    assert "default-restored" not in other("restore", file)
    assert state(url_of(other)) == found


HARM: dict[str, Callable[[bytes], bytes]] = {
    "without its last byte": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "the first bytes": lambda data: data[:3],
    "empty": lambda _: b"",
    "with more behind it": lambda data: data + b"x",
    "twice": lambda data: data + data,
    "something else": lambda _: b"something else",
    "another archive": lambda _: zstandard.compress(b"something else that is compressed"),
}


def test_damaged_file_changes_nothing(
    cli: CommandLine, store: Store, project: Project, tmp_path: Path
) -> None:
    fill(store, project, calls=50)
    file = tmp_path / "backup"
    cli("backup", str(file))
    whole = file.read_bytes()
    target = tmp_path / "target.db"
    for harm in HARM.values():
        file.write_bytes(harm(whole))
        with pytest.raises(Damaged, match=str(file)):
            list(entries(file))
    assert str(file) in cli.fails("restore", str(file), STANDPIPE_STORE_URL=f"sqlite:///{target}")
    assert not target.exists()


def test_file_of_which_a_bit_is_changed_is_refused_or_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "backup"
    with written(file) as writer:
        writer.write(Manifest(standpipe="0.1", schema="0001", made_at=0, records=0))
        for number in range(50):
            writer.write(Project(id=f"{number}", name=f"project {number}", created_at=0))
    whole, said = file.read_bytes(), list(entries(file))
    refused = 0
    for at in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[at // 8] ^= 1 << at % 8
        file.write_bytes(changed)
        try:
            assert list(entries(file)) == said
        except ConfigError:
            refused += 1
    assert refused > 7 * len(whole)


def test_later_form_is_refused(cli: CommandLine, store: Store, tmp_path: Path) -> None:
    later = Manifest(format=FORMAT + 1, standpipe="9.9", schema="9999", made_at=0, records=0)
    with written(tmp_path / "backup") as file:
        file.write(later)
    assert "Standpipe 9.9" in cli.fails("restore", str(tmp_path / "backup"))


def test_file_that_is_there_is_not_written_over(
    cli: CommandLine, store: Store, project: Project, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    file.write_text("mine")
    assert "is there already" in cli.fails("backup", str(file))
    assert file.read_text() == "mine"
    assert "cannot be written" in cli.fails("backup", str(tmp_path / "nowhere" / "backup"))
    assert "cannot be read" in cli.fails("restore", str(tmp_path / "nowhere"))


def test_restore_that_was_killed_comes_to_its_end_when_run_again(
    cli: CommandLine,
    store: Store,
    project: Project,
    tmp_path: Path,
    new_postgres: Callable[..., str],
) -> None:
    target = new_postgres(migrated=False)
    fill(store, project, calls=1500)
    file = tmp_path / "backup"
    cli("backup", str(file))
    for after_s in (0.7, 1.2):
        process = subprocess.Popen(
            [sys.executable, "-m", "standpipe", "restore", str(file)],
            env=cli.environment(STANDPIPE_STORE_URL=target),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    cli("restore", str(file), STANDPIPE_STORE_URL=target)
    assert state(target) == state(url_of(cli))


def test_backup_under_load_has_every_call_that_was_answered_before_it(
    tmp_path: Path, new_postgres: Callable[..., str]
) -> None:
    home, target = tmp_path / "home", new_postgres(migrated=False)
    with running() as upstream:
        provider = serving.provider("openai", upstream.url, api_key='"sk-upstream"')
        with serving.serving(home, provider) as server:
            with subprocess.Popen(
                [sys.executable, "-c", LOAD, server.url, serving.KEY],
                env={"PYTHONPATH": str(SRC)},
                stdout=subprocess.PIPE,
                text=True,
            ) as load:
                assert load.stdout is not None
                answered = [load.stdout.readline().strip() for _ in range(100)]
                server.cli("backup", str(tmp_path / "backup"))
                load.kill()
                answered_since = load.stdout.read().split()
            until(lambda: len(Asker(server, serving.KEY).stored("?limit=100")) == 100)
    cli = CommandLine(home)
    cli("restore", str(tmp_path / "backup"), STANDPIPE_STORE_URL=target)
    restored, original = state(target), state(url_of(cli))
    assert set(answered) <= set(restored[2])
    assert set(restored[2]) <= {*answered, *answered_since} | set(original[2])
    for call, row in restored[2].items():
        assert row == original[2][call]
    cli("restore", str(tmp_path / "backup"))
    assert state(url_of(cli)) == original
    cli("verify", STANDPIPE_STORE_URL=target)


# Makes calls one after the other and prints the id of each that was answered.
LOAD = """
import json, sys, urllib.request
while True:
    body = {"model": "openai:ok", "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"Authorization": "Bearer " + sys.argv[2], "Content-Type": "application/json"}
    url = sys.argv[1] + "/chat/completions"
    asked = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked) as answer:
        answer.read()
        print(answer.headers["x-request-id"], flush=True)
"""
