"""What an orchestrator asks: whether a process answers, and whether to send it calls."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import misbehaving
import pytest
import serving
from asking import CHAT, HI, until
from misbehaving import Misbehaving
from serving import Standpipe, call
from starlette.requests import Request
from starlette.responses import Response

from standpipe.api import health
from standpipe.api.health import Health
from standpipe.api.presence import Presence
from standpipe.api.store_state import StoreState
from standpipe.calls.callers import Callers
from standpipe.calls.content import contents
from standpipe.calls.keeping import Keeper
from standpipe.config import Settings
from standpipe.spool import Spool, new_boot
from standpipe.store import Store


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    with misbehaving.running() as provider:
        yield provider


def ready(server: Standpipe) -> tuple[int, Any]:
    answer = call(server, "GET", "/health/ready", root=True, key=" ")
    return answer.status, answer.json["reasons"]


def rename(home: Path, old: str, new: str) -> None:
    with closing(sqlite3.connect(home / "standpipe.db", timeout=30)) as database:
        database.execute(f"ALTER TABLE {old} RENAME TO {new}")


def test_a_server_without_its_store_is_ready_while_a_key_is_known(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    provider = serving.provider("openai", upstream.url, api_key='"sk-upstream"', models='["ok"]')
    with serving.serving(tmp_path, provider) as server:
        until(lambda: ready(server) == (200, []))
        rename(tmp_path, "api_keys", "elsewhere")
        until(lambda: ready(server) == (503, ["store is unavailable"]))
        live = call(server, "GET", "/health/live", root=True, key=" ")
        assert (live.status, live.json) == (200, {"status": "ok"})
        rename(tmp_path, "elsewhere", "api_keys")
        until(lambda: ready(server) == (200, []))
        body = {"model": "ok", "messages": HI}
        assert call(server, "POST", CHAT, body).status == 200
        rename(tmp_path, "api_keys", "elsewhere")
        until(lambda: call(server, "GET", "/health", root=True).json["store"] == "unavailable")
        assert ready(server) == (200, [])
        assert call(server, "POST", CHAT, body).status == 200


def test_every_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SILENT_S", -1.0)
    request = Request({"type": "http"})
    directory = tmp_path / "spool"
    store = Store.open(f"sqlite:///{tmp_path / 'standpipe.db'}")
    spool = Spool(directory, boot=new_boot(), worker=0, segment_bytes=1 << 16)
    with closing(store), closing(spool):
        presence = Presence(
            *(tmp_path, "worker-0"), Keeper(spool, contents(Settings()), when_full="refuse"), {}
        )
        callers = Callers(store, grace=60)
        handler = Health(StoreState(store, callers), callers, directory, presence)
        presence.is_stopping = True
        answer: Response = asyncio.run(handler.ready(request))
    assert answer.status_code == 503
    assert answer.body == b'{"status":"not ready","reasons":["stopping","drain is silent"]}'
