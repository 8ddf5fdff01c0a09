"""The child process that owns one model; run as `python -m standpipe.engine.process`.

Each model has a process of its own, started by the supervisor like any child: one that crashes
takes no other with it, and the memory of one is seen as its own. The process is small until its
model is loaded: with `preload` at the start, else with the first call, and again after `idle`
seconds without one, when the model is freed. Adapters are loaded beside it and chosen by name;
another set of them is a second load, swapped in under the calls that run (`model`). All calls come
through one door (`front`), since llama.cpp's own server listens only while a model is loaded.

It reads one JSON line from stdin, which keeps the key out of the argument list, answers one JSON
line on stdout, and serves until SIGTERM or until stdin ends, which means that its supervisor is
gone. It knows nothing of callers or of the gateway: to them it is an upstream on loopback.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import IO, NoReturn

import msgspec

from standpipe.engine.front import Front
from standpipe.engine.llama import EXTRA, Config, LoadFailed, check_file
from standpipe.engine.model import Model

LOAD_FAILED = 3  # exit code


class Ready(msgspec.Struct, frozen=True):
    """The line on stdout: `context` is in tokens; `error` says why `ready` is false."""

    ready: bool
    port: int = 0
    context: int = 0
    error: str | None = None


def main(lines: Iterable[str], out: IO[str]) -> NoReturn:
    """Serve as the first of `lines` says until they end or SIGTERM; exit 3 if it cannot."""
    # A Ctrl-C reaches the whole terminal group; the supervisor is who stops us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stdin = iter(lines)
    try:
        config = _config(next(stdin, ""))
        asyncio.run(_serve(config, stdin, out))
    except LoadFailed as error:
        _answer(out, Ready(ready=False, error=str(error)))
        sys.exit(LOAD_FAILED)
    sys.exit(0)


async def _serve(config: Config, stdin: Iterator[str], out: IO[str]) -> None:
    _check(config)
    model = Model(config)
    try:
        server = await Front(config, model).listen()
    except OSError as error:
        raise LoadFailed(f"port {config.port} cannot be listened on: {error}") from None
    context = config.context
    if config.preload:
        async with model.lease() as llama:
            context = llama.context
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_stop_after, args=(stdin,), daemon=True).start()
    _answer(out, Ready(ready=True, port=config.port, context=context))
    await server.serve_forever()


def _check(config: Config) -> None:
    """Find out at the start what would fail at the first call; raises LoadFailed."""
    check_file(config.gguf, "`standpipe models pull` fetches the default model")
    for name, path in config.adapters.items():
        check_file(path, f"it is the adapter {name!r} of {config.name!r}")
    if importlib.util.find_spec("xllamacpp") is None:
        raise LoadFailed(EXTRA)


def _stop_after(stdin: Iterator[str]) -> None:
    for _ in stdin:
        pass
    _stop()


def _stop(*_: object) -> NoReturn:
    # Freeing the server waits for requests in flight; the supervisor has waited for them already.
    os._exit(0)


def _answer(out: IO[str], ready: Ready) -> None:
    out.write(msgspec.json.encode(ready).decode() + "\n")
    out.flush()


def _config(line: str) -> Config:
    try:
        return msgspec.json.decode(line, type=Config)
    except msgspec.DecodeError as error:
        raise LoadFailed(f"the engine's configuration on stdin cannot be read: {error}") from None


def _own_stdout() -> IO[str]:
    """Keep stdout for our one line: what llama.cpp prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


if __name__ == "__main__":
    main(sys.stdin, _own_stdout())
