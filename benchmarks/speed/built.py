"""What is built for a run: the provider and the client, in C, and what they send."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bodies import CHUNKS, answer, events

from speed import machine

HERE = Path(__file__).parent
#: Milliseconds between two chunks of a stream.
GAP_MS = 5


class Built(NamedTuple):
    """Paths of what was made."""

    folder: Path
    mock: Path
    load: Path
    #: Of the provider, None if no TLS could be had.
    certificate: Path | None
    key: Path


class Mocks(NamedTuple):
    """Where the provider answers."""

    http: int
    #: The same over TLS; 0 if that could not be had.
    https: int
    pids: tuple[int, ...]


def build(folder: Path) -> Built:
    """Compile both into a folder; SystemExit if there is no C compiler."""
    folder.mkdir(parents=True, exist_ok=True)
    mock, load = folder / "mock", folder / "load"
    _compile("load.c", load)
    has_tls = _try_tls(mock) and _certify(folder)
    if not has_tls:
        print("no TLS: it needs libssl-dev and openssl; calls over HTTPS are left out", flush=True)
        _compile("mock.c", mock)
    *chunks, last = events()
    for name, said in (("answer", answer()), ("chunk", chunks[0]), ("last", last)):
        (folder / name).write_bytes(said)
    certificate = folder / "certificate.pem"
    return Built(folder, mock, load, certificate if has_tls else None, folder / "key.pem")


def _compile(source: str, out: Path, *options: str) -> None:
    words = ["cc", "-O2", "-o", str(out), str(HERE / source), *options]
    try:
        subprocess.run(words, check=True, timeout=60)
    except FileNotFoundError as error:
        raise SystemExit("a C compiler is needed: apt-get install gcc") from error


def _try_tls(mock: Path) -> bool:
    try:
        _compile("mock.c", mock, "-DWITH_TLS", "-lssl", "-lcrypto")
    except subprocess.CalledProcessError:
        return False
    return True


def _certify(folder: Path) -> bool:
    """Make a certificate of 127.0.0.1; tell whether it could be made."""
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-days", "3650", "-subj", "/CN=127.0.0.1"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1"]
    words += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    try:
        subprocess.run(words, check=True, timeout=60, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextmanager
def mocks(built: Built) -> Iterator[Mocks]:
    """Run the provider, over HTTP and over HTTPS, away from the target's core."""
    running: list[subprocess.Popen[bytes]] = []

    def run(*tls: Path) -> int:
        port = machine.free_port()
        said = [built.folder / name for name in ("answer", "chunk", "last")]
        words = [*machine.pinned(machine.OTHER_CORES), built.mock, port, GAP_MS, CHUNKS, *said]
        running.append(subprocess.Popen([*map(str, words), *map(str, tls)]))
        machine.wait_for_port(port)
        return port

    try:
        http = run()
        https = run(built.certificate, built.key) if built.certificate else 0
        yield Mocks(http, https, tuple(each.pid for each in running))
    finally:
        for each in running:
            machine.end(each)
