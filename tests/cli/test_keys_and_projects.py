from __future__ import annotations

import json
import re
from contextlib import closing
from typing import Any

import pytest
from command_line import CommandLine, RowAdder

from standpipe.cli import keeping
from standpipe.errors import ConfigError
from standpipe.store import Project, Store, hash_token, public_id_of


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_key_is_made_before_the_first_start_and_printed_alone(cli: CommandLine) -> None:
    done = cli.run("keys", "create", "--name", "ci", "--read-only")
    token = done.stdout.removesuffix("\n")
    assert public_id_of(token)
    assert "once" in done.stderr
    with closing(Store.open(f"sqlite:///{cli.home / 'standpipe.db'}")) as store:
        key = store.key_by_hash(hash_token(token))
        assert key is not None
        assert (key.name, key.read_only) == ("ci", True)
        assert [project.name for project in store.projects()] == ["default"]
        assert store.keys(None) == [key]


def test_list_shows_keys_and_never_tokens(cli: CommandLine, project: Project) -> None:
    tokens = [cli("keys", "create", "--name", name).strip() for name in ("one", "two")]
    shown = cli("keys", "list", COLUMNS="80")
    assert all(token not in shown for token in tokens)
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert [row["name"] for row in lines(cli("keys", "list", "--json"))] == ["one", "two"]
    assert {row["project"] for row in lines(cli("keys", "list", "--json"))} == {"default"}


def test_revoked_key_is_known_no_more(cli: CommandLine, store: Store, project: Project) -> None:
    token = cli("keys", "create").strip()
    public_id = public_id_of(token)
    assert public_id is not None
    cli("keys", "revoke", public_id[:6])
    assert store.key_by_hash(hash_token(token)) is None
    assert "revoked before" in cli.fails("keys", "revoke", public_id)


def test_rotated_key_keeps_project_name_and_rights(cli: CommandLine, store: Store) -> None:
    cli("projects", "create", "theirs")
    old = cli("keys", "create", "--project", "theirs", "--name", "ci", "--read-only").strip()
    new = cli("keys", "rotate", public_id_of(old) or "").strip()
    assert store.key_by_hash(hash_token(old)) is None
    key = store.key_by_hash(hash_token(new))
    assert key is not None
    assert (key.name, key.read_only) == ("ci", True)
    theirs = store.project("theirs")
    assert theirs is not None
    assert key.project == theirs.id


def test_key_says_what_is_kept_of_its_calls(cli: CommandLine, store: Store) -> None:
    token = cli("keys", "create", "--content", "redacted").strip()
    key = public_id_of(token) or ""
    assert [row["content"] for row in lines(cli("keys", "list", "--json"))] == ["redacted"]
    assert "redacted" in cli("keys", "list")
    before = store.keys(None)[0].updated_at
    cli("keys", "set", key[:6], "--content", "none")
    changed = store.keys_changed_since(before + 1)
    assert [each.content for each in changed] == ["none"]
    new = cli("keys", "rotate", key).strip()
    found = store.key_by_hash(hash_token(new))
    assert found is not None
    assert found.content == "none"
    cli("keys", "set", found.id, "--content", "default")
    assert store.keys(None)[-1].content is None


def test_admin_key_is_made_shown_and_rotated_as_one(cli: CommandLine, store: Store) -> None:
    token = cli("keys", "create", "--admin", "--read-only").strip()
    (shown,) = lines(cli("keys", "list", "--json"))
    assert (shown["admin"], shown["read_only"]) == (True, True)
    assert "admin, read-only" in cli("keys", "list")
    new = cli("keys", "rotate", public_id_of(token) or "").strip()
    found = store.key_by_hash(hash_token(new))
    assert found is not None
    assert (found.admin, found.read_only) == (True, True)


def test_what_commands_change_is_in_the_audit_log(cli: CommandLine, store: Store) -> None:
    token = cli("keys", "create").strip()
    key = public_id_of(token) or ""
    cli("keys", "set", key, "--content", "none")
    cli("keys", "revoke", key)
    cli("projects", "rename", "default", "main")
    cli("projects", "keep", "main", "--content-days", "7")
    cli("projects", "remove", "main", "--yes")
    entries = store.audit_log(None)
    assert [each.action for each in reversed(entries)] == [
        "project.created",
        "key.created",
        "key.changed",
        "key.revoked",
        "project.changed",
        "project.changed",
        "project.removed",
    ]
    assert {each.actor for each in entries} == {"cli"}
    assert all(token not in each.detail for each in entries)


