from __future__ import annotations

import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, RowAdder
from serving import PATIENCE

from standpipe.store import Store, now_us
from standpipe.wire.record import Attempt

HOUR = 3_600_000_000


def ids(text: str) -> list[str]:
    return [json.loads(line)["id"] for line in text.splitlines()]


@pytest.mark.parametrize(
    ("option", "fields"),
    [
        (("--model", "m2"), {"model": "m2"}),
        (("--status", "429"), {"status": 429, "outcome": "refused"}),
        (("--outcome", "cut"), {"outcome": "cut"}),
        (("--metadata", "a=1", "--metadata", "b=x=y"), {"metadata": {"a": "1", "b": "x=y"}}),
        (("--until", "2h"), {"requested_at": now_us() - 3 * HOUR}),
        (("--until", "1970-01-02"), {"requested_at": HOUR}),
        (("--until", "1970-01-01T03:00:00+02:00"), {"requested_at": HOUR - 1}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_list_is_narrowed_by(
    cli: CommandLine, add: RowAdder, option: tuple[str, ...], fields: dict[str, Any]
) -> None:
    add(metadata={"a": "1"})
    meant = add(**fields)
    assert ids(cli("logs", "list", "--json", *option)) == [meant.id]


def test_list_is_newest_first_and_limited(cli: CommandLine, add: RowAdder) -> None:
    rows = [add(requested_at=now_us() - n * HOUR) for n in range(4)]
    assert ids(cli("logs", "list", "--json", "--limit", "2")) == [row.id for row in rows[:2]]
    assert ids(cli("logs", "list", "--json", "--since", "90m")) == [row.id for row in rows[:2]]


def test_list_of_a_project_has_no_others(cli: CommandLine, store: Store, add: RowAdder) -> None:
    theirs = store.add_project("theirs")
    mine, other = add(), add(project=theirs.id)
    assert ids(cli("logs", "list", "--json", "--project", "theirs")) == [other.id]
    assert set(ids(cli("logs", "list", "--json"))) == {mine.id, other.id}


def test_table_fits_eighty_columns_and_its_ids_can_be_used(cli: CommandLine, add: RowAdder) -> None:
    row = add(model="m" * 60, metadata={"team": "search", "prompt": "p" * 90})
    add(requested_at=now_us() - 2 * HOUR, id="a" * 36)
    table = cli("logs", "list", COLUMNS="80").splitlines()
    assert all(len(line) <= 80 for line in table)
    assert "200" in table[1]
    assert "11/5" in table[1]
    assert "812" in table[1]
    shown = next(word for word in table[1].split() if row.id.startswith(word))
    assert row.id in cli("logs", "show", shown)


def test_reported_call_with_a_time_of_its_own_shows_its_whole_id(
    cli: CommandLine, add: RowAdder
) -> None:
    row = add(requested_at=HOUR)
    assert row.id in cli("logs", "list", COLUMNS="80")


def test_beginning_of_several_ids_is_an_error_that_lists_them(
    cli: CommandLine, add: RowAdder
) -> None:
    rows = [add() for _ in range(2)]
    error = cli.fails("logs", "show", rows[0].id[:8])
    assert all(row.id in error for row in rows)


def test_show_has_numbers_attempts_and_text(cli: CommandLine, add: RowAdder) -> None:
    attempt = Attempt("acme", "big", now_us(), status=503, error="busy", first_byte_us=1500)
    row = add(completion_id="chatcmpl-1", attempts=(attempt,), error="it was busy")
    page = cli("logs", "show", "chatcmpl-1")
    for part in (row.id, "acme", "503", "1.5 ms", "it was busy", "812.4 ms", '"messages": []'):
        assert part in page


def test_show_as_json_is_whole(cli: CommandLine, add: RowAdder) -> None:
    row = add()
    told = json.loads(cli("logs", "show", row.id, "--json"))
    assert told["request"] == {"model": "gpt-4o", "messages": []}
    assert told["usage"]["prompt_tokens"] == 11
    assert told["requested_at"].endswith("Z")


def test_call_without_text_says_so(cli: CommandLine, add: RowAdder) -> None:
    row = add(logged=False, request=None, response=None)
    assert "not kept" in cli("logs", "show", row.id)


def test_nothing_that_callers_send_controls_the_terminal(cli: CommandLine, add: RowAdder) -> None:
    evil = "\x1b[2J\x9b31m\u202e[bold]\n"
    row = add(
        model=evil,
        metadata={evil: evil},
        error=evil,
        user_agent=evil,
        request=json.dumps({"a": evil}, ensure_ascii=False),
    )
    for shown in (cli("logs", "list"), cli("logs", "show", row.id)):
        assert not {"\x1b", "\x9b", "\u202e"} & set(shown)
        assert "[bold]" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--since", "yesterday"),
        ("list", "--until", "9999999d"),
        ("list", "--metadata", "novalue"),
        ("show", "nonesuch"),
        ("export", "--output", "/nonesuch/file"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_one_line(
    cli: CommandLine, add: RowAdder, arguments: tuple[str, ...]
) -> None:
    add()
    assert arguments[-1] in cli.fails("logs", *arguments)


def test_export_has_the_form_of_the_hosted_service(
    cli: CommandLine, add: RowAdder, tmp_path: Path
) -> None:
    add(metadata={"team": "search"}, cache_hit=True)
    file = tmp_path / "calls.jsonl"
    assert cli("logs", "export", "--output", str(file)) == ""
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {
            "input": {"model": "gpt-4o", "messages": []},
            "output": {"object": "chat.completion"},
            "cacheHit": True,
            "durationMs": 812,
            "tags": {"team": "search"},
        }
    ]


def test_export_leaves_duplicates_and_errors_out_unless_told(
    cli: CommandLine, add: RowAdder
) -> None:
    add()
    add(request='{"messages":[],"model":"gpt-4o"}')
    add(metadata={"other": "tags"})
    add(status=500, outcome="failed", metadata={"its": "own"})
    add(response=None, metadata={"no": "answer"})
    add(logged=False, request=None, response=None)

    def count(*options: str) -> int:
        return len(cli("logs", "export", *options).splitlines())

    assert count() == 2
    assert count("--keep-duplicates") == 3
    assert count("--keep-errors") == 4
    assert count("--keep-duplicates", "--keep-errors") == 5
    assert count("--status", "500") == 1


def test_export_into_a_closed_pipe_is_quiet(cli: CommandLine, add: RowAdder) -> None:
    for n in range(50):
        add(request=json.dumps({"text": str(n) * 10_000}))
    command = f"{sys.executable} -m standpipe logs export | head -c 10"
    done = subprocess.run(
        command,
        shell=True,
        env=cli.environment(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert b"Traceback" not in done.stderr


def test_tail_shows_earlier_calls_and_each_new_one_once(cli: CommandLine, add: RowAdder) -> None:
    rows = [add() for _ in range(3)]
    with subprocess.Popen(
        [sys.executable, "-m", "standpipe", "logs", "tail", "-n", "2", "--json"],
        env=cli.environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as tail:
        assert tail.stdout is not None
        try:
            shown = [json.loads(tail.stdout.readline())["id"] for _ in range(2)]
            # A long call is stored after others that began later.
            rows += [add(), add(requested_at=now_us() - 60_000_000)]
            shown += [json.loads(tail.stdout.readline())["id"] for _ in range(2)]
        finally:
            tail.send_signal(signal.SIGINT)
        rest = tail.stdout.read()
    assert shown[:2] == [row.id for row in rows[1:3]]
    assert set(shown[2:]) == {row.id for row in rows[3:]}
    assert rest == ""
    assert tail.returncode == 0


def test_tail_keeps_each_call_on_one_line(cli: CommandLine, add: RowAdder) -> None:
    add(model="m" * 60, metadata={"prompt": "p" * 90})
    add()
    with subprocess.Popen(
        [sys.executable, "-m", "standpipe", "logs", "tail"],
        env=cli.environment(COLUMNS="80"),
        stdout=subprocess.PIPE,
        text=True,
    ) as tail:
        assert tail.stdout is not None
        lines = [tail.stdout.readline() for _ in range(2)]
        tail.send_signal(signal.SIGINT)
        lines += tail.stdout.readlines()
    assert len(lines) == 2
    assert all(len(line.rstrip("\n")) <= 80 for line in lines)


def test_terminal_gets_colours_and_its_own_width(cli: CommandLine, add: RowAdder) -> None:
    row = add()
    primary, secondary = pty.openpty()
    ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = cli.environment(TERM="xterm-256color")
    del environment["NO_COLOR"]
    subprocess.run(
        [sys.executable, "-m", "standpipe", "logs", "list"],
        env=environment,
        stdout=secondary,
        timeout=PATIENCE,
        check=True,
    )
    os.close(secondary)
    shown = os.read(primary, 65536).decode()
    os.close(primary)
    assert "\x1b[" in shown
    assert row.id not in shown
    assert row.id[:13] in shown


def test_calls_are_deleted_by_metadata_after_asking(
    cli: CommandLine, store: Store, add: RowAdder
) -> None:
    for user in ("a", "a", "b"):
        add(metadata={"user": user, "n": "1"})
    theirs = store.add_project("theirs").id
    add(project=theirs, metadata={"user": "a"})
    asked = cli.run("logs", "delete", "--metadata", "user=a")
    assert asked.returncode == 1
    assert "3 calls have this metadata" in asked.stdout
    assert len(store.logs(None)) == 4
    both = ("--metadata", "user=a", "--metadata", "n=1", "--yes")
    said = cli("logs", "delete", *both, "--project", "default", "--json")
    deleted = json.loads(said)["deleted"]
    assert deleted.pop("bytes") > 100
    assert deleted == {"calls": 2, "messages": 0, "usageRows": 0}
    said = cli("logs", "delete", "--metadata", "user=a", "--yes")
    assert said.startswith("Deleted: 1 calls, 0 messages that no other call had, ")
    (left,) = store.logs(None)
    assert left.metadata["user"] == "b"


def test_deletion_without_metadata_is_refused(cli: CommandLine, store: Store) -> None:
    assert "--metadata" in cli.fails("logs", "delete", "--yes")
    assert "NAME=VALUE" in cli.fails("logs", "delete", "--yes", "--metadata", "user")
