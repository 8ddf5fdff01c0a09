"""What is told of the machine that speed is measured on."""

from __future__ import annotations

import sysconfig

import pytest
from speed import machine

BOTH = "configured with --enable-optimizations and --with-lto"
NEITHER = "configured with neither --enable-optimizations nor --with-lto"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("'--prefix=/usr' '--enable-optimizations' '--with-lto=full'", f"{BOTH}=full"),
        ("'--with-lto' 'CFLAGS=-O2 -g'", "configured with --with-lto"),
        ("'--prefix=/usr' 'CFLAGS=-O2 -g'", NEITHER),
        (None, None),
    ],
)
def test_how_python_was_built_is_told_as_its_configuration_says(
    monkeypatch: pytest.MonkeyPatch, words: str | None, told: str | None
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", {"CONFIG_ARGS": words}.get)
    assert machine.python_built() == told
