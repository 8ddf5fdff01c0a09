"""What the engine's errors mean to a caller. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from standpipe import errors

Json = dict[str, Any]

# What llama.cpp says of a request, the field it is about, and our words where its own mislead.
_SAYINGS: tuple[tuple[re.Pattern[str], str, str | None], ...] = (
    (re.compile(r"(JSON schema .*)", re.DOTALL), "response_format", None),
    (
        re.compile(r"failed to parse grammar"),
        "response_format",
        "the schema is too large for the local model: smaller bounds on lengths and items may do",
    ),
    (
        re.compile(r"does not match the expected"),
        "response_format",
        "the local model's answer cannot be read back by this schema; a simpler pattern may do",
    ),
    (re.compile(r"response_format"), "response_format", None),
    (re.compile(r"Field '([\w.]+)'"), "", None),
)


def error(status: int, body: bytes) -> errors.ApiError:
    """Return the error that an answer of the engine's with an error status stands for."""
    said = _said(body)
    message = str(said.get("message") or f"the local model answered {status}")
    if said.get("type") == "exceed_context_size_error":
        return _too_long(said)
    if said.get("type") == "adapter_not_found":
        return errors.NotFound(message)
    for pattern, param, words in _SAYINGS:
        if found := pattern.search(message):
            text = words or (found[0] if param and found.groups() else message)
            return _bad(param or found[1], text)
    if status in {400, 413, 422}:
        return errors.BadRequest(f"the local model refused the request: {message}")
    return errors.Unavailable(f"the local model cannot answer now: {message}")


def _said(body: bytes) -> Json:
    try:
        said = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    said = said.get("error") if isinstance(said, dict) else None
    return said if isinstance(said, dict) else {}


def _bad(param: str, text: str) -> errors.BadRequest:
    return errors.BadRequest(f"{param}: {text}", param=param)


def _too_long(said: Json) -> errors.BadRequest:
    return errors.BadRequest(
        f"This model's maximum context length is {said.get('n_ctx')} tokens. However, your "
        f"messages resulted in {said.get('n_prompt_tokens')} tokens. Please reduce the length of "
        "the messages.",
        param="messages",
        openai_code="context_length_exceeded",
    )
