"""The webhook: told once of each threshold, signed, and told again where it does not listen."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typing_extensions import override

from standpipe.limits.alerts import Alerts
from standpipe.limits.ledger import Span, crossings
from standpipe.limits.limits import Limits
from standpipe.limits.messages import Subject

DOLLAR = 10**12
SECRET = "webhook-secret"
SPAN = Span("p", Subject("key", "k", Limits(dollars_per_day=Decimal(10))), "day", "2026-11-23")


class Hook(ThreadingHTTPServer):
    """Takes what it is told, and answers with the statuses it has, and then 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: list[int] = []
        self.told: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.told.append(({n.lower(): v for n, v in self.headers.items()}, body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    @override
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def named(span: Span) -> str:
    return f"name of {span.subject.id}"


def tell(url: str, *spent: int, pauses: tuple[float, ...] = (0.0,) * 3) -> None:
    """Tell of spending that grows by these dollars, and wait until all is told or given up."""

    async def scene() -> None:
        told, before = Alerts(url, SECRET, named, pauses), 0
        for more in spent:
            for crossing in crossings(SPAN, before, before + more * DOLLAR):
                told.tell(crossing)
            before += more * DOLLAR
        async with asyncio.timeout(60):
            await told.wait()
        await told.close()

    asyncio.run(scene())


def test_each_threshold_is_told_once_and_signed(hook: Hook) -> None:
    tell(hook.url, 7, 1, 1, 1, 5)
    bodies = [json.loads(body) for _, body in hook.told]
    assert sorted(bodies, key=lambda body: body["threshold"]) == [
        {
            "type": "budget",
            "threshold": threshold,
            "project": "p",
            "of": "key",
            "id": "k",
            "name": "name of k",
            "period": "day",
            "start": "2026-11-23",
            "spent": spent,
            "limit": "10",
        }
        for threshold, spent in ((80, "8"), (100, "10"))
    ]
    for headers, body in hook.told:
        signed = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert headers["standpipe-signature"] == f"sha256={signed}"
        assert headers["content-type"] == "application/json"


def test_webhook_that_fails_is_told_again_and_a_redirect_is_not_followed(hook: Hook) -> None:
    hook.statuses = [500, 302, 404]
    tell(hook.url, 8)
    assert len(hook.told) == 4
    assert len({body for _, body in hook.told}) == 1


def test_webhook_that_is_not_there_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    tell("http://127.0.0.1:1/token-canary", 10)
    assert "the webhook was not told" in caplog.text
    assert "token-canary" not in caplog.text


def test_nobody_is_told_where_there_is_no_webhook(hook: Hook) -> None:
    tell("", 10)
    assert hook.told == []
