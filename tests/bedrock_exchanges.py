"""Exchanges with Bedrock, in the forms that AWS publishes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from standpipe.providers.bedrock.frames import frame
from standpipe.wire import chat

Json = dict[str, Any]

FOLDER = Path(__file__).parent / "providers" / "exchanges" / "bedrock"
EXCHANGES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
FAILURES: list[Json] = EXCHANGES.pop("errors")


def request_of(exchange: Json, **more: Any) -> chat.ChatRequest:
    return chat.parse(json.dumps({"model": "asked", **exchange["request"], **more}).encode())


def event(kind: str, payload: Any, message_type: str = "event") -> bytes:
    headers = {f":{message_type}-type": kind, ":content-type": "application/json"}
    body = json.dumps(payload, ensure_ascii=False).encode()
    return frame({**headers, ":message-type": message_type}, body)


def stream_of(exchange: Json) -> bytes:
    return b"".join(event(kind, payload) for kind, payload in exchange["events"])