def test_content_that_there_is_not_is_refused(cli: CommandLine, project: Project) -> None:
    assert cli.run("keys", "create", "--content", "some").returncode == 2


def test_revoked_key_is_changed_no_more(cli: CommandLine, store: Store) -> None:
    key = public_id_of(cli("keys", "create").strip()) or ""
    cli("keys", "revoke", key)
    assert "revoked before" in cli.fails("keys", "set", key, "--content", "none")
    assert store.change_key(key, {"content": "none"}) is None


@pytest.mark.parametrize("command", ["revoke", "rotate"])
def test_unknown_key_is_one_line(cli: CommandLine, project: Project, command: str) -> None:
    assert "there is no key 'nonesuch'" in cli.fails("keys", command, "nonesuch")


def test_unknown_project_is_one_line_that_names_the_others(
    cli: CommandLine, project: Project
) -> None:
    assert "there are: default" in cli.fails("keys", "create", "--project", "nonesuch")


def test_list_without_a_store_says_what_to_do(cli: CommandLine) -> None:
    assert "standpipe serve" in cli.fails("keys", "list")
    assert not cli.home.exists()


def test_first_project_may_be_the_default_one(cli: CommandLine) -> None:
    cli("projects", "create", "default")
    assert [row["name"] for row in lines(cli("projects", "list", "--json"))] == ["default"]


def test_second_project_of_a_name_is_refused(cli: CommandLine, project: Project) -> None:
    assert "already" in cli.fails("projects", "create", "default")


def test_renamed_project_keeps_its_keys(cli: CommandLine, store: Store, project: Project) -> None:
    cli("keys", "create")
    cli("projects", "rename", "default", "main")
    (row,) = lines(cli("projects", "list", "--json"))
    assert (row["id"], row["name"], row["keys"]) == (project.id, "main", 1)


@pytest.mark.parametrize("name", ["", " a", "a\x1b[2J", "a" * 65])
def test_name_that_would_not_show_is_refused(cli: CommandLine, project: Project, name: str) -> None:
    cli.fails("projects", "rename", "default", name)


def test_project_says_how_long_it_keeps_what(
    cli: CommandLine, store: Store, project: Project, add: RowAdder
) -> None:
    add(request='{"messages": []}' + " " * 3000)
    said = cli("projects", "keep", "default", STANDPIPE_RETENTION_CONTENT_DAYS="7")
    assert said == "default keeps texts 7 days and up to 50 GiB, calls 730 days\n"
    changes = ("--content-days", "0", "--records-days", "1.5", "--content-bytes", "1000000")
    said = cli("projects", "keep", "default", *changes)
    assert said == "default keeps texts up to 976.6 KiB, calls 1.5 days\n"
    cli("projects", "keep", project.id, "--content-bytes", "default")
    (row,) = lines(cli("projects", "list", "--json"))
    assert (row["content_days"], row["records_days"], row["content_bytes"]) == (0, 1.5, None)
    assert 30 < row["text_bytes"] < 3000
    listed = cli("projects", "list")
    assert "texts up to 50 GiB, calls 1.5 days" in listed
    assert f"{row['text_bytes']} B" in listed


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e99", "a year", ""])
@pytest.mark.parametrize("name", ["content_days", "content_bytes"])
def test_time_that_is_none_is_refused(name: str, value: str) -> None:
    option = "--" + name.replace("_", "-")
    with pytest.raises(ConfigError, match=re.escape(f"{option} {value!r}")):
        keeping.changes(**{name: value})


def test_removal_says_what_goes_and_asks_first(
    cli: CommandLine, store: Store, project: Project, add: RowAdder
) -> None:
    add()
    add()
    cli("keys", "create")
    asked = cli.run("projects", "remove", "default")
    assert asked.returncode == 1
    assert "1 working keys end, 2 calls are deleted" in asked.stdout
    assert store.project("default") is not None
    cli("projects", "remove", "default", "--yes")
    assert store.project("default") is None
    assert store.logs(project.id) == []
