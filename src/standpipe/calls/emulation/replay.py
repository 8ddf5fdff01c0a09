"""A whole answer told as a stream; folded, it is the answer again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from standpipe.calls.emulation.source import Emit, Source

Json = dict[str, Any]

_NOT_IN_FRAME = ("choices", "usage", "object")
#: What of a choice comes with its text; the rest comes with its end.
_WITH_TEXT = ("index", "message", "logprobs", "finish_reason", "criteria_results")


def chunks(completion: Json) -> list[Json]:
    """Return the chunks that say what the completion says, its usage left out."""
    frame = {name: completion[name] for name in completion if name not in _NOT_IN_FRAME}
    frame["object"] = "chat.completion.chunk"
    pieces = (piece for choice in completion["choices"] for piece in _pieces(choice))
    return [{**frame, "choices": [piece]} for piece in pieces]


def _pieces(choice: Json) -> Iterator[Json]:
    index, message = choice.get("index", 0), choice["message"]
    judged = {name: choice[name] for name in ("criteria_results",) if name in choice}
    yield {**_piece(index, {"role": "assistant", "content": ""}), **judged}
    said = {name: value for name, value in message.items() if name != "role" and value is not None}
    if said.get("tool_calls"):
        calls = enumerate(said["tool_calls"])
        said["tool_calls"] = [{"index": place, **call} for place, call in calls]
    logprobs = choice.get("logprobs")
    if said or logprobs:
        yield {**_piece(index, said), "logprobs": logprobs}
    rest = {name: choice[name] for name in choice if name not in _WITH_TEXT}
    yield {**_piece(index, {}), **rest, "finish_reason": choice.get("finish_reason")}


def _piece(index: int, delta: Json) -> Json:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


class Replayed:
    """A source whose streams are told from a whole answer."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def whole(self) -> Json:
        """Return the completion."""
        return await self._source.whole()

    async def stream(self, emit: Emit) -> None:
        """Emit the whole answer once it is there."""
        await emit(chunks(await self._source.whole()))
