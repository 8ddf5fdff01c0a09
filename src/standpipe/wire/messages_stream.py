"""OpenAI's chunks as Anthropic's events, for callers of its Messages API.

https://platform.claude.com/docs/en/build-with-claude/streaming, seen 2026-11. A message has one
choice: of `n` only the first is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from standpipe.errors import ApiError
from standpipe.wire import messages_answer as answer

Json = dict[str, Any]

_EMPTY: dict[str, Json] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}
_DELTAS = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}
_DELTA_TYPES = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}


class MessagesEncoder:
    """Turns the chunks of one stream into events.

    `feed` each chunk, then `finish`, or `fail` where the stream broke.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._started = False
        self._index = -1
        #: The kind of the open block, None between blocks.
        self._open: str | None = None
        #: Block of each tool call, by its index among them.
        self._calls: dict[int, int] = {}
        self._last: Json = {}
        self._refusal: list[str] = []
        self._usage: object = None

    def feed(self, chunk: Json) -> bytes:
        """Return the events that a chunk makes; b"" if none."""
        return b"".join(self._chunk(chunk))

    def finish(self) -> bytes:
        """Return the events that end the message."""
        return b"".join(self._finish())

    def fail(self, error: ApiError) -> bytes:
        """Return the event that ends a message which broke."""
        return _event("error", answer.error_body(error))

    def _chunk(self, chunk: Json) -> Iterator[bytes]:
        self._usage = chunk.get("usage") or self._usage
        yield from self._start(chunk)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                delta = choice.get("delta")
                yield from self._delta(delta if isinstance(delta, dict) else {})
                self._last |= {name: value for name, value in choice.items() if value is not None}

    def _start(self, chunk: Json) -> Iterator[bytes]:
        if self._started:
            return
        self._started = True
        message = answer.from_openai_completion({"id": chunk.get("id")}, self._model)
        message |= {"stop_reason": None, "usage": answer.usage(self._usage)}
        yield _event("message_start", {"message": message})

    def _delta(self, delta: Json) -> Iterator[bytes]:
        if delta.get("reasoning_content"):
            yield from self._say("thinking", delta["reasoning_content"])
        if delta.get("thinking_blocks"):
            yield from self._thoughts(delta)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refusal.append(refusal)
        if text := delta.get("content") or refusal or _transcript(delta):
            yield from self._say("text", text)
        for call in delta.get("tool_calls") or ():
            yield from self._call(call)

    def _say(self, kind: str, text: str) -> Iterator[bytes]:
        if self._open != kind:
            yield from self._begin(kind, _EMPTY[kind])
        yield self._piece(self._index, kind, text)

    def _thoughts(self, delta: Json) -> Iterator[bytes]:
        """Sign the thought that was told, or tell one that was not."""
        for block in answer.thoughts(delta):
            if self._open == "thinking" and block.get("type") == "thinking":
                sealed = {"type": "signature_delta", "signature": block.get("signature") or ""}
                yield _event("content_block_delta", {"index": self._index, "delta": sealed})
            else:
                yield from self._begin("thought", block)
            yield from self._end()

    def _call(self, call: Json) -> Iterator[bytes]:
        place, function = call.get("index", 0), call.get("function") or {}
        if place not in self._calls:
            named = {"id": call.get("id") or "", "name": function.get("name") or ""}
            yield from self._begin("tool_use", {"type": "tool_use", **named, "input": {}})
            self._calls[place] = self._index
        if function.get("arguments"):
            yield self._piece(self._calls[place], "tool_use", function["arguments"])

    def _piece(self, index: int, kind: str, text: str) -> bytes:
        delta = {"type": _DELTA_TYPES[kind], _DELTAS[kind]: text}
        return _event("content_block_delta", {"index": index, "delta": delta})

    def _begin(self, kind: str, block: Json) -> Iterator[bytes]:
        yield from self._end()
        self._index, self._open = self._index + 1, kind
        yield _event("content_block_start", {"index": self._index, "content_block": block})

    def _end(self) -> Iterator[bytes]:
        if self._open is not None:
            self._open = None
            yield _event("content_block_stop", {"index": self._index})

    def _finish(self) -> Iterator[bytes]:
        yield from self._start({})
        yield from self._end()
        told = {**self._last, "delta": {"refusal": "".join(self._refusal) or None}}
        usage = answer.usage(self._usage)
        yield _event("message_delta", {"delta": answer.stop(told), "usage": usage})
        yield _event("message_stop", {})


def _transcript(delta: Json) -> str | None:
    audio = delta.get("audio")
    said = audio.get("transcript") if isinstance(audio, dict) else None
    return said if isinstance(said, str) else None


def _event(name: str, fields: Json) -> bytes:
    data = msgspec.json.encode({"type": name, **fields})
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
