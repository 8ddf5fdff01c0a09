"""STANDPIPE_ADMIN_KEY: an admin key from the environment, while there is none."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import serving

from standpipe import config
from standpipe.cli.prepare import prepare
from standpipe.errors import ConfigError
from standpipe.store import Key, Store, hash_token

KEY = "the-first-key-of-a-project"
ADMIN_KEY = "the-key-of-an-administrator"


def prepared(home: Path, **environ: str) -> list[Key]:
    """Prepare a start in this environment; return the keys that there are then."""
    given = {f"STANDPIPE_{name}": value for name, value in environ.items()}
    settings = config.load(None, {"STANDPIPE_HOME": str(home), **given})
    prepare(settings)
    with closing(Store.open(settings.store_url)) as store:
        return store.keys(None)


def test_admin_key_is_made_beside_the_first_one(tmp_path: Path) -> None:
    keys = prepared(tmp_path, API_KEY=KEY, ADMIN_KEY=ADMIN_KEY)
    assert {(key.token_hash, bool(key.admin)) for key in keys} == {
        (hash_token(KEY), False),
        (hash_token(ADMIN_KEY), True),
    }
    assert prepared(tmp_path, API_KEY=KEY, ADMIN_KEY=ADMIN_KEY) == keys


def test_admin_key_alone_leaves_a_first_key_to_be_made(tmp_path: Path) -> None:
    keys = prepared(tmp_path, ADMIN_KEY=ADMIN_KEY)
    assert sorted(bool(key.admin) for key in keys) == [False, True]


def test_admin_key_may_come_later_and_only_once(tmp_path: Path) -> None:
    assert len(prepared(tmp_path, API_KEY=KEY)) == 1
    keys = prepared(tmp_path, API_KEY=KEY, ADMIN_KEY=ADMIN_KEY)
    assert len(keys) == 2
    assert prepared(tmp_path, ADMIN_KEY="another-key-of-an-administrator") == keys


def test_plain_key_does_not_become_an_admin_key(tmp_path: Path) -> None:
    (before,) = prepared(tmp_path, API_KEY=KEY)
    with pytest.raises(ConfigError, match="STANDPIPE_ADMIN_KEY"):
        prepared(tmp_path, ADMIN_KEY=KEY)
    with pytest.raises(ConfigError, match="STANDPIPE_ADMIN_KEY"):
        prepared(tmp_path, API_KEY=KEY, ADMIN_KEY=KEY)
    assert prepared(tmp_path) == [before]


def test_admin_key_of_the_environment_is_hidden(tmp_path: Path) -> None:
    settings = config.load(None, {"STANDPIPE_ADMIN_KEY": ADMIN_KEY})
    assert ADMIN_KEY in config.secrets(settings)
    assert ADMIN_KEY not in repr(settings.admin_key)


def test_admin_key_of_the_environment_opens_the_admin_api(tmp_path: Path) -> None:
    with serving.serving(tmp_path / "home", ADMIN_KEY=ADMIN_KEY) as server:
        answer = serving.call(server, "GET", "/admin/projects", key=ADMIN_KEY)
        assert [each["name"] for each in answer.json["data"]] == ["default"]
        assert serving.call(server, "GET", "/admin/projects").status == 403
        assert ADMIN_KEY not in server.log.read_text()
