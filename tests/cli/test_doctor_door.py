"""What `doctor` says of the door, and of what nodes share."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis_server
from command_line import CommandLine
from serving import free_port

from standpipe.cli import door_check, nodes_check

TLS = Path(__file__).parents[1] / "server" / "tls"


def doctor(cli: CommandLine, **settings: str) -> str:
    cli.home.mkdir(exist_ok=True)
    settings.setdefault("STANDPIPE_SERVER_PORT", str(free_port()))
    done = cli.run("doctor", **settings)
    assert done.stderr == ""
    return done.stdout


def line(told: str, what: str) -> str:
    return next(line for line in told.splitlines() if f" {what}: " in line)


def files(cli: CommandLine, certificate: str, key: str = "renewed.key") -> dict[str, str]:
    cli.home.mkdir()
    for name in (certificate, key):
        shutil.copyfile(TLS / name, cli.home / name)
        (cli.home / name).chmod(0o600)
    return {
        "STANDPIPE_SERVER_TLS_CERTIFICATE": str(cli.home / certificate),
        "STANDPIPE_SERVER_TLS_KEY": str(cli.home / key),
    }


def test_door_that_is_as_it_should_be(cli: CommandLine) -> None:
    told = doctor(
        cli,
        STANDPIPE_SERVER_HOST="0.0.0.0",
        STANDPIPE_SERVER_TRUSTED_PROXIES="10.0.0.0/8",
        STANDPIPE_SERVER_CORS_ORIGINS="https://app.example",
        **files(cli, "renewed.pem"),
    )
    assert line(told, "TLS").startswith("ok")
    assert line(told, "Address").endswith("with TLS")
    assert line(told, "Proxies").startswith("ok")
    assert line(told, "CORS").startswith("ok")
    assert line(told, "Limits").startswith("ok")
    assert " Open files: " in told


def test_key_that_everybody_may_read_is_noted(cli: CommandLine) -> None:
    settings = files(cli, "renewed.pem")
    (cli.home / "renewed.key").chmod(0o644)
    told = doctor(cli, **settings)
    assert f"note   TLS: {cli.home / 'renewed.key'} may be read by everybody" in told


def test_certificate_that_has_ended_is_wrong(cli: CommandLine) -> None:
    told = line(doctor(cli, **files(cli, "ended.pem")), "TLS")
    assert told.startswith("wrong")
    assert "certificate has expired" in told


def test_key_of_another_certificate_is_wrong(cli: CommandLine) -> None:
    settings = files(cli, "renewed.pem")
    other = TLS.parents[1] / "upstream" / "tls" / "server.key"
    told = doctor(cli, **{**settings, "STANDPIPE_SERVER_TLS_KEY": str(other)})
    assert line(told, "TLS").startswith("wrong")
    assert "cannot be used together" in line(told, "TLS")


@pytest.mark.parametrize(
    ("days", "state"), [(400, "ok"), (14.5, "ok"), (13, "note"), (0.5, "note"), (-1, "wrong")]
)
def test_end_of_a_certificate_is_told_in_time(days: float, state: str) -> None:
    found = door_check.ending("a.example", time.time() + days * 86400)
    assert found.state == state
    assert "a.example" in found.found


def test_everybody_as_a_proxy_or_a_page_is_noted(cli: CommandLine) -> None:
    told = doctor(
        cli, STANDPIPE_SERVER_TRUSTED_PROXIES="0.0.0.0/0", STANDPIPE_SERVER_CORS_ORIGINS="*"
    )
    assert line(told, "Proxies").startswith("note")
    assert line(told, "CORS").startswith("note")


@pytest.mark.parametrize(
    ("name", "value"),
    [("TRUSTED_PROXIES", "10.0.0.1/8"), ("CORS_ORIGINS", "https://app.example/")],
)
def test_setting_of_the_door_that_cannot_be_is_named(
    cli: CommandLine, name: str, value: str
) -> None:
    told = line(doctor(cli, **{f"STANDPIPE_SERVER_{name}": value}), "Configuration")
    assert told.startswith("wrong")
    assert f"server.{name.lower()}" in told


@pytest.mark.parametrize(("setting", "what"), [("LIMITS", "Redis"), ("CACHE", "Cache")])
def test_redis_is_asked_for_its_time(
    cli: CommandLine, tmp_path: Path, setting: str, what: str
) -> None:
    server = redis_server.Server(tmp_path)
    server.start()
    asked = {f"STANDPIPE_{setting}_REDIS": server.url}
    try:
        told = doctor(cli, **asked)
    finally:
        server.stop()
    assert line(told, what).startswith("ok")
    assert "that of Redis is 0.0 s from ours" in line(told, "Clock")
    away = doctor(cli, **asked)
    assert line(away, what).startswith("wrong")
    assert redis_server.PASSWORD not in told + away


def test_clock_of_the_database_is_compared(
    cli: CommandLine, new_postgres: Callable[..., str]
) -> None:
    told = doctor(cli, STANDPIPE_STORE_URL=new_postgres(migrated=True))
    assert line(told, "Clock").startswith("ok     Clock: that of the database is 0.0 s from ours")


def test_clock_that_is_wrong_is_told() -> None:
    assert nodes_check.compared("X", 100.0, 99.0, 101.0).state == "ok"
    assert nodes_check.compared("X", 100.0, 101.5, 101.6).state == "ok"
    assert nodes_check.compared("X", 100.0, 103.0, 103.1).state == "wrong"
    assert nodes_check.compared("X", 100.0, 90.0, 90.1).state == "wrong"
