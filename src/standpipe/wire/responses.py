"""OpenAI's responses: their usage, and what the events of one add up to.

Source: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

#: The last event of a stream; each holds the whole response.
ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")

#: A response's usage to a chat completion's.
_USAGE = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}

#: Why a response is not complete, in a chat completion's words.
_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


def usage(told: object) -> Json | None:
    """Return a response's usage as a chat completion's, None if it has none."""
    if not isinstance(told, dict):
        return None
    return {theirs: told[ours] for ours, theirs in _USAGE.items() if ours in told}


def finish_reason(response: Json) -> str | None:
    """Return a response's status as a chat completion's `finish_reason`."""
    if response.get("status") == "completed":
        called = any(str(item.get("type")).endswith("_call") for item in items(response))
        return "tool_calls" if called else "stop"
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return _REASONS.get(str(reason))


def error_message(response: Json) -> str | None:
    """Return what a failed response says of its failure."""
    error = response.get("error")
    said = error.get("message") if isinstance(error, dict) else None
    return said if isinstance(said, str) else None


def items(response: Json) -> list[Json]:
    """Return a response's output, as far as it has the form of items."""
    output = response.get("output")
    found = output if isinstance(output, list) else []
    return [item for item in found if isinstance(item, dict)]


def fold(events: Iterable[Json]) -> Json | None:
    """Return the response that events add up to, None if they never told of one.

    The last event holds it whole. Without it, the response is what it was at its beginning, with
    the items that were finished and the text of the one that was not.
    """
    begun: Json | None = None
    done: list[Json] = []
    text: list[str] = []
    for event in events:
        response, kind = event.get("response"), event.get("type")
        begun = response if isinstance(response, dict) else begun
        if kind in ENDS and begun is not None:
            return begun
        if kind == "response.output_item.done" and isinstance(event.get("item"), dict):
            done.append(event["item"])
            text.clear()
        elif kind == "response.output_text.delta" and isinstance(event.get("delta"), str):
            text.append(event["delta"])
    return None if begun is None else {**begun, "output": [*done, *_unfinished(text)]}


def _unfinished(text: list[str]) -> list[Json]:
    if not text:
        return []
    content = [{"type": "output_text", "text": "".join(text), "annotations": []}]
    return [{"type": "message", "role": "assistant", "status": "incomplete", "content": content}]
