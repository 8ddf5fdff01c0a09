"""Secrets to put everywhere, a provider that tells them, and every place where they could come out.

A canary is a text of its own for each place that it is put into. Those that are `found` have the
form of something that the built-in patterns find; the others are secrets of the configuration.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import doubles
import psutil
import zstandard
from doubles import Asked, Double, Said
from serving import Answer, Standpipe, call

from standpipe.spool import reader
from standpipe.spool.reader import Frame
from standpipe.store.dictionary import DICTIONARY

Json = dict[str, Any]

PROVIDER_KEY = "pk-canary-of-the-provider-4711"
UNUSED_KEY = "pk-canary-of-another-provider-4712"
FIRST_KEY = "canary-of-the-first-key-4713"
PASSWORD = "canary-of-the-database-4714"
PROXY_PASSWORD = "canary-of-the-proxy-4715"

#: Where a caller's texts go in, and what an upstream says by itself.
PLACES = (
    "prompt", "arguments", "metadata", "tag", "agent", "header", "query", "path", "field", "model",
    "refused", "cut", "error", "vendor", "hook", "report", "reported", "label",
)  # fmt: skip


def canary(place: str, who: str) -> str:
    """Return what is put into a place by somebody; an e-mail address, so that patterns find it.

    All of a place are as long: tokens may be estimated from it.
    """
    return f"canary.{place}.{who:x<8}@birds.example"


@dataclass
class Found:
    """All bytes that came out of a server, by where."""

    sinks: dict[str, bytes] = field(default_factory=dict, repr=False)

    def add(self, sink: str, said: bytes | str) -> None:
        data = said.encode() if isinstance(said, str) else said
        self.sinks[sink] = self.sinks.get(sink, b"") + b"\n" + data

    def holding(self, text: str) -> list[str]:
        """Return the sinks that hold a text, be it in the middle of JSON."""
        return [sink for sink, data in self.sinks.items() if text.encode() in data]


@dataclass
class Caller:
    """Somebody with a key, all of whose answers are noted."""

    server: Standpipe
    found: Found
    name: str
    token: str
    #: The answers' fidelity headers by what was asked.
    told: dict[str, str] = field(default_factory=dict)

    def canary(self, place: str) -> str:
        return canary(place, self.name)

    def ask(self, what: str, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"User-Agent": self.canary("agent"), "X-Unknown": self.canary("header"), **sent}
        answer = call(self.server, method, path, body, key=self.token, headers=sent)
        self.found.add(f"answer: {what}", answer.body)
        self.found.add(f"headers: {what}", json.dumps(answer.headers))
        self.told[what] = answer.headers.get("standpipe-fidelity", "")
        return answer

    def chat(self, model: str, text: str, **fields: Any) -> Answer:
        messages = [{"role": "user", "content": text}]
        return self.ask(
            f"{model} {fields.get('stream', False)}",
            *("POST", "/chat/completions"),
            {"model": f"there:{model}", "messages": messages, **fields},
        )


@contextlib.contextmanager
def telling() -> Iterator[Double]:
    """Run a provider that tells whatever it was told, its key above all."""
    with doubles.running(_answer) as provider:
        yield provider


def _answer(asked: Asked) -> Said:
    kind = str(asked.body["model"])
    key = asked.headers["authorization"]
    text = str(asked.body["messages"][-1]["content"])
    said = f"you said {text} with {key}"
    vendor = {"x-vendor": text.replace(".error.", ".vendor."), "set-cookie": key}
    if kind == "refused":
        message = f"{said} {text.replace('.error.', '.refused.')}"
        error = {"message": message, "type": "invalid_request_error"}
        return Said({"error": error}, status=400, headers=vendor)
    if kind == "wrong-key":
        return Said({"error": {"message": f"Incorrect API key: {key}"}}, status=401)
    arguments = json.dumps({"said": said})
    called = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    whole = doubles.completion({"role": "assistant", "content": said, "tool_calls": called})
    whole["model"] = f"model-{key}"
    told = doubles.as_openai(whole, asked.body)
    events = list(told.events)
    if kind == "cut":
        error = {"message": f"{said} {text.replace('.error.', '.cut.')}"}
        events = [*events[:2], b"data: " + json.dumps({"error": error}).encode() + b"\n\n"]
    return Said(told.body, events, headers=vendor)


def everything(server: Standpipe, found: Found) -> None:
    """Add what is in the server's files, processes and pages; its configuration left out."""
    for path in sorted(server.home.rglob("*")):
        if path.is_file() and path.name != "standpipe.toml":
            found.add(f"file {path.name}", path.read_bytes())
    for path in (server.home / "spool").iterdir():
        if path.suffix in {".seg", ".zst"}:
            found.add("segments", b"".join(_payloads(path)))
    database = server.home / "standpipe.db"
    if database.exists():
        found.add("database", b"\n".join(_values(database)))
    _processes(server, found)
    for page in ("/health", "/metrics", "/openapi.json", "/"):
        found.add(f"page {page}", call(server, "GET", page, root=True).body)


def _payloads(path: Path) -> Iterator[bytes]:
    return (each.payload for each in reader.each_frame(path) if isinstance(each, Frame))


def _values(database: Path) -> Iterator[bytes]:
    """Yield every value of every table, those that are compressed as they were too."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield from (part for value in row for part in _forms(value))


def _forms(value: object) -> Iterator[bytes]:
    data = value if isinstance(value, bytes) else str(value).encode()
    yield data
    for start in (0, 1):  # a tag may say how it was compressed
        with contextlib.suppress(zstandard.ZstdError):
            yield _decompressed(data[start:])


def _decompressed(data: bytes) -> bytes:
    decompressor = zstandard.ZstdDecompressor(dict_data=DICTIONARY)
    return decompressor.decompress(data, max_output_size=1 << 20)


#: Who may have the secrets of the configuration: who reads it, and who answers calls.
_MAY_KNOW = ("standpipe.worker", "serve", "standpipe.cli.prepare")


def _processes(server: Standpipe, found: Found) -> None:
    supervisor = psutil.Process(server.process.pid)
    for process in (supervisor, *supervisor.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            line = process.cmdline()
            found.add("command lines", "\n".join(line))
            if not any(word in line for word in _MAY_KNOW):
                found.add("environments", "\n".join(process.environ().values()))
