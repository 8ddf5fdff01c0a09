"""The child process of the optional engines; run as `python -m standpipe.engine.extras`.

It makes speech, hears it, and makes embeddings, each loaded when it is first asked for. Like the
process of the local model it reads one JSON line from stdin, answers one on stdout, and serves on
loopback until SIGTERM or until stdin ends, which means that its supervisor is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import IO, NoReturn

import msgspec
import uvicorn
from typing_extensions import override

from standpipe.engine.extras_app import Extras

HOST = "127.0.0.1"
START_FAILED = 3  # exit code


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the supervisor writes to stdin. `threads` None means the cores less one."""

    port: int
    key: str
    #: The folder of the embedding model's files; None to have no embeddings.
    embeddings: str | None = None
    #: Make and hear speech.
    audio: bool = True
    threads: int | None = None

    @override
    def __repr__(self) -> str:
        """Leave the key out."""
        return f"Config(port={self.port}, embeddings={self.embeddings!r}, audio={self.audio})"


class Ready(msgspec.Struct, frozen=True):
    """The line on stdout; `error` says why `ready` is false."""

    ready: bool
    port: int = 0
    error: str | None = None


def main(stdin: IO[bytes], out: IO[str]) -> NoReturn:
    """Serve as the first line of `stdin` says until it ends or SIGTERM; exit 3 if it cannot."""
    # A Ctrl-C reaches the whole terminal group; the supervisor is who stops us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        config = msgspec.json.decode(stdin.readline(), type=Config)
    except msgspec.DecodeError as error:
        _refuse(out, f"the configuration on stdin cannot be read: {error}")
    try:
        listening = _listen(config.port)
    except OSError as error:
        _refuse(out, f"cannot listen on port {config.port}: {error.strerror}")
    threads = config.threads or max(1, len(os.sched_getaffinity(0)) - 1)
    # Read by numpy's library when it is loaded, which is later: one for each core would fight
    # with the local model's for them.
    os.putenv("OPENBLAS_NUM_THREADS", str(threads))
    extras = Extras(config.key, audio=config.audio, embeddings=config.embeddings, threads=threads)
    asyncio.run(_serve(extras, listening, stdin, out, config.port))
    _stop()


async def _serve(
    extras: Extras, listening: socket.socket, stdin: IO[bytes], out: IO[str], port: int
) -> None:
    settings = uvicorn.Config(
        extras.app, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=600
    )
    server = _Server(settings)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, _stop)
    loop.add_reader(stdin.fileno(), _on_input, stdin.fileno())
    serving = asyncio.create_task(server.serve([listening]))
    await server.up.wait()
    _answer(out, Ready(ready=True, port=port))
    await serving


class _Server(uvicorn.Server):
    """Says when it serves, and leaves the signals to us."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _listen(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((HOST, port))
    return listening


def _on_input(descriptor: int) -> None:
    if not os.read(descriptor, 4096):
        _stop()


def _stop() -> NoReturn:
    # The supervisor has waited for the calls that are in flight; native threads may still work.
    os._exit(0)


def _refuse(out: IO[str], error: str) -> NoReturn:
    _answer(out, Ready(ready=False, error=error))
    sys.exit(START_FAILED)


def _answer(out: IO[str], ready: Ready) -> None:
    out.write(msgspec.json.encode(ready).decode() + "\n")
    out.flush()


def _own_stdout() -> IO[str]:
    """Keep stdout for our one line: what libraries print goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


if __name__ == "__main__":
    main(sys.stdin.buffer, _own_stdout())
