"""The texts of a call as the semantic conventions have them: messages that are made of parts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from standpipe.store.rows import Row

Json = dict[str, Any]

#: Fields of a request that the conventions have a word for.
PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
}


def texts(row: Row) -> Json:
    """Return the attributes that a call's texts make; what is no chat has only its parameters."""
    request, response = _object(row.request), _object(row.response)
    asked = _list(request.get("messages"))
    answered = [_answer(each) for each in _list(response.get("choices")) if "message" in each]
    numbers = ((name, request.get(field)) for field, name in PARAMETERS.items())
    return {
        **{name: value for name, value in numbers if _is_number(value)},
        "gen_ai.input.messages": _json([_message(each) for each in asked]),
        "gen_ai.output.messages": _json(answered),
        "gen_ai.tool.definitions": _json(_list(request.get("tools"))),
    }


def _is_number(value: object) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _object(text: str | None) -> Json:
    try:
        value = msgspec.json.decode(text) if text else {}
    except (msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Json]:
    """Return the objects of a list, nothing of what is none: a record may hold anything."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _json(value: list[Json]) -> str | None:
    try:
        return msgspec.json.encode(value).decode() if value else None
    except (OverflowError, UnicodeEncodeError, RecursionError):  # not all that is JSON can be said
        return None


def _answer(choice: Json) -> Json:
    message = choice["message"] if isinstance(choice["message"], dict) else {}
    return {**_message(message), "finish_reason": choice.get("finish_reason")}


def _message(message: Json) -> Json:
    return {"role": message.get("role"), "parts": list(_parts(message))}


def _parts(message: Json) -> Iterator[Json]:
    content = message.get("content")
    if message.get("role") == "tool":
        yield {
            "type": "tool_call_response",
            "id": message.get("tool_call_id"),
            "response": content,
        }
        return
    if reasoning := message.get("reasoning_content"):
        yield {"type": "reasoning", "content": reasoning}
    if isinstance(content, str) and content:
        yield {"type": "text", "content": content}
    for part in _list(content):
        yield {"type": "text", "content": part["text"]} if "text" in part else part
    for call in _list(message.get("tool_calls")):
        function = call.get("function")
        told = function if isinstance(function, dict) else {}
        yield {
            "type": "tool_call",
            "id": call.get("id"),
            "name": told.get("name"),
            "arguments": told.get("arguments"),
        }
