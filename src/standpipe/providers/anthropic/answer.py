"""An answer's parts, from Anthropic's form into OpenAI's: content, reasons, usage, errors. Pure.

https://platform.claude.com/docs/en/api/messages, seen 2026-11. Answers are data from elsewhere:
what is not of the form that it should be is left out, and nothing here raises but `message_of`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from standpipe.errors import ApiError, KeyRefused, NotACompletion, Refused
from standpipe.providers.openai import CODES, seconds
from standpipe.wire import usage as usages
from standpipe.wire.fold import decode_object
from standpipe.wire.lenient import mapping, objects, text

Json = dict[str, Any]

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

#: Anthropic's counts, and where each is in OpenAI's usage.
_COUNTS = (
    "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens",
)  # fmt: skip
_TIERS = {"standard": "default", "priority": "priority", "batch": "flex"}


def message_of(body: bytes) -> Json:
    """Return the message of an answer; raises NotACompletion if it is none."""
    message = decode_object(body)
    if message is None:
        raise NotACompletion("the provider answered 200 with something that is not a JSON object")
    if isinstance(message.get("content"), list):
        return message
    said = error_text(message)
    raise NotACompletion(
        f"the provider answered 200 with an error: {said}"
        if said
        else "the provider answered 200 with JSON that has no `content`"
    )


def completion(message: Json, model: str, forced: str | None = None) -> Json:
    """Return an Anthropic message as OpenAI's completion; the caller sets `created`.

    `forced` is the tool whose call is the answer itself.
    """
    said = _said(objects(message.get("content")), forced)
    reason = message.get("stop_reason")
    choice = {
        "index": 0,
        "message": {**said, **refusal(message.get("stop_details"))},
        "logprobs": None,
        "finish_reason": finish(reason, has_calls=bool(said.get("tool_calls"))),
        **details(message),
    }
    body: Json = {
        "id": text(message.get("id")),
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
    }
    counts = usage(mapping(message.get("usage")))
    return {**body, **tier(mapping(message.get("usage"))), **({"usage": counts} if counts else {})}


def _said(blocks: list[Json], forced: str | None) -> Json:
    spoken = "".join(spoken_text(block, forced) for block in blocks)
    thoughts = [block for block in blocks if is_thought(block)]
    calls = [block for block in blocks if is_call(block, forced)]
    cited = cited_in(blocks, forced)
    optional = {
        "tool_calls": [_call(block) for block in calls],
        "reasoning_content": "".join(text(block.get("thinking")) for block in thoughts),
        "thinking_blocks": [{"index": i, **block} for i, block in enumerate(thoughts)],
        **cited,
    }
    message: Json = {"role": "assistant", "content": spoken or None, "refusal": None}
    return {**message, **{name: value for name, value in optional.items() if value}}


def spoken_text(block: Json, forced: str | None) -> str:
    """Return the part of the answer's text that a block is."""
    if block.get("type") == "text":
        return text(block.get("text"))
    if block.get("type") == "tool_use" and block.get("name") == forced:
        return arguments(block.get("input"))
    return ""


def is_thought(block: Json) -> bool:
    """Tell a block of thinking, readable or not."""
    return block.get("type") in {"thinking", "redacted_thinking"}


def is_call(block: Json, forced: str | None) -> bool:
    """Tell a call of one of the caller's tools."""
    return block.get("type") == "tool_use" and block.get("name") != forced


def _call(block: Json) -> Json:
    function = {"name": text(block.get("name")), "arguments": arguments(block.get("input"))}
    return {"id": text(block.get("id")), "type": "function", "function": function}


def arguments(value: object) -> str:
    """Return a tool's input as the JSON that OpenAI writes."""
    return msgspec.json.encode(value if isinstance(value, dict) else {}).decode()


def cited_in(blocks: list[Json], forced: str | None) -> Json:
    """Return `annotations`, and `citations` for sources that have no URL."""
    cited: dict[str, list[Json]] = {"annotations": [], "citations": []}
    at = 0
    for block in blocks:
        end = at + len(spoken_text(block, forced))
        for citation in objects(block.get("citations")):
            _cite(cited, citation, at, end)
        at = end
    return dict(cited)


def _cite(cited: dict[str, list[Json]], citation: Json, start: int, end: int) -> None:
    span = {"start_index": start, "end_index": end}
    url = citation.get("url") or citation.get("source")
    if not isinstance(url, str):
        cited["citations"].append({**citation, **span})
        return
    told = {**span, "title": text(citation.get("title")), "url": url}
    cited["annotations"].append({"type": "url_citation", "url_citation": told})


def finish(reason: object, *, has_calls: bool) -> str:
    """Return OpenAI's `finish_reason`; a reason that we don't know is a stop."""
    found = FINISH.get(reason, "stop") if isinstance(reason, str) else "stop"
    # The one call may have been the answer itself.
    return "stop" if found == "tool_calls" and not has_calls else found


