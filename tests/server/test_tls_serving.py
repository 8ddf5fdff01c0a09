"""A whole `standpipe serve` behind TLS: its files are read again on SIGHUP."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import ssl
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import until
from command_line import CommandLine
from serving import PATIENCE, Standpipe, kill_tree, start

TLS = Path(__file__).parent / "tls"
OTHER = Path(__file__).parents[1] / "upstream" / "tls"


def put(home: Path, certificate: Path, key: Path) -> None:
    home.mkdir(exist_ok=True)
    shutil.copyfile(certificate, home / "door.pem")
    shutil.copyfile(key, home / "door.key")


def presented(port: int) -> str:
    """Return the certificate that a new connection is shown."""
    return ssl.get_server_certificate(("localhost", port), timeout=PATIENCE)


def wait_for(port: int, certificate: Path) -> None:
    """Return once a certificate is what new connections are shown."""
    wanted = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if ssl.PEM_cert_to_DER_cert(presented(port)) == wanted:
                return
        time.sleep(0.05)
    raise AssertionError(f"{certificate.name} is not served")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Standpipe]:
    home = tmp_path / "home"
    put(home, OTHER / "server.pem", OTHER / "server.key")
    files = {
        "SERVER_TLS_CERTIFICATE": str(home / "door.pem"),
        "SERVER_TLS_KEY": str(home / "door.key"),
    }
    running = start(home, **files)
    try:
        wait_for(running.port, OTHER / "server.pem")
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
        kill_tree(running.process.pid)


def health(server: Standpipe, authority: Path) -> dict[str, object]:
    trusting = ssl.create_default_context(cafile=authority)
    url = f"https://localhost:{server.port}/health"
    with urllib.request.urlopen(url, context=trusting, timeout=PATIENCE) as answer:
        said: dict[str, object] = json.load(answer)
    return said


def test_renewed_files_are_served_after_sighup_and_broken_ones_are_not(server: Standpipe) -> None:
    assert health(server, OTHER / "ca.pem")["status"] == "ok"
    until(lambda: f"https://127.0.0.1:{server.port}/api/v1" in server.log.read_text())

    put(server.home, TLS / "renewed.pem", TLS / "renewed.key")
    server.process.send_signal(signal.SIGHUP)
    wait_for(server.port, TLS / "renewed.pem")

    put(server.home, OTHER / "server.pem", TLS / "renewed.key")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "cannot be used together" in server.log.read_text())
    wait_for(server.port, TLS / "renewed.pem")
    assert health(server, TLS / "renewed.pem")["status"] == "ok"
    assert server.stop() == 0


def test_doctor_asks_a_server_behind_tls(server: Standpipe) -> None:
    cli = CommandLine(server.home)
    told = cli.run(
        "doctor",
        STANDPIPE_SERVER_PORT=str(server.port),
        STANDPIPE_SERVER_TLS_CERTIFICATE=str(server.home / "door.pem"),
        STANDPIPE_SERVER_TLS_KEY=str(server.home / "door.key"),
    ).stdout
    assert f"answers at 127.0.0.1 port {server.port}" in told
    assert "ok     TLS: the certificate of localhost, 127.0.0.1 ends 21" in told


def test_files_that_are_not_there_end_the_start_with_one_line(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.pem")
    server = start(tmp_path / "home", SERVER_TLS_CERTIFICATE=gone, SERVER_TLS_KEY=gone)
    assert server.process.wait(PATIENCE) == 1
    assert server.log.read_text().startswith(f"standpipe: server.tls_certificate = '{gone}'")
