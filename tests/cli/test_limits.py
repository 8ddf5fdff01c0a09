"""Limits from the command line: set, shown, taken away, handed down."""

from __future__ import annotations

import json
from contextlib import closing

from command_line import CommandLine

from standpipe.store import Key, Project, Store, hash_token


def made(cli: CommandLine, store: Store) -> Key:
    token = cli("keys", "create").strip()
    key = store.key_by_hash(hash_token(token))
    assert key is not None
    return key


def now(store: Store, key: Key) -> Key:
    return next(each for each in store.keys(key.project) if each.id == key.id)


def test_limits_of_a_key_are_set_one_by_one(
    cli: CommandLine, store: Store, project: Project
) -> None:
    del project
    key = made(cli, store)
    assert "no limits" in cli("keys", "limit", key.id)
    cli("keys", "limit", key.id, "--requests-per-minute", "60", "--dollars-per-day", "2.50")
    shown = cli("keys", "limit", key.id, "--concurrent-calls", "4", "--models", "gpt-*, o3")
    assert "60 requests a minute, 4 calls at a time, 2.50 dollars a day" in shown
    assert "models gpt-*, o3" in shown
    cli("keys", "limit", key.id, "--requests-per-minute", "none", "--expires", "2099-01-31")
    (listed,) = map(json.loads, cli("keys", "list", "--json").splitlines())
    assert listed["limits"] == {"concurrent_calls": 4, "dollars_per_day": "2.50"}
    assert listed["models"] == ["gpt-*", "o3"]
    assert listed["expires_at"].startswith("2099-01-3")
    cli(
        *("keys", "limit", key.id, "--concurrent-calls", "none", "--dollars-per-day", "none"),
        *("--models", "none", "--expires", "none"),
    )
    found = now(store, key)
    assert (found.limits, found.models, found.expires_at) == (None, None, None)


def test_what_is_no_limit_is_refused_by_name(
    cli: CommandLine, store: Store, project: Project
) -> None:
    key = made(cli, store)
    for option, value in (
        ("--requests-per-minute", "-1"),
        ("--tokens-per-minute", "many"),
        ("--dollars-per-day", "1e99"),
        ("--dollars-per-month", "NaN"),
        ("--expires", "soon"),
    ):
        said = cli.fails("keys", "limit", key.id, option, value)
        assert value in said
        assert option.removeprefix("--").replace("-", "_") in said.replace("-", "_")
    assert "--dollars" not in cli.fails("projects", "limit", project.name, "--tokens-per-minute=x")


def test_new_key_has_what_the_old_one_had(cli: CommandLine, store: Store, project: Project) -> None:
    del project
    key = made(cli, store)
    cli("keys", "limit", key.id, "--dollars-per-day", "5", "--models", "a*", "--expires", "30d")
    token = cli("keys", "rotate", key.id).strip()
    with closing(Store.open(f"sqlite:///{cli.home / 'standpipe.db'}")) as opened:
        new = opened.key_by_hash(hash_token(token))
    assert new is not None
    old = now(store, key)
    assert (new.limits, new.models, new.expires_at) == (old.limits, old.models, old.expires_at)


def test_limits_of_a_project_are_known_of_its_keys(
    cli: CommandLine, store: Store, project: Project
) -> None:
    key = made(cli, store)
    since = now(store, key).updated_at
    shown = cli("projects", "limit", project.name, "--dollars-per-month", "100")
    assert "100 dollars a month" in shown
    (changed,) = [each for each in store.keys_changed_since(since + 1) if each.id == key.id]
    assert changed.project_limits == '{"dollars_per_month":"100"}'
    assert "no limits" in cli("projects", "limit", project.name, "--dollars-per-month", "none")
