"""Calls that were made at Anthropic's elsewhere, as OpenAI's, to be kept (spec 2.3). Pure."""

from __future__ import annotations

from typing import Any

from standpipe.errors import BadRequest
from standpipe.providers.anthropic import answer
from standpipe.wire.lenient import text
from standpipe.wire.messages_api import to_openai_request

Json = dict[str, Any]


def report_to_openai(request: object, response: object) -> tuple[object, object]:
    """Return what was asked and answered in OpenAI's form; what is not Anthropic's, as it is."""
    return _request(request), _response(response)


def _request(request: object) -> object:
    if not isinstance(request, dict):
        return request
    try:
        told = to_openai_request(request, native=True)
    except BadRequest:
        return request
    # It is ours to ask for, not what the caller asked.
    told.pop("stream_options", None)
    return told


def _response(response: object) -> object:
    if not isinstance(response, dict) or not isinstance(response.get("content"), list):
        return response
    return answer.completion(response, text(response.get("model")))
