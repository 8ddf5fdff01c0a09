"""A collector on a real socket that keeps what it is told, or answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override


@dataclass
class Collector:
    """What came, and what the next requests are answered with; 200 when that is used up."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    requests: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    path: str = ""
    spans: list[dict[str, Any]] = field(default_factory=list)

    def take(self, handler: BaseHTTPRequestHandler) -> int:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        self.requests += 1
        self.path = handler.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            for resource in body["resourceSpans"]:
                self.spans += resource["scopeSpans"][0]["spans"]
        return status


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(collector.take(self))
            self.send_header("location", "http://127.0.0.1:1/")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        @override
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
