"""Bedrock's answers as chunks of OpenAI's form; a whole answer is the fold of its chunks. Pure.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html, seen
2026-11. Answers are data from elsewhere: what is not of the form that it should be is left out. No
answer has an id or a time; the caller of a dialect sets `id` "" and `created` 0.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from standpipe.errors import UpstreamError
from standpipe.providers.anthropic.answer import arguments, cited_in, usage
from standpipe.providers.bedrock.trace import filters
from standpipe.wire.chat import ChatRequest
from standpipe.wire.lenient import mapping, objects, text

Json = dict[str, Any]
#: An event of a stream: its type and its payload.
Event = tuple[str, Json]

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
#: The model did not manage to answer; what it said so far is no answer.
_FAILED = frozenset({"malformed_model_output", "malformed_tool_use"})
#: Bedrock's counts under Anthropic's names: those from the cache are beside the input's too.
_COUNTS = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheWriteInputTokens": "cache_creation_input_tokens",
}


class _Block:
    """A block of the answer as far as it has come."""

    def __init__(self, start: Json) -> None:
        self.call = mapping(start.get("toolUse"))
        self.image = text(mapping(start.get("image")).get("format"))
        #: A tool of the provider's own was called, not one of the caller's.
        self.is_foreign = "type" in self.call or "toolResult" in start
        self.place = 0
        self.spoken: list[str] = []
        self.thoughts: list[str] = []
        self.signatures: list[str] = []
        self.redacted: list[str] = []
        self.pixels: list[str] = []
        self.arguments = 0
        self.citations: list[Json] = []

    @property
    def is_call(self) -> bool:
        return bool(self.call) and not self.is_foreign

    def thought(self) -> Json | None:
        """Return the thought in the form that the next turn takes back; None if it takes none."""
        if any(self.signatures):
            signature, said = "".join(self.signatures), "".join(self.thoughts)
            return {"type": "thinking", "thinking": said, "signature": signature}
        if self.redacted:
            return {"type": "redacted_thinking", "data": _joined(self.redacted)}
        return None


class Reader:
    """Reads the events of one answer, in order; `failure` is raised where they tell of one."""

    def __init__(self, request: ChatRequest, failure: type[UpstreamError]) -> None:
        self.provider_model: str | None = None
        #: In OpenAI's form.
        self.usage: Json | None = None
        #: The last event was read.
        self.ended = False
        self._model = request.model
        self._failure = failure
        self._opened = False
        self._blocks: dict[int, _Block] = {}
        self._spoken: list[Json] = []
        self._stop: Json | None = None
        self._calls = self._thoughts = self._images = 0

    def read(self, event: Event) -> Iterator[Json]:
        """Yield the chunks that an event is; what comes after the last one is passed over."""
        kind, told = event
        if self.ended:
            return
        match kind:
            case "messageStart":
                yield from self._open()
            case "contentBlockStart":
                yield from self._start(told)
            case "contentBlockDelta":
                yield from self._delta(told)
            case "contentBlockStop":
                yield from self._end(_index(told))
            case "messageStop":
                yield from self._message_stop(told)
            case "metadata":
                yield from self._metadata(told)
            case _:
                pass

    def chunk(self, choices: list[Json], **more: object) -> Json:
        """Return a chunk with these choices."""
        head = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": self._model}
        return {**head, "choices": choices, **more}

    def _said(self, delta: Json) -> Json:
        piece = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        return self.chunk([piece])

    def _open(self) -> Iterator[Json]:
        if not self._opened:
            self._opened = True
            yield self._said({"role": "assistant", "content": "", "refusal": None})

    def _start(self, told: Json) -> Iterator[Json]:
        yield from self._open()
        block = self._blocks[_index(told)] = _Block(mapping(told.get("start")))
        if block.is_call:
            block.place, self._calls = self._calls, self._calls + 1
            function = {"name": text(block.call.get("name")), "arguments": ""}
            head = {"id": text(block.call.get("toolUseId")), "type": "function"}
            call = {"index": block.place, **head, "function": function}
            yield self._said({"tool_calls": [call]})

    def _delta(self, told: Json) -> Iterator[Json]:
        yield from self._open()
        # Only a tool call or an image begins with an event of its own.
        block = self._blocks.setdefault(_index(told), _Block({}))
        delta = mapping(told.get("delta"))
        block.citations += map(_citation, objects([delta.get("citation")]))
        source = mapping(mapping(delta.get("image")).get("source"))
        _add(block.pixels, source.get("bytes"))
        if piece := text(delta.get("text")):
            block.spoken.append(piece)
            yield self._said({"content": piece})
        if block.is_call and (piece := text(mapping(delta.get("toolUse")).get("input"))):
            yield self._arguments(block, piece)
        yield from self._reasoning(block, mapping(delta.get("reasoningContent")))

    def _arguments(self, block: _Block, piece: str) -> Json:
        block.arguments += 1
        call = {"index": block.place, "function": {"arguments": piece}}
        return self._said({"tool_calls": [call]})

    def _reasoning(self, block: _Block, delta: Json) -> Iterator[Json]:
        _add(block.signatures, delta.get("signature"))
        _add(block.redacted, delta.get("redactedContent"))
        if piece := text(delta.get("text")):
            block.thoughts.append(piece)
            yield self._said({"reasoning_content": piece})

    def _end(self, index: int) -> Iterator[Json]:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.is_call and not block.arguments:
            # A tool without parameters is called without a word.
            yield self._arguments(block, "{}")
        if thought := block.thought():
            yield self._said({"thinking_blocks": [{"index": self._thoughts, **thought}]})
            self._thoughts += 1
        if block.image and block.pixels:
            yield self._said({"images": [self._image(block)]})
        spoken = {"type": "text", "text": "".join(block.spoken), "citations": block.citations}
        self._spoken.append(spoken)

    def _image(self, block: _Block) -> Json:
        url = f"data:image/{block.image};base64,{_joined(block.pixels)}"
        self._images += 1
        return {"index": self._images - 1, "type": "image_url", "image_url": {"url": url}}

    def _message_stop(self, told: Json) -> Iterator[Json]:
        yield from self._open()
        for index in sorted(self._blocks):
            yield from self._end(index)
        reason = text(told.get("stopReason"))
        if reason in _FAILED:
            raise self._failure(f"the model failed to answer: {reason}")
        self._stop = told

    def _metadata(self, told: Json) -> Iterator[Json]:
        self.usage = _usage(mapping(told.get("usage")))
        if self._stop is None:
            return
        self.ended = True
        trace = mapping(told.get("trace"))
        router = mapping(trace.get("promptRouter"))
        self.provider_model = text(router.get("invokedModelId")) or None
        cited = {name: found for name, found in cited_in(self._spoken, None).items() if found}
        if cited:
            yield self._said(cited)
        yield self._finish(self._stop, trace, told)

    def _finish(self, stop: Json, trace: Json, told: Json) -> Json:
        found = _FINISH.get(text(stop.get("stopReason")), "stop")
        if found == "tool_calls" and not self._calls:
            found = "stop"
        piece = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": found}
        more = mapping(stop.get("additionalModelResponseFields"))
        tier = text(mapping(told.get("serviceTier")).get("type"))
        return self.chunk(
            [{**piece, **_model_fields(more), **filters(trace)}],
            **({"service_tier": tier} if tier else {}),
            **({"trace": trace} if trace else {}),
        )


def events(answer: Json) -> Iterator[Event]:
    """Yield the events in which a stream would have told a whole answer."""
    message = mapping(mapping(answer.get("output")).get("message"))
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(objects(message.get("content"))):
        if start := _start_of(block):
            yield "contentBlockStart", {"start": start, "contentBlockIndex": index}
        for delta in _deltas(block):
            yield "contentBlockDelta", {"delta": delta, "contentBlockIndex": index}
        yield "contentBlockStop", {"contentBlockIndex": index}
    yield "messageStop", answer
    yield "metadata", answer


def _start_of(block: Json) -> Json:
    return {name: block[name] for name in ("toolUse", "toolResult", "image") if name in block}


def _deltas(block: Json) -> Iterator[Json]:
    if "text" in block:
        yield {"text": block["text"]}
    if "toolUse" in block:
        yield {"toolUse": {"input": arguments(mapping(block["toolUse"]).get("input"))}}
    if "image" in block:
        yield {"image": block["image"]}
    thought = mapping(block.get("reasoningContent"))
    yield {"reasoningContent": {**thought, **mapping(thought.get("reasoningText"))}}
    cited = mapping(block.get("citationsContent"))
    for piece in objects(cited.get("content")):
        yield {"text": piece.get("text")}
    for citation in objects(cited.get("citations")):
        yield {"citation": citation}


def _index(told: Json) -> int:
    index = told.get("contentBlockIndex")
    return index if type(index) is int else 0


def _add(pieces: list[str], piece: object) -> None:
    if isinstance(piece, str) and piece:
        pieces.append(piece)


def _joined(pieces: list[str]) -> str:
    """Return the base64 of what the pieces, each base64, are together."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return base64.b64encode(b"".join(map(base64.b64decode, pieces))).decode()
    except (binascii.Error, ValueError):
        return "".join(pieces)


def _citation(told: Json) -> Json:
    """Return a citation with its URL, if it has one, where `cited_in` looks for it."""
    url = mapping(mapping(told.get("location")).get("web")).get("url")
    return {**told, "url": url} if isinstance(url, str) else told


def _usage(told: Json) -> Json | None:
    counts: Json = {_COUNTS[name]: count for name, count in told.items() if name in _COUNTS}
    kept = {
        f"ephemeral_{text(each.get('ttl'))}_input_tokens": each.get("inputTokens")
        for each in objects(told.get("cacheDetails"))
    }
    return usage({**counts, "cache_creation": kept})


def _model_fields(more: Json) -> Json:
    """Return what the caller asked for by `additionalModelResponseFieldPaths`."""
    if not more:
        return {}
    stop = more.get("stop_sequence")
    named = {"stop_reason": stop} if isinstance(stop, str) else {}
    return {**named, "additionalModelResponseFields": more}
