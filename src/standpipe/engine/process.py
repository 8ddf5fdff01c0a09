"""The child process that owns llama.cpp's server; run as `python -m standpipe.engine.process`.

It reads one JSON line from stdin, which keeps the key out of the argument list, answers one JSON
line on stdout, and serves until SIGTERM or until stdin ends, which means that its supervisor is
gone. It knows nothing of callers or of the gateway: to them it is an upstream on loopback.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NoReturn

import msgspec
from typing_extensions import override

HOST = "127.0.0.1"
LOAD_FAILED = 3  # exit code
_MAGIC = b"GGUF"
# One thread waits with each request and each idle connection of a worker, so that health checks
# and requests queue for a slot and not for a thread.
_HTTP_THREADS = 128


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the supervisor writes to stdin. `threads` None means the cores less one."""

    gguf: str
    port: int
    key: str
    name: str
    context: int = 8192
    slots: int = 4
    threads: int | None = None

    @override
    def __repr__(self) -> str:
        """Leave the key out."""
        return f"Config(gguf={self.gguf!r}, port={self.port}, name={self.name!r})"


class Ready(msgspec.Struct, frozen=True):
    """The line on stdout: `context` is in tokens; `error` says why `ready` is false."""

    ready: bool
    port: int = 0
    context: int = 0
    error: str | None = None


class LoadFailed(Exception):
    """The model cannot be served; the message says why and what would help."""


def main(lines: Iterable[str], out: IO[str]) -> NoReturn:
    """Serve as the first of `lines` says until they end or SIGTERM; exit 3 if it cannot."""
    # A Ctrl-C reaches the whole terminal group; the supervisor is who stops us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stdin = iter(lines)
    try:
        config = _config(next(stdin, ""))
        server = _load(config)  # serves for as long as it is held
        context = _context(config)
    except LoadFailed as error:
        _answer(out, Ready(ready=False, error=str(error)))
        sys.exit(LOAD_FAILED)
    signal.signal(signal.SIGTERM, _stop)
    _answer(out, Ready(ready=True, port=config.port, context=context))
    for _ in stdin:
        pass
    _stop(server)


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


def _load(config: Config) -> object:
    _check_file(Path(config.gguf))
    try:
        import xllamacpp
    except ImportError as error:
        raise LoadFailed(
            f"the local model needs xllamacpp ({error}); install it with: "
            "pip install 'standpipe[local]'"
        ) from None
    try:
        return xllamacpp.Server(_params(xllamacpp, config))
    except RuntimeError as error:
        raise LoadFailed(
            f"llama.cpp cannot serve {config.gguf} on port {config.port}: {error} The port may be "
            "taken, the file cut short or too new for this llama.cpp, or memory too small for a "
            f"context of {config.context} tokens."
        ) from None


def _check_file(gguf: Path) -> None:
    """Say plainly what llama.cpp only says as "failed to init"."""
    try:
        with gguf.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise LoadFailed(
            f"the weights {gguf} cannot be read ({error.strerror}); "
            "`standpipe models pull` fetches the default model"
        ) from None
    if magic != _MAGIC:
        raise LoadFailed(f"{gguf} is not a GGUF file: it does not begin with {_MAGIC.decode()!r}")


def _params(xllamacpp: Any, config: Config) -> object:
    params = xllamacpp.CommonParams()
    params.model.path = config.gguf
    params.model_alias = {config.name}
    params.n_ctx = config.context
    params.n_parallel = config.slots
    params.kv_unified = True  # one request may use the whole context
    params.n_batch = params.n_ubatch = 256
    threads = config.threads or max(1, len(os.sched_getaffinity(0)) - 1)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.use_jinja = True
    # OpenAI answers a trailing assistant message with a new one; llama.cpp would continue it.
    params.prefill_assistant = False
    # The host's prompt cache is keyed by tokens alone: it would mix adapters, and it grows to 8 GB.
    params.cache_ram_mib = 0
    params.verbosity = 0
    return _network(params, config)


def _network(params: Any, config: Config) -> object:
    params.hostnames = [HOST]
    params.port = config.port
    params.api_keys = [config.key]
    params.n_threads_http = max(_HTTP_THREADS, config.slots * 2)
    params.cors_origins = ""  # "*" by default: any page in a browser on this machine
    params.cors_credentials = False
    params.ui = False
    params.endpoint_slots = False  # shows prompts
    return params


def _context(config: Config) -> int:
    """Return the context that one request may use, in tokens, as the server itself answers it."""
    _get(config, "/health")
    properties = json.loads(_get(config, "/props"))
    context: int = properties["default_generation_settings"]["n_ctx"]
    return context


def _get(config: Config, path: str) -> bytes:
    connection = http.client.HTTPConnection(HOST, config.port, timeout=30)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {config.key}"})
        answer = connection.getresponse()
        body = answer.read()
    except OSError as error:
        raise LoadFailed(f"llama.cpp does not answer on port {config.port}: {error}") from None
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise LoadFailed(f"llama.cpp answers {answer.status} on {path}")
    return body


def _own_stdout() -> IO[str]:
    """Keep stdout for our one line: what llama.cpp prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


if __name__ == "__main__":
    main(sys.stdin, _own_stdout())
