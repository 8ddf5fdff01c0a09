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
from standpipe.wire.lenient import mapping, objects, text

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
        for choice in objects(chunk.get("choices")):
            if choice.get("index", 0) == 0:
                yield from self._delta(mapping(choice.get("delta")))
                self._last |= {name: value for name, value in choice.items() if value is not None}

    def _start(self, chunk: Json) -> Iterator[bytes]:
        if self._started:
            return
        self._started = True
        message = answer.from_openai_completion({"id": chunk.get("id")}, self._model)
        message |= {"stop_reason": None, "usage": answer.usage(self._usage)}
        # Judged before it was told, so that clients that put a message together have it there.
        message |= answer.judged(next(iter(objects(chunk.get("choices"))), {}))
        yield _event("message_start", {"message": message})

    def _delta(self, delta: Json) -> Iterator[bytes]:
        if thought := text(delta.get("reasoning_content")):
            yield from self._say("thinking", thought)
        if delta.get("thinking_blocks"):
            yield from self._thoughts(delta)
        self._refusal.append(text(delta.get("refusal")))
        if spoken := answer.said(delta):
            yield from self._say("text", spoken)
        for call in objects(delta.get("tool_calls")):
            yield from self._call(call)

    def _say(self, kind: str, piece: str) -> Iterator[bytes]:
        if self._open != kind:
            yield from self._begin(kind, _EMPTY[kind])
        yield self._piece(self._index, kind, piece)

    def _thoughts(self, delta: Json) -> Iterator[bytes]:
        """Sign the thought that was told, or tell one that was not."""
        for block in answer.thoughts(delta):
            if self._open == "thinking" and block.get("type") == "thinking":
                sealed = {"type": "signature_delta", "signature": text(block.get("signature"))}
                yield _event("content_block_delta", {"index": self._index, "delta": sealed})
            else:
                yield from self._begin("thought", block)
            yield from self._end()

    def _call(self, call: Json) -> Iterator[bytes]:
        index = call.get("index")
        place = index if type(index) is int else 0
        if place not in self._calls:
            block = {"type": "tool_use", **answer.named(call), "input": {}}
            yield from self._begin("tool_use", block)
            self._calls[place] = self._index
        if piece := text(mapping(call.get("function")).get("arguments")):
            yield self._piece(self._calls[place], "tool_use", piece)

    def _piece(self, index: int, kind: str, piece: str) -> bytes:
        delta = {"type": _DELTA_TYPES[kind], _DELTAS[kind]: piece}
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


def _event(name: str, fields: Json) -> bytes:
    data = msgspec.json.encode({"type": name, **fields})
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
