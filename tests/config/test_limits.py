"""The settings of limits: what cannot be, and what nobody is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from standpipe import config
from standpipe.errors import ConfigError


def load(folder: Path, text: str) -> config.Settings:
    file = folder / "standpipe.toml"
    file.write_text(f"[limits]\n{text}\n")
    return config.load(file, {"HOOK": "https://hooks.example/token-canary"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('redis = "http://host"', "limits.redis: must be a URL that begins with redis://"),
        ('webhook = "ftp://host"', "limits.webhook: not an http"),
        ('webhook = "https://host/x"', "limits.webhook: needs limits.webhook_secret"),
        ('webhook = "https://host"\nwebhook_secret = ""', "needs limits.webhook_secret"),
        ('when_away = "hope"', "limits.when_away"),
        ('unpriced = "guess"', "limits.unpriced"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, text)


def test_secrets_are_known_as_such(tmp_path: Path) -> None:
    told = 'redis = "redis://:redis-canary@host/0"\nwebhook = "env:HOOK"\nwebhook_secret = "signed"'
    settings = load(tmp_path, told)
    assert "canary" not in repr(settings.limits)
    known = config.secrets(settings)
    assert {"redis-canary", "https://hooks.example/token-canary", "signed"} <= set(known)
