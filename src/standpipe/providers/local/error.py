"""What the engine's errors mean to a caller. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from standpipe import errors

Json = dict[str, Any]

_FIELD = re.compile(r"Field '([\w.]+)'")


def error(status: int, body: bytes) -> errors.ApiError:
    """Return the error that an answer of the engine's with an error status stands for."""
    said = _said(body)
    message = str(said.get("message") or f"the local model answered {status}")
    if said.get("type") == "exceed_context_size_error":
        return _too_long(said)
    if said.get("type") == "adapter_not_found":
        return errors.NotFound(message)
    if found := _FIELD.search(message):
        return _bad(found[1], message)
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
