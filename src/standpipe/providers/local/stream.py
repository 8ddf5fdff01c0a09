"""llama.cpp's stream as OpenAI's: the opening, the calls, the logprobs, the end. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from typing_extensions import override

from standpipe.errors import Cut
from standpipe.providers.local import grammar as local_grammar
from standpipe.providers.local.answer import Written, Wrong, call_id, tokens
from standpipe.providers.local.calls import Begin, Piece, Text
from standpipe.providers.openai import complete_usage
from standpipe.providers.stream import EventDecoder
from standpipe.wire import sse
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

_encode = msgspec.json.encode


class StreamDecoder(EventDecoder[bytes]):
    """Decodes one stream."""

    whose = "the local model's"

    def __init__(self, request: ChatRequest) -> None:
        super().__init__(sse.Splitter())
        self._request = request
        self._choices: dict[int, _Choice] = {}

    @override
    def close(self) -> None:
        """Raise Cut unless `[DONE]` came or every choice is finished."""
        super().close()
        self.done = True

    @override
    def _is_whole(self) -> bool:
        ended = [choice.is_finished for choice in self._choices.values()]
        return self.done or (bool(ended) and all(ended))

    @override
    def _take(self, event: bytes) -> bytes:
        events: list[bytes] = []
        self._tell(event, events.append)
        return b"".join(events)

    def _tell(self, event: bytes, say: Callable[[bytes], None]) -> None:
        payload = sse.data_of(event)
        if payload is None or self.done:  # a comment keeps the connection alive
            return
        if payload.strip() == sse.DONE:
            self.done = True
            return
        chunk = _chunk(payload)
        self._learn(chunk)
        choices, usage = chunk.get("choices") or [], chunk.get("usage")
        if usage is not None:
            self._use(chunk, usage, say)
        for choice in choices if isinstance(choices, list) else ():
            for said in self._choice(choice).take(choice, self.completion_id):
                say(sse.event(_encode({**_head(chunk), "choices": [said]})))

    def _use(self, chunk: Json, usage: Any, say: Callable[[bytes], None]) -> None:
        self.usage = complete_usage(msgspec.Raw(_encode(usage)))
        if self._request.include_usage:
            say(sse.event(_encode({**_head(chunk), "choices": [], "usage": self.usage})))

    def _learn(self, chunk: Json) -> None:
        if self.completion_id is None and isinstance(chunk.get("id"), str):
            self.completion_id = chunk["id"]
        if isinstance(chunk.get("model"), str):
            self.provider_model = chunk["model"]
        chunk["model"] = self._request.model

    def _choice(self, said: Any) -> _Choice:
        index = said.get("index") if isinstance(said, dict) else None
        if not isinstance(index, int):
            raise Cut("the local model's stream has a choice without an index")
        return self._choices.setdefault(index, _Choice(self._request, index))


class _Choice:
    """One choice of a stream."""

    def __init__(self, request: ChatRequest, index: int) -> None:
        self.is_finished = False
        self._written = Written(request)
        self._alternatives = int(request.values.get("top_logprobs", 0))
        self._index = index
        self._is_open = False
        #: The answer can only be text: it need not be waited for.
        self._is_text = not local_grammar.tools(request)
        #: The logprobs of text that waits.
        self._waiting: list[Json] = []

    def take(self, said: Json, completion_id: str | None) -> list[Json]:
        """Return the choices of the chunks that this one becomes."""
        delta, reason = said.get("delta") or {}, said.get("finish_reason")
        self._waiting += tokens(said.get("logprobs"), self._alternatives)
        pieces = self._written.feed(delta.get("content") or "")
        if reason:
            more, reason = self._finish(reason)
            pieces += more
        found = [self._piece(piece, completion_id) for piece in pieces if piece != Text("")]
        if delta.get("reasoning_content"):
            found.insert(0, self._put({"reasoning_content": delta["reasoning_content"]}))
        if reason:
            self.is_finished = True
            found.append({**self._put({}), "finish_reason": reason})
        return self._opened(found)

    def _opened(self, found: list[Json]) -> list[Json]:
        """Put the opening before the first; a message that begins with a call has no content."""
        if self._is_open or not (found or self._is_text):
            return found
        self._is_open = True
        content = None if found and "tool_calls" in found[0]["delta"] else ""
        opening = {"role": "assistant", "content": content, "refusal": None}
        return [self._put(opening), *found]

    def _finish(self, reason: str) -> tuple[list[Piece], str]:
        try:
            return self._written.finish(reason)
        except Wrong as error:
            raise Cut(str(error)) from error

    def _piece(self, piece: Piece, completion_id: str | None) -> Json:
        if isinstance(piece, Text):
            said = self._put({"content": piece.text})
            if self._waiting:
                said["logprobs"] = {"content": self._waiting, "refusal": None}
            self._waiting = []
            return said
        self._waiting = []  # a call's tokens are none of its text
        if isinstance(piece, Begin):
            function = {"name": piece.name, "arguments": ""}
            head = {"id": call_id(completion_id, self._index, piece.call), "type": "function"}
            call = {"index": piece.call, **head, "function": function}
        else:
            call = {"index": piece.call, "function": {"arguments": piece.text}}
        return self._put({"tool_calls": [call]})

    def _put(self, delta: Json) -> Json:
        return {"index": self._index, "delta": delta, "logprobs": None, "finish_reason": None}


def _head(chunk: Json) -> Json:
    return {name: chunk[name] for name in chunk if name not in ("choices", "usage")}


def _chunk(payload: bytes) -> Json:
    try:
        chunk = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Cut("the local model's stream has an event that is not JSON") from error
    if not isinstance(chunk, dict):
        raise Cut("the local model's stream has an event that is no chunk")
    if chunk.get("error"):
        said = chunk["error"]
        told = said.get("message") if isinstance(said, dict) else None
        raise Cut(str(told or "the local model reported an error inside its stream"))
    return chunk
