"""The real engine with the real weights, in a process, spoken to over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from standpipe.engine import weights
from standpipe.providers.dialect import Quirks
from standpipe.providers.local.dialect import Local
from standpipe.wire import chat
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

KEY = "k-5f2b8a"
NAME = "smollm2-135m-instruct"
DIALECT = Local()
DEADLINE_S = 60  # against hangs
_COMMAND = [sys.executable, "-m", "standpipe.engine.process"]


def gguf() -> Path:
    """Return the weights; fetch them where they are not yet."""
    home = Path(os.environ.get("STANDPIPE_HOME") or ".standpipe").resolve()
    return weights.find(home) or weights.pull(home, print)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def spawn(line: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the process and write one line to it; stdin stays open."""
    process = subprocess.Popen(
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(environ or {})},
    )
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process


def answer(process: subprocess.Popen[str]) -> Json:
    """Return the line that the process says when it is ready, or cannot be."""
    assert process.stdout is not None
    said: Json = json.loads(process.stdout.readline())
    return said


class Engine:
    """A running engine."""

    def __init__(self, *, port: int | None = None, **config: Any) -> None:
        self.port = port or free_port()
        fixed = {"gguf": str(gguf()), "port": self.port, "key": KEY, "name": NAME, "slots": 2}
        self.process = spawn(json.dumps({**fixed, **config}))
        self.said = answer(self.process)

    @contextmanager
    def open(
        self, path: str, body: bytes | None, key: str | None = KEY, method: str | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request and yield its answer's head; the connection ends with the block."""
        connection = self.send(path, body, key, method)
        with closing(connection), connection.getresponse() as head:
            yield head

    def send(
        self, path: str, body: bytes | None, key: str | None = KEY, method: str | None = None
    ) -> http.client.HTTPConnection:
        """Send a request and wait for nothing."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
        return connection

    def post(self, path: str, body: Json) -> tuple[int, bytes]:
        with self.open(path, json.dumps(body).encode()) as response:
            return response.status, response.read()

    def chat(self, **fields: Any) -> tuple[int, bytes]:
        """Call as the dialect does, with the least that a body needs filled in."""
        return self.post("/v1/chat/completions", adapted(**fields))

    def completion(self, **fields: Any) -> Json:
        status, body = self.chat(**fields)
        assert status == 200, body
        whole = DIALECT.completion(body, request(**fields))
        completion: Json = json.loads(whole.body)
        return completion

    def chunks(self, **fields: Any) -> list[Json]:
        status, body = self.chat(stream=True, **fields)
        assert status == 200, body
        decoder = DIALECT.decoder(request(stream=True, **fields), Quirks())
        events = decoder.feed(body)
        decoder.close()
        lines = events.decode().splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]

    def stop(self) -> None:
        self.process.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process.wait(DEADLINE_S)


def request(**fields: Any) -> ChatRequest:
    """Return the request with the least that a body needs filled in; a field None is left out."""
    body = {"messages": [{"role": "user", "content": "Say hi"}], "max_tokens": 8, **fields}
    return chat.parse(json.dumps({"model": NAME, **body}).encode())


def adapted(**fields: Any) -> Json:
    """Return the body that the dialect would send."""
    body: Json = json.loads(DIALECT.prepare(request(**fields), NAME, Quirks()).body)
    return body


@contextmanager
def running(*, port: int | None = None, **config: Any) -> Iterator[Engine]:
    """Run an engine; `config` is as `engine.llama.Config`."""
    engine = Engine(port=port, **config)
    try:
        yield engine
    finally:
        engine.stop()
