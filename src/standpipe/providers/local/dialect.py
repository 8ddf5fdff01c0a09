"""The local model's dialect: OpenAI's form, as llama.cpp's server really reads it.

https://github.com/ggml-org/llama.cpp/tree/master/tools/server (seen 2026-11). What becomes of each
field is in `fields`; tools and schemas are ours (`grammar`), so that they hold on every
model, whatever its chat template knows. Pure; knows nothing of the process.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from standpipe import errors
from standpipe.errors import NotACompletion
from standpipe.providers.dialect import Decoder, Fidelity, Outgoing, Quirks, Whole
from standpipe.providers.local import error as local_error
from standpipe.providers.local import fields as local_fields
from standpipe.providers.local import grammar as local_grammar
from standpipe.providers.local import messages as local_messages
from standpipe.providers.local.answer import Written, Wrong, call_id, tokens
from standpipe.providers.local.calls import Begin, Piece, Text
from standpipe.providers.local.fields import SAMPLING
from standpipe.providers.local.stream import StreamDecoder
from standpipe.providers.openai import complete_usage
from standpipe.wire import chat
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

SYSTEM = "You are a helpful assistant."
#: Tokens that a schema's or a call's longest answer may have, where the caller sets no limit.
ROOM = 2048
#: What is put otherwise: into the messages or the grammar.
_OURS = (
    *("tools", "tool_choice", "parallel_tool_calls", "response_format", "store", "metadata", "n"),
    *("functions", "function_call", "service_tier"),
)


class Local:
    """The dialect of our own engine.

    `system` is said first if the caller says nothing in that role, and `sampling` fills what the
    caller leaves open. Both are tuned to the default model; others need neither.
    """

    name = "local"
    fidelity: Mapping[str, Fidelity] = local_fields.FIDELITY
    passes_unknown = False
    own_fields: Collection[str] = frozenset(local_fields.FIELDS) - frozenset(chat.FIELDS)
    stream_type = b"text/event-stream"

    def __init__(
        self,
        *,
        system: str | None = SYSTEM,
        sampling: Mapping[str, float] = SAMPLING,
        room: int = ROOM,
    ) -> None:
        self._system = system
        self._sampling = sampling
        self._room = room

    def headers(self, key: str | None) -> tuple[tuple[bytes, bytes], ...]:
        """Return the request's headers."""
        fixed = ((b"content-type", b"application/json"),)
        return fixed if key is None else (*fixed, (b"authorization", b"Bearer " + key.encode()))

    def prepare(self, request: ChatRequest, model: str, quirks: Quirks) -> Outgoing:
        """Return the request for the engine; BadRequest for a value that it cannot honour."""
        del quirks
        local_fields.refuse(request.fields)
        body: Json = {name: request.fields[name] for name in request.fields if name not in _OURS}
        body |= {name: v for name, v in self._sampling.items() if request.values.get(name) is None}
        body |= {"model": model, "messages": self._messages(request)}
        if request.values.get("logprobs"):
            # llama.cpp gives no logprobs at all without an alternative.
            body["top_logprobs"] = max(1, request.values.get("top_logprobs", 0))
        if (grammar := local_grammar.grammar(request, self._room)) is not None:
            body["grammar"] = grammar
        if request.stream:
            body["stream_options"] = {"include_usage": True}
        return Outgoing("/chat/completions", msgspec.json.encode(body))

    def _messages(self, request: ChatRequest) -> list[Json]:
        functions = local_grammar.tools(request)
        return local_messages.conversation(
            request.messages, system=self._system, functions=functions
        )

    def completion(self, body: bytes, request: ChatRequest) -> Whole:
        """Return the answer as OpenAI would put it; NotACompletion also for one that is wrong."""
        told = _completion(body)
        choices = [_choice(choice, request, told.get("id")) for choice in told["choices"]]
        model = told.get("model")
        told |= {"model": request.model, "choices": choices}
        if isinstance(told.get("usage"), dict):
            told["usage"] = complete_usage(msgspec.Raw(msgspec.json.encode(told["usage"])))
        named = model if isinstance(model, str) else None
        return Whole(body=msgspec.json.encode(told), provider_model=named)

    def decoder(self, request: ChatRequest, quirks: Quirks) -> Decoder:
        """Return a decoder for the stream."""
        del quirks
        return StreamDecoder(request)

    def error(
        self, status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str
    ) -> errors.ApiError:
        """Return the caller's mistake as 400; anything else is our own trouble, 503."""
        del headers, provider
        return local_error.error(status, body)


def _completion(body: bytes) -> Json:
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotACompletion("the local model answered with something that is not JSON") from error
    choices = told.get("choices") if isinstance(told, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise NotACompletion("the local model answered with JSON that has no `choices`")
    whole: Json = told
    return whole


def _choice(choice: Json, request: ChatRequest, completion_id: object) -> Json:
    said = choice.get("message") or {}
    written = Written(request)
    try:
        pieces = written.feed(said.get("content") or "")
        more, reason = written.finish(str(choice.get("finish_reason")))
    except Wrong as error:
        raise NotACompletion(str(error)) from error
    index = choice.get("index", 0)
    message = _message(said, [*pieces, *more], (completion_id, index))
    logprobs = _logprobs(choice.get("logprobs"), request, message["content"] or "")
    put = {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason}
    return {**choice, **put}


def _message(said: Json, pieces: list[Piece], place: tuple[object, int]) -> Json:
    """Return the message of a whole answer, `place` being its completion's id and its index."""
    text = "".join(piece.text for piece in pieces if isinstance(piece, Text))
    calls: list[Json] = []
    for piece in pieces:
        if isinstance(piece, Begin):
            head = {"id": call_id(*place, piece.call), "type": "function"}
            calls.append({**head, "function": {"name": piece.name, "arguments": ""}})
        elif not isinstance(piece, Text):
            calls[piece.call]["function"]["arguments"] += piece.text
    message: Json = {"role": "assistant", "content": text, "refusal": None}
    if said.get("reasoning_content"):
        message["reasoning_content"] = said["reasoning_content"]
    return message | ({"content": text or None, "tool_calls": calls} if calls else {})


def _logprobs(logprobs: Any, request: ChatRequest, text: str) -> Json | None:
    """Return the logprobs of the text: a call's tokens are none of it."""
    if not isinstance(logprobs, dict):
        return None
    entries = tokens(logprobs, int(request.values.get("top_logprobs", 0)))
    if not local_grammar.tools(request):
        return {"content": entries, "refusal": None}
    room, kept = len(text.encode()), []
    for entry in entries:
        room -= len(entry["bytes"] or ())
        if room < 0:
            break
        kept.append(entry)
    return {"content": kept, "refusal": None} if kept else None
