"""What docs/adding-a-provider.md says to do, done."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import misbehaving
import pytest
from calling import Gateway
from serving import call, serving
from typing_extensions import override

from standpipe import config
from standpipe.calls import upstreams
from standpipe.errors import BadRequest
from standpipe.providers import fidelity, known, known_quirks
from standpipe.providers.dialect import Dialect, Quirks
from standpipe.providers.known import Known
from standpipe.providers.rows import completed
from standpipe.wire import chat, fold

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-provider.md").read_text()
BLOCKS = re.findall(r"^```(\w+)( dialect)?\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
TOML = next(text for kind, _, text in BLOCKS if kind == "toml")
ROW = next(text for kind, mark, text in BLOCKS if kind == "python" and not mark)
DIALECT = next(text for kind, mark, text in BLOCKS if kind == "python" and mark)

LINES: list[dict[str, Any]] = [
    {"model": "tiny-0.1", "created_at": "t", "message": {"role": "assistant", "content": "Grü"}},
    {"model": "tiny-0.1", "created_at": "t", "message": {"role": "assistant", "content": "ße"}},
    {
        "model": "tiny-0.1",
        "created_at": "t",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 3,
        "eval_count": 2,
    },
]
WHOLE = {**LINES[-1], "message": {"role": "assistant", "content": "Grüße"}}


def test_table_in_the_file_is_all_that_a_place_needs(tmp_path: Path) -> None:
    with misbehaving.running() as upstream:
        table = TOML.replace("http://127.0.0.1:8000/v1", upstream.url)
        with serving(tmp_path, table) as server:
            for model in ("tiny", "acme:tiny", "openpipe:acme/tiny"):
                body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
                answer = call(server, "POST", "/chat/completions", body)
                assert answer.json["model"] == model
                assert upstream.last.json["model"] == "tiny"


def test_row_and_its_key_are_all_that_a_known_place_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    row = eval(ROW, {"Known": Known, "quirk": known_quirks})
    monkeypatch.setitem(known.KNOWN, "acme", row)
    settings = completed(config.load(None, {"ACME_API_KEY": "k-1"}))
    provider = upstreams.providers(settings)["acme"]
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    request = chat.parse(json.dumps({**asked, "seed": 5}).encode())
    sent = json.loads(provider.dialect.prepare(request, "m", Quirks()).body)
    assert sent["random_seed"] == 5
    assert "seed" not in sent
    refused = chat.parse(json.dumps({**asked, "logprobs": True}).encode())
    with pytest.raises(BadRequest, match="logprobs"):
        fidelity.plan(refused, provider, best_effort=False)


@pytest.fixture
def dialect() -> Dialect:
    module = types.ModuleType("ollama")
    exec(compile(DIALECT, "docs/adding-a-provider.md", "exec"), module.__dict__)
    made: Dialect = module.Ollama()
    return made


class Handler(BaseHTTPRequestHandler):
    """Ollama's own form, as its page shows it."""

    def do_POST(self) -> None:
        assert self.path == "/api/chat"
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        lines = LINES if body["stream"] else [WHOLE]
        said = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self.send_response(200)
        kind = "application/x-ndjson" if body["stream"] else "application/json"
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def ollama() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("stream", [False, True])
def test_dialect_of_the_page_answers(tmp_path: Path, dialect: Dialect, *, stream: bool) -> None:
    with ollama() as url:
        gateway = Gateway(tmp_path, url, {}, dialect)
        reply = gateway.ask(stream=stream, temperature=0.5)
        assert reply.answer["choices"][0]["message"]["content"] == "Grüße"
        assert reply.answer["created"] > 0
        refused = gateway.ask(stream=stream, logprobs=True)
        assert (refused.status, refused.json["error"]["param"]) == (400, "logprobs")


def test_dialect_of_the_page_keeps_the_laws(dialect: Dialect) -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    request = chat.parse(json.dumps(asked).encode())
    data = b"".join(json.dumps(line).encode() + b"\n" for line in LINES)
    seen = set()
    for cut in range(len(data)):
        decoder = dialect.decoder(request, Quirks())
        events = decoder.feed(data[:cut]) + decoder.feed(data[cut:])
        decoder.close()
        seen.add(events)
    folded = fold.fold_stream(seen.pop())
    assert not seen
    assert folded.completion is not None
    assert folded.completion["choices"][0]["message"]["content"] == "Grüße"
