from __future__ import annotations

from pathlib import Path

import pytest

from standpipe import config
from standpipe.config.secret import passwords, shareable, without_password
from standpipe.errors import ConfigError
from standpipe.providers.rows import completed

FILE = """
[providers.one]
base_url = "http://127.0.0.1:1/v1"
api_key = "sk-in-the-file"

[providers.two]
base_url = "http://127.0.0.1:2/v1"
api_key = "env:WHERE_TWO_IS"
access_key_id = "AKIA"
secret_access_key = "aws-secret"
session_token = "aws-session"
"""
VARIABLES = {
    "STANDPIPE_API_KEY": "first-key-of-the-project",
    "STANDPIPE_STORE_URL": "postgresql://me:p%40ss@db/x",
    "HTTPS_PROXY": "http://me:proxy-pass@proxy:3128",
    "OPENAI_API_KEY": "sk-openai",
    "WHERE_TWO_IS": "sk-two",
}


def settings(folder: Path, text: str = FILE, **more: str) -> config.Settings:
    file = folder / "standpipe.toml"
    file.write_text(text)
    return completed(config.load(file, {"XDG_DATA_HOME": str(folder), **VARIABLES, **more}))


def test_every_secret_of_the_settings_is_known(tmp_path: Path) -> None:
    assert set(config.secrets(settings(tmp_path))) == {
        *("sk-in-the-file", "sk-two", "AKIA", "aws-secret", "aws-session", "sk-openai"),
        *("first-key-of-the-project", "p%40ss", "p@ss", "proxy-pass"),
    }


def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    made = settings(tmp_path)
    shown = repr(made) + repr(made.store) + repr(made.providers) + repr(made.first_key)
    assert not [secret for secret in config.secrets(made) if secret in shown]


def test_environment_is_shared_without_secrets() -> None:
    mine = {"PATH": "/bin", "OMP_NUM_THREADS": "2", "PGPASSWORD": "libpq reads it"}
    theirs = {"AWS_SECRET_ACCESS_KEY": "a", "HF_TOKEN": "b", "db_password": "c", "WHERE": "sk-two"}
    assert shareable({**mine, **theirs, **VARIABLES}, {"sk-two"}) == mine


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:pass/wo:rd@db:5432/x", "postgresql://me:***@db:5432/x"),
        (
            "postgresql://db/x?user=me&password=pass&a=1",
            "postgresql://db/x?user=me&password=***&a=1",
        ),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("sqlite:////home/standpipe.db", "sqlite:////home/standpipe.db"),
    ],
)
def test_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert ("***" in shown) == bool(list(passwords(url)))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[redaction]\nknown = ["emails"]', "redaction.known"),
        ('[redaction.patterns]\n"a b" = "x"', "redaction.patterns.a b"),
        ('[redaction.patterns]\nname = "("', "redaction.patterns.name"),
        ('[redaction.patterns]\nname = "x*"', "redaction.patterns.name"),
        ('[redaction]\nhook = "module"', "redaction.hook"),
        ('[logging]\ncontent = "some"', "logging.content"),
    ],
)
def test_redaction_that_cannot_be_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        settings(tmp_path, text)


def test_address_that_is_none_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"providers\.one\.base_url") as caught:
        settings(tmp_path, '[providers.one]\nbase_url = "ftp://me:hunter2@there"')
    assert "hunter2" not in str(caught.value)
