"""What is asked and answered when speed is measured: the same bytes for every gateway."""

from __future__ import annotations

import json
from typing import Any

#: Events of a stream that say something.
CHUNKS = 64
#: What each of them says; the mock writes the time of its sending into it.
TOKEN = "@0000000000000000@"

_WORDS = (
    "Explain to a new colleague how the billing service retries a failed charge, what it writes to "
    "the ledger, and which alerts fire. Keep the answer short and name the tables involved. "
)
_FRAME = {"id": "chatcmpl-9a8b7c6d5e4f3a2b1c0d", "created": 1_750_000_000, "model": "mock-model"}
_SAID = (
    "The gateway received your request and this is the fixed reply of the mock upstream; it is as "
    "long as a short answer of a chat model would be, so that parsing it and logging it costs what "
    "it would cost in real use, no more and no less than that."
)


def question(model: str, *, streamed: bool = False, size: int = 1434) -> bytes:
    """Return a request's body of about so many bytes, of which the last message is as long."""
    body: dict[str, Any] = {
        "model": model,
        "temperature": 0.2,
        "max_tokens": 256,
        "messages": [
            {"role": "system", "content": "You are careful. Answer in plain words. " + _WORDS},
            {"role": "user", "content": _WORDS},
            {"role": "assistant", "content": _WORDS},
            {"role": "user", "content": 'And when the "ledger" is down?\n'},
        ],
        "user": "user-1234",
        "metadata": {"team": "core"},
    }
    if streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    lacking = size - len(json.dumps(body))
    body["messages"][-1]["content"] += (_WORDS * (max(lacking, 0) // len(_WORDS) + 1))[:lacking]
    return json.dumps(body).encode()


def answer() -> bytes:
    """Return a completion of some 550 bytes."""
    message = {"role": "assistant", "content": _SAID, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    whole = {**_FRAME, "object": "chat.completion", "choices": [choice], "usage": _usage(48)}
    return _json(whole)


def events() -> list[bytes]:
    """Return the events of a stream: the chunks, then finish, usage and end as one piece."""
    chunk = _event(delta={"content": TOKEN}, finish=None)
    last = _event(delta={}, finish="stop")
    frame = {**_FRAME, "object": "chat.completion.chunk"}
    usage = b"data: " + _json({**frame, "choices": [], "usage": _usage(CHUNKS)}) + b"\n\n"
    return [chunk] * CHUNKS + [last + usage + b"data: [DONE]\n\n"]


def _event(*, delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {**_FRAME, "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: " + _json(chunk) + b"\n\n"


def _usage(said: int) -> dict[str, int]:
    return {"prompt_tokens": 312, "completion_tokens": said, "total_tokens": 312 + said}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
