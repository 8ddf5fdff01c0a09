"""What the misbehaving provider says on the routes beside chat completions.

Each answer is made of the same pieces of text and the same usage as a completion.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

_VECTOR = [0.1, -0.2, 0.3]


def _named(identity: str, kind: str, body: Json) -> Json:
    return {
        "id": identity,
        "object": kind,
        "model": f"{body.get('model', '')}-2025-06-01",
        "x_vendor": {"kept": True},
    }


def embeddings(identity: str, pieces: list[str], usage: Json, body: Json) -> Json:
    del pieces
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [{"object": "embedding", "index": i, "embedding": _VECTOR} for i in range(len(inputs))]
    named = {n: v for n, v in _named(identity, "list", body).items() if n != "id"}
    counted = dict.fromkeys(("prompt_tokens", "total_tokens"), usage["prompt_tokens"])
    return {**named, "data": data, "usage": counted}


def text_completion(identity: str, pieces: list[str], usage: Json, body: Json) -> Json:
    choice = {"text": "".join(pieces), "index": 0, "logprobs": None, "finish_reason": "stop"}
    named = _named(identity, "text_completion", body)
    return {**named, "created": 1_750_000_000, "choices": [choice], "usage": usage}


def text_chunks(identity: str, pieces: list[str], usage: Json, body: Json) -> list[bytes]:
    frame = {**_named(identity, "text_completion", body), "created": 1_750_000_000}
    said = []
    for text, reason in [*((piece, None) for piece in pieces), ("", "stop")]:
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
        said.append({**frame, "choices": [choice]})
    if (body.get("stream_options") or {}).get("include_usage"):
        said.append({**frame, "choices": [], "usage": usage})
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in said] + [
        b"data: [DONE]\n\n"
    ]


def response(identity: str, pieces: list[str], usage: Json, body: Json) -> Json:
    content = [{"type": "output_text", "text": "".join(pieces), "annotations": []}]
    message = {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": content,
    }
    counted = {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": usage["total_tokens"],
    }
    return {
        **_named(identity, "response", body),
        "created_at": 1_750_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": body.get("metadata") or {},
        "output": [message],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": counted,
    }


def response_events(identity: str, pieces: list[str], usage: Json, body: Json) -> list[bytes]:
    whole = response(identity, pieces, usage, body)
    (item,) = whole["output"]
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    said: list[Json] = [
        {"type": "response.created", "response": begun},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "content": [], "status": "in_progress"},
        },
        {
            "type": "response.content_part.added",
            **place,
            "part": {"type": "output_text", "text": "", "annotations": []},
        },
        *(
            {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
            for piece in pieces
        ),
        {
            "type": "response.output_text.done",
            **place,
            "text": item["content"][0]["text"],
            "logprobs": [],
        },
        {"type": "response.content_part.done", **place, "part": item["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return [_event({**event, "sequence_number": i}) for i, event in enumerate(said)]


def _event(event: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())


Whole = Callable[[str, list[str], Json, Json], Json]
Events = Callable[[str, list[str], Json, Json], list[bytes]]

#: What a path answers, whole and as events; None where it has no events.
ANSWERS: dict[str, tuple[Whole, Events | None]] = {
    "/embeddings": (embeddings, None),
    "/completions": (text_completion, text_chunks),
    "/responses": (response, response_events),
}
