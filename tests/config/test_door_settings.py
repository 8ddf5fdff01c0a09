"""Settings of the door: what cannot be meant is named before anybody listens."""

from __future__ import annotations

import pytest

from standpipe import config
from standpipe.errors import ConfigError


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("TLS_CERTIFICATE", "a.pem", "tls_certificate and tls_key go together"),
        ("TLS_KEY", "a.key", "tls_certificate and tls_key go together"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "'?10.0.0.1/8"),
        ("TRUSTED_PROXIES", "proxy.example", "proxy.example"),
        ("CORS_ORIGINS", "app.example", "'app.example' is no origin"),
        ("CORS_ORIGINS", "https://app.example/", "'https://app.example/' is no origin"),
        ("CORS_ORIGINS", "https://App.example", "'https://App.example' is no origin"),
        ("CORS_ORIGINS", "https://a.example\r\nx: y", "is no origin"),
        ("BODY_TOTAL", "0", "server.body_total = 0.0"),
    ],
)
def test_setting_that_cannot_be_meant_is_named(setting: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config.load(environ={f"STANDPIPE_SERVER_{setting}": value}, text="")


@pytest.mark.parametrize(
    "origin",
    ["https://app.example", "http://localhost:3000", "http://[::1]:3000", "app://obsidian.md", "*"],
)
def test_origins_are_as_browsers_send_them(origin: str) -> None:
    environ = {"STANDPIPE_SERVER_CORS_ORIGINS": f"{origin}, https://b.example"}
    loaded = config.load(environ=environ, text="")
    assert loaded.server.cors_origins == (origin, "https://b.example")
