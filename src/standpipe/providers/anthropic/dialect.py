"""Anthropic's Messages API, as Anthropic and the places that copy it speak it.

Source: https://platform.claude.com/docs/en/api/messages, seen 2026-11. `system` is one field, so
what is said in that role later in a conversation moves to its front. A model's thoughts come back
as `reasoning_content`, and with their signatures as `thinking_blocks`; a caller who sends those
back with the assistant's message lets the model go on from them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from standpipe.errors import ApiError
from standpipe.providers.anthropic import answer
from standpipe.providers.anthropic import request as outgoing
from standpipe.providers.anthropic.stream import StreamDecoder
from standpipe.providers.dialect import Decoder, Fidelity, Outgoing, Quirks, Whole
from standpipe.wire.chat import ChatRequest
from standpipe.wire.lenient import text

#: The newer version, 2026-10-21, only takes fields away: `temperature` and `top_p` among them.
VERSION = b"2023-06-01"

_NATIVE = (
    "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "stop>4", "user",
    "stream", "stream_options.include_usage", "tools", "tools.strict", "tool_choice:none",
    "tool_choice:required", "tool_choice:function", "parallel_tool_calls:false",
    "response_format:json_schema", "reasoning_effort", "service_tier", "content:image_url",
    "content:image_url.remote", "content:file",
)  # fmt: skip
_EMULATED = (
    "n>1", "functions", "function_call:none", "function_call:name",
    "response_format:json_object", "role:developer", "role:function", "message.name",
    "modalities:audio", "audio.voice", "message.audio", "content:input_audio",
    "image_url.detail",  # the place chooses the resolution, and the caller is told
)  # fmt: skip
_REFUSED = (
    "temperature>1", "presence_penalty", "frequency_penalty", "seed", "logit_bias", "logprobs",
    "top_logprobs", "tools:other", "response_format:other", "prediction",
    "verbosity", "web_search_options", "content:other",
)  # fmt: skip


class Anthropic:
    """The dialect."""

    name = "anthropic"
    stream_type = b"text/event-stream"
    passes_unknown = False
    #: The fields of Anthropic's own that pass through all the same.
    own_fields: Collection[str] = outgoing.OWN_FIELDS
    fidelity: Mapping[str, Fidelity] = {
        **dict.fromkeys(_NATIVE, "native"),
        **dict.fromkeys(_EMULATED, "emulated"),
        **dict.fromkeys(_REFUSED, "refused"),
    }

    def headers(self, key: str | None) -> tuple[tuple[bytes, bytes], ...]:
        """Return the request's headers."""
        fixed = (
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            (b"user-agent", b"standpipe"),
            (b"anthropic-version", VERSION),
        )
        return fixed if key is None else (*fixed, (b"x-api-key", key.encode()))

    def prepare(self, request: ChatRequest, model: str, quirks: Quirks) -> Outgoing:
        """Return the request in Anthropic's form."""
        del quirks
        body = msgspec.json.encode(outgoing.body(request, model))
        return Outgoing(path="/messages", body=body)

    def completion(self, body: bytes, request: ChatRequest) -> Whole:
        """Return the message in OpenAI's form; `created` is 0, for Anthropic does not say."""
        message = answer.message_of(body)
        forced = outgoing.forced_name(request)
        told = answer.completion(message, request.model, forced)
        named = text(message.get("model")) or None
        return Whole(body=msgspec.json.encode(told), provider_model=named)

    def decoder(self, request: ChatRequest, quirks: Quirks) -> Decoder:
        """Return a decoder of Anthropic's events."""
        del quirks
        forced = outgoing.forced_name(request)
        return StreamDecoder(request.model, usage=request.include_usage, forced=forced)

    def error(
        self, status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str
    ) -> ApiError:
        """Return the provider's own error; our key's trouble is 502."""
        return answer.error(status, headers, body, provider)