def refusal(said: object) -> Json:
    """Return the message's `refusal` where Anthropic explains one."""
    why = mapping(said).get("explanation")
    return {"refusal": why} if isinstance(why, str) and why else {}


def details(message: Json) -> Json:
    """Return what a choice has beside OpenAI's own fields: the filter's category, the stop.

    `stop_reason` is the sequence that stopped the answer, as vLLM tells it.
    """
    found: Json = {}
    category = mapping(message.get("stop_details")).get("category")
    if isinstance(category, str) and category:
        found["content_filter_results"] = {category: {"filtered": True}}
    if isinstance(message.get("stop_sequence"), str):
        found["stop_reason"] = message["stop_sequence"]
    return found


def tier(said: Json) -> Json:
    """Return `service_tier` as OpenAI names it."""
    found = said.get("service_tier")
    return {"service_tier": _TIERS.get(found, found)} if isinstance(found, str) else {}


def usage(said: Json) -> Json | None:
    """Return OpenAI's usage; None if Anthropic's counts are not there.

    Anthropic counts what was read from the cache or written to it beside `input_tokens`.
    """
    fresh, read, written, out = (_count(said.get(name)) for name in _COUNTS)
    if fresh is None or out is None:
        return None
    prompt = fresh + (read or 0) + (written or 0)
    told: Json = {"prompt_tokens": prompt, "completion_tokens": out, "total_tokens": prompt + out}
    kinds = mapping(said.get("cache_creation"))
    cached = {
        "cached_tokens": read,
        "cache_creation_tokens": written,
        "cache_creation_token_details": kinds or None,
    }
    if found := {name: count for name, count in cached.items() if count is not None}:
        told["prompt_tokens_details"] = found
    thought = _count(mapping(said.get("output_tokens_details")).get("thinking_tokens"))
    if thought is not None:
        told["completion_tokens_details"] = {"reasoning_tokens": thought}
    return usages.complete(told)


def summed(known: Json, more: Json) -> Json:
    """Return the usage of a stream so far: its counts only grow, and not every event has all."""
    merged = {**known, **{name: value for name, value in more.items() if value is not None}}
    for name in _COUNTS:
        counts = [_count(part.get(name)) for part in (known, more)]
        if found := [count for count in counts if count is not None]:
            merged[name] = max(found)
    return merged


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 2**63 and value == int(value) else None


#: What Anthropic's type of an error is called by OpenAI.
_TYPES = {
    "not_found_error": "invalid_request_error",
    "request_too_large": "invalid_request_error",
    "billing_error": "insufficient_quota",
    "rate_limit_error": "rate_limit_error",
    "overloaded_error": "server_error",
    "timeout_error": "server_error",
    "api_error": "server_error",
}
#: Statuses of Anthropic's own, and the known ones that mean the same.
_STATUSES = {529: 503}
#: A field that Anthropic names first in its message, and what the caller calls it.
_NAMED = re.compile(r"([a-z_]+)(?:\.[\w.]+)?: ")
_FIELDS = {
    "messages": "messages", "system": "messages", "model": "model", "tools": "tools",
    "tool_choice": "tool_choice", "temperature": "temperature", "top_p": "top_p",
    "top_k": "top_k", "max_tokens": "max_tokens", "stop_sequences": "stop", "metadata": "user",
    "thinking": "reasoning_effort", "output_config": "response_format",
}  # fmt: skip
_TOO_LONG = re.compile(r"prompt is too long|exceeds? (?:the )?(?:maximum )?context", re.IGNORECASE)


def error_text(body: Json) -> str:
    """Return the message of an error body, empty if there is none."""
    error = body.get("error")
    return text(mapping(error).get("message")) or text(error) or text(body.get("message"))


def error(status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str) -> ApiError:
    """Return the error that an answer with `status` other than 200 stands for."""
    if status in {401, 403}:
        return KeyRefused(
            f"provider {provider!r} refused its key with status {status}; "
            f"check api_key in [providers.{provider}]"
        )
    if status < 400:
        return NotACompletion(f"provider {provider!r} answered with status {status}, not 200")
    return _refused(_STATUSES.get(status, status), headers, body, provider)


def _refused(status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str) -> Refused:
    told = decode_object(body) or {}
    message = error_text(told)
    kind = text(mapping(told.get("error")).get("type"))
    default = "BAD_REQUEST" if status < 500 else "INTERNAL_SERVER_ERROR"
    fallback = "invalid_request_error" if status < 500 else "server_error"
    named = _NAMED.match(message)
    return Refused(
        status,
        CODES.get(status, default),
        message or f"provider {provider!r} answered with status {status}",
        openai_type=_TYPES.get(kind, kind or fallback),
        openai_code="context_length_exceeded" if _TOO_LONG.search(message) else None,
        param=_FIELDS.get(named[1]) if named else None,
        retry_after=seconds(headers.get(b"retry-after")),
        body=body,
    )
