"""Asking a running server with one key, under either prefix."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serving import PATIENCE, Answer, Standpipe, call

from standpipe.api.endpoints import PREFIXES

CHAT = "/chat/completions"
HI = [{"role": "user", "content": "Hi"}]


@dataclass(frozen=True)
class Asker:
    """Somebody with a key."""

    server: Standpipe
    token: str
    #: The key's public id.
    key: str = ""

    def ask(self, method: str, path: str, body: Any = None, *, prefix: str = PREFIXES[0]) -> Answer:
        return call(self.server, method, prefix + path, body, root=True, key=self.token)

    def send(self, path: str, body: bytes) -> Answer:
        """POST these bytes, whatever they are, as JSON."""
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.server.url + path, body, sent)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def get(self, path: str, *, prefix: str = PREFIXES[0]) -> Any:
        """Return the JSON of a 200."""
        return self._good(self.ask("GET", path, prefix=prefix))

    def post(self, path: str, body: Any) -> Any:
        """Return the JSON of a 200."""
        return self._good(self.ask("POST", path, body))

    def chat(self, model: str = "ok", **fields: Any) -> Any:
        """Return the completion of a call, with its `x-request-id` as `request_id`."""
        answer = self.ask("POST", CHAT, {"model": model, "messages": HI, **fields})
        return {**self._good(answer), "request_id": answer.headers["x-request-id"]}

    def stored(self, query: str = "") -> list[Any]:
        """Return the listed completions."""
        data: list[Any] = self.get(CHAT + query)["data"]
        return data

    def latest(self) -> Any:
        """Return the latest logged call; the server must run with `local_testing`."""
        return self.get("/local-testing-only-get-latest-logged-call")

    @staticmethod
    def _good(answer: Answer) -> Any:
        assert answer.status == 200, answer.body
        return answer.json


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; a guard against hangs, not a goal."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)
