"""Where the limiter listens: a socket in the data directory, however long that one's path is."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from standpipe.errors import ConfigError

#: Name of the socket, in `<home>/run`.
SOCKET = "limiter.sock"
#: Longest path of a Unix socket, in bytes, on every system we know.
_LONGEST = 100
_BACKLOG = 1024


def bind(path: Path) -> socket.socket:
    """Return a listening socket there; a former one's is put aside.

    Raises ConfigError for a path that no socket can have.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(part) as short:
        listener.bind(short)
    part.chmod(0o600)
    listener.listen(_BACKLOG)
    # Who connects finds the former or this one, and never none.
    part.replace(path)
    listener.setblocking(False)
    return listener


def connect(path: Path) -> socket.socket:
    """Return a connection to who listens there; OSError if nobody does."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.setblocking(False)
    try:
        with _short(path) as short:
            found.connect(short)
    except OSError:
        found.close()
        raise
    return found


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield a path that a socket can have."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    if not Path("/proc/self/fd").is_dir():
        raise ConfigError(f"server.home: the path of {path} is too long for a socket")
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
