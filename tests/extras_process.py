"""The real engines of speech and embeddings, in their process, spoken to over HTTP."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from local_engine import answer, free_port

from standpipe.calls.emulation.speech import Engines
from standpipe.config import Timeouts
from standpipe.engine import embedding_weights
from standpipe.upstream.pool import Pool
from standpipe.upstream.transport import Origin

Json = dict[str, Any]

KEY = "k-77aa01"
DEADLINE_S = 60  # against hangs
_COMMAND = [sys.executable, "-m", "standpipe.engine.extras"]


def embeddings() -> Path:
    """Return the folder of the embedding model; fetch it where it is not yet."""
    home = Path(os.environ.get("STANDPIPE_HOME") or ".standpipe").resolve()
    return embedding_weights.find(home) or embedding_weights.pull(home, print)


class Extras:
    """A running process."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def post(self, path: str, body: object, *, key: str = KEY) -> tuple[int, Json]:
        with closing(self.connect()) as connection:
            headers = {"Authorization": f"Bearer {key}"}
            connection.request("POST", path, json.dumps(body), headers)
            with connection.getresponse() as response:
                return response.status, json.loads(response.read())

    def speak(self, *texts: str, form: str = "wav") -> bytes:
        status, said = self.post("/v1/speech", {"texts": texts, "format": form})
        assert status == 200, said
        return base64.b64decode(said["data"], validate=True)

    def hear(self, data: bytes, form: str = "wav") -> str:
        status, said = self.transcribe(data, form)
        assert status == 200, said
        text: str = said["text"]
        return text

    def transcribe(self, data: bytes, form: str) -> tuple[int, Json]:
        return self.post(
            "/v1/transcriptions", {"data": base64.b64encode(data).decode(), "format": form}
        )

    def embed(self, **fields: Any) -> tuple[int, Json]:
        return self.post("/v1/embeddings", {"model": embedding_weights.MODEL, **fields})

    def speech(self) -> Engines:
        """Return the call layer's way to it, for one event loop."""
        pool = Pool(
            Origin.parse(f"http://127.0.0.1:{self.port}/v1"), timeouts=Timeouts(connect=10.0)
        )
        return Engines(pool, KEY)


def spawn(line: str) -> subprocess.Popen[str]:
    """Start the process and write one line to it; stdin stays open."""
    process = subprocess.Popen(
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process


@contextlib.contextmanager
def running_extras(*, audio: bool = True, embeddings: Path | None = None) -> Iterator[Extras]:
    port = free_port()
    config = {"port": port, "key": KEY, "audio": audio}
    if embeddings is not None:
        config["embeddings"] = str(embeddings)
    with spawn(json.dumps(config)) as process:
        try:
            assert answer(process) == {"ready": True, "port": port, "error": None}
            yield Extras(process, port)
        finally:
            process.kill()
