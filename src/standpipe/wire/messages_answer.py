"""Completions and errors in Anthropic's form, for callers of its Messages API. Pure.

https://platform.claude.com/docs/en/api/messages and …/api/errors, seen 2026-11.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from standpipe.errors import ApiError
from standpipe.wire.lenient import mapping, objects, text
from standpipe.wire.record import Usage
from standpipe.wire.usage import from_openai

Json = dict[str, Any]

_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
#: Anthropic's type of an error by its status; below and above, by its class.
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def from_openai_completion(completion: Json, model: str) -> Json:
    """Return a chat completion as an Anthropic message, `model` as the caller asked."""
    choice = next(iter(objects(completion.get("choices"))), {})
    return {
        "id": text(completion.get("id")),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(_content(mapping(choice.get("message")))),
        **stop(choice),
        "usage": usage(completion.get("usage")),
        **judged(choice),
    }


def judged(choice: Json) -> Json:
    """Return what criteria said of a choice, a field of ours; nothing where none was asked."""
    name = "criteria_results"
    return {name: choice[name]} if name in choice else {}


def _content(message: Json) -> Iterator[Json]:
    yield from thoughts(message)
    if spoken := said(message):
        yield {"type": "text", "text": spoken}
    for call in objects(message.get("tool_calls")):
        yield _tool_use(call)
    if legacy := mapping(message.get("function_call")):
        yield _tool_use({"id": f"call_{text(legacy.get('name'))}", "function": legacy})


def said(message: Json) -> str:
    """Return the text of a message or a delta: what it says, refuses, or speaks aloud."""
    spoken = text(mapping(message.get("audio")).get("transcript"))
    return text(message.get("content")) or text(message.get("refusal")) or spoken


def thoughts(message: Json) -> Iterator[Json]:
    """Yield the thoughts of a message or a delta as blocks, signed where they are."""
    blocks = objects(message.get("thinking_blocks"))
    for block in blocks:
        yield {name: value for name, value in block.items() if name != "index"}
    if not blocks and (thought := text(message.get("reasoning_content"))):
        yield {"type": "thinking", "thinking": thought, "signature": ""}


def _tool_use(call: Json) -> Json:
    function = mapping(call.get("function"))
    given = decoded_input(function.get("arguments"))
    return {"type": "tool_use", **named(call), "input": given}


def named(call: Json) -> Json:
    """Return id and name of a call."""
    return {"id": text(call.get("id")), "name": text(mapping(call.get("function")).get("name"))}


def decoded_input(arguments: object) -> Json:
    """Return a call's arguments as an object; what is none is kept as text in one."""
    if not isinstance(arguments, str) or not arguments.strip():
        return {}
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"raw_arguments": arguments}


def stop(choice: Json) -> Json:
    """Return the stop fields of a message for a choice that is finished."""
    reason = choice.get("finish_reason")
    found = _REASONS.get(reason, "end_turn") if isinstance(reason, str) else "end_turn"
    # Several providers tell here which of the caller's sequences it was.
    sequence = choice.get("stop_reason")
    if found == "end_turn" and isinstance(sequence, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
    told: Json = {"stop_reason": found, "stop_sequence": None}
    return {**told, "stop_details": _details(choice)} if found == "refusal" else told


def _details(choice: Json) -> Json:
    message = mapping(choice.get("message") or choice.get("delta"))
    category = next(iter(mapping(choice.get("content_filter_results"))), None)
    return {
        "type": "refusal",
        "category": category,
        "explanation": text(message.get("refusal")) or None,
    }


def usage(told: object) -> Json:
    """Return Anthropic's usage of OpenAI's; 0 where nobody said, since it must have a number."""
    found = from_openai(told) or Usage()
    written = found.cache_write_tokens or 0
    read = found.cached_tokens or 0
    counts: Json = {
        "input_tokens": max(0, (found.prompt_tokens or 0) - read - written),
        "output_tokens": found.completion_tokens or 0,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
    }
    if (hour := found.cache_write_1h_tokens) is not None:
        kinds = {"ephemeral_5m_input_tokens": max(0, written - hour)}
        counts["cache_creation"] = {**kinds, "ephemeral_1h_input_tokens": hour}
    if criteria := mapping(told).get("criteria"):
        counts["criteria"] = criteria
    if found.reasoning_tokens is None:
        return counts
    return {**counts, "output_tokens_details": {"thinking_tokens": found.reasoning_tokens}}


def error_body(error: ApiError, request_id: str | None = None) -> Json:
    """Return the JSON body of an error in Anthropic's shape; of a stream's last event too."""
    default = "invalid_request_error" if error.status < 500 else "api_error"
    kind = _TYPES.get(error.status, default)
    body: Json = {"type": "error", "error": {"type": kind, "message": error.message}}
    return body if request_id is None else {**body, "request_id": request_id}
