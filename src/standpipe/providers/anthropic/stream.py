"""A stream of Anthropic's events, read into OpenAI's chunks.

https://platform.claude.com/docs/en/build-with-claude/streaming, seen 2026-11. The event's name is
also its data's `type`, so only the data is read. Events and blocks that we don't know are passed
over, as the provider asks of its readers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from typing_extensions import override

from standpipe.errors import Cut
from standpipe.providers.anthropic import answer
from standpipe.providers.stream import EventDecoder
from standpipe.wire import sse
from standpipe.wire.lenient import mapping, objects, text

Json = dict[str, Any]

_encode = msgspec.json.encode


class _Block:
    """A block of the answer as far as it has come."""

    def __init__(self, start: Json) -> None:
        self.start = start
        self.texts: list[str] = []
        self.signatures: list[str] = []
        self.citations = objects(start.get("citations"))
        #: Place among the tool calls or the thoughts.
        self.place = 0

    @property
    def kind(self) -> str:
        return text(self.start.get("type"))

    def whole(self) -> Json:
        """Return the block as a whole answer would have it."""
        texts = "".join(self.texts)
        if self.kind == "thinking":
            signature = "".join(self.signatures)
            return {**self.start, "thinking": texts, "signature": signature}
        if self.kind == "text":
            return {**self.start, "text": texts, "citations": self.citations}
        return self.start


class StreamDecoder(EventDecoder[bytes]):
    """Turns the provider's events into chunks; see `dialect.Decoder`.

    `forced` is the tool whose call is the answer itself.
    """

    def __init__(self, requested: str, *, usage: bool, forced: str | None = None) -> None:
        super().__init__(sse.Splitter())
        self._requested = requested
        self._sends_usage = usage
        self._forced = forced
        self._counts: Json = {}
        self._opened = False
        self._blocks: dict[int, _Block] = {}
        self._spoken: list[Json] = []
        self._calls = 0
        self._thoughts = 0

    @override
    def _take(self, event: bytes) -> bytes:
        return b"".join(self._event(event))

    @override
    def _is_whole(self) -> bool:
        return self.done

    def _event(self, raw: bytes) -> Iterator[bytes]:
        data = sse.data_of(raw)
        if self.done or data is None or data.strip() == sse.DONE:
            return
        event = _decoded(data)
        if event.get("type") == "error" or isinstance(event.get("error"), dict | str):
            said = answer.error_text(event)
            raise Cut(said or "the provider reported an error inside its stream")
        yield from self._read(event)

    def _read(self, event: Json) -> Iterator[bytes]:
        match event.get("type"):
            case "message_start":
                yield from self._message_start(event)
            case "content_block_start":
                yield from self._block_start(event)
            case "content_block_delta":
                yield from self._block_delta(event)
            case "content_block_stop":
                yield from self._block_stop(event)
            case "message_delta":
                yield from self._message_delta(event)
            case "message_stop":
                yield from self._message_stop()
            case _:
                pass

    def _message_start(self, event: Json) -> Iterator[bytes]:
        message = mapping(event.get("message"))
        known, self.completion_id = self.completion_id, text(message.get("id")) or None
        # Proxies that retry in secret have been seen to join two answers into one stream.
        if self._opened and known != self.completion_id:
            raise Cut("the provider's stream has another answer inside")
        self.provider_model = text(message.get("model")) or self.provider_model
        self._count(message)
        yield from self._open()

    def _open(self) -> Iterator[bytes]:
        if not self._opened:
            self._opened = True
            yield self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _block_start(self, event: Json) -> Iterator[bytes]:
        block = _Block(mapping(event.get("content_block")))
        self._blocks[_index(event)] = block
        yield from self._open()
        if block.kind == "tool_use" and answer.is_call(block.start, self._forced):
            block.place, self._calls = self._calls, self._calls + 1
            yield self._chunk({"tool_calls": [_call_head(block)]})
        if answer.is_thought(block.start):
            block.place, self._thoughts = self._thoughts, self._thoughts + 1
        yield from self._piece(block, _first_piece(block))

    def _block_delta(self, event: Json) -> Iterator[bytes]:
        block = self._blocks.get(_index(event))
        if block is None:
            return
        delta = mapping(event.get("delta"))
        block.signatures.append(text(delta.get("signature")))
        block.citations += objects([delta.get("citation")])
        yield from self._piece(block, text(delta.get(_PIECES.get(block.kind, ""))))

    def _piece(self, block: _Block, piece: str) -> Iterator[bytes]:
        if not piece:
            return
        block.texts.append(piece)
        if block.kind == "thinking":
            yield self._chunk({"reasoning_content": piece})
        elif block.kind == "tool_use" and answer.is_call(block.start, self._forced):
            yield self._chunk({"tool_calls": [_call_piece(block, piece)]})
        elif block.kind in {"text", "tool_use"}:
            yield self._chunk({"content": piece})

    def _block_stop(self, event: Json) -> Iterator[bytes]:
        block = self._blocks.pop(_index(event), None)
        if block is None:
            return
        if block.kind == "tool_use" and not block.texts:
            # A tool without parameters is called without a word.
            yield from self._piece(block, "{}")
        if answer.is_thought(block.start):
            yield self._chunk({"thinking_blocks": [{"index": block.place, **block.whole()}]})
        self._spoken.append(_as_text(block, self._forced))

    def _message_delta(self, event: Json) -> Iterator[bytes]:
        self._count(event)
        delta = mapping(event.get("delta"))
        if not isinstance(reason := delta.get("stop_reason"), str):
            return
        yield from self._open()
        cited = answer.cited_in(self._spoken, None)
        last = {**answer.refusal(delta.get("stop_details")), **_filled(cited)}
        if last:
            yield self._chunk(last)
        finish = answer.finish(reason, has_calls=self._calls > 0)
        yield self._chunk({}, finish_reason=finish, **answer.details(delta))

    def _message_stop(self) -> Iterator[bytes]:
        self.done = True
        if self.usage is not None and self._sends_usage:
            yield self._event_of({"choices": [], "usage": self.usage})

    def _count(self, event: Json) -> None:
        self._counts = answer.summed(self._counts, mapping(event.get("usage")))
        if told := answer.usage(self._counts):
            self.usage = msgspec.Raw(_encode(told))

    def _chunk(self, delta: Json, finish_reason: str | None = None, **more: object) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk: Json = {"choices": [{**choice, **more}]}
        return self._event_of({**chunk, "usage": None} if self._sends_usage else chunk)

    def _event_of(self, fields: Json) -> bytes:
        head = {
            "id": self.completion_id or "",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._requested,
        }
        return sse.event(_encode({**head, **fields, **answer.tier(self._counts)}))


#: The field of a delta that a block of a kind grows by.
_PIECES = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}


def _decoded(data: bytes) -> Json:
    try:
        event = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Cut("the provider's stream has an event that is not JSON") from error
    if not isinstance(event, dict):
        raise Cut("the provider's stream has an event that is not an object")
    return event


def _index(event: Json) -> int:
    index = event.get("index")
    return index if type(index) is int else 0


def _first_piece(block: _Block) -> str:
    """Return what a block has from the start; most begin empty."""
    if block.kind == "tool_use":
        return answer.arguments(block.start["input"]) if block.start.get("input") else ""
    return text(block.start.get(block.kind))


def _call_head(block: _Block) -> Json:
    function = {"name": text(block.start.get("name")), "arguments": ""}
    head = {"id": text(block.start.get("id")), "type": "function", "function": function}
    return {"index": block.place, **head}


def _call_piece(block: _Block, piece: str) -> Json:
    return {"index": block.place, "function": {"arguments": piece}}


def _as_text(block: _Block, forced: str | None) -> Json:
    """Return a finished block as `cited_in` counts it: by the text that it put into `content`."""
    if block.kind == "tool_use" and not answer.is_call(block.start, forced):
        return {"type": "text", "text": "".join(block.texts)}
    return block.whole()


def _filled(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value}
