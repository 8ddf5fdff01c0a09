"""The obliging provider in the form of Bedrock's Converse API; see `obliging`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from clients.wishes import USAGE, Call, Wish, need, pieces, turn
from doubles import Asked, Said

from standpipe.providers.bedrock.frames import frame

Json = dict[str, Any]

STREAM_TYPE = "application/vnd.amazon.eventstream"


def answer(asked: Asked, model: str) -> Said:
    """Answer a request for a model."""
    place = f"/model/{quote(model, safe='')}/"
    need(asked.path in (place + "converse", place + "converse-stream"), asked.path)
    said = turn(_wish(asked.body))
    blocks: list[Json] = [{"text": said}] if isinstance(said, str) else list(map(_use, said))
    reason = "end_turn" if isinstance(said, str) else "tool_use"
    if asked.path.endswith("-stream"):
        frames = [_frame(kind, event) for kind, event in _streamed(blocks, reason)]
        return Said(events=frames, stream_type=STREAM_TYPE)
    message = {"role": "assistant", "content": blocks}
    return Said({"output": {"message": message}, "stopReason": reason, **_figures()})


def _figures() -> Json:
    prompt, answered = USAGE
    usage = {"inputTokens": prompt, "outputTokens": answered, "totalTokens": prompt + answered}
    return {"usage": usage, "metrics": {"latencyMs": 1}}


def _use(call: Call) -> Json:
    return {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}}


def _streamed(blocks: list[Json], reason: str) -> Iterator[tuple[str, Json]]:
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(blocks):
        place: Json = {"contentBlockIndex": index}
        if use := block.get("toolUse"):
            start = {name: use[name] for name in ("toolUseId", "name")}
            yield "contentBlockStart", {**place, "start": {"toolUse": start}}
            deltas: list[Json] = [
                {"toolUse": {"input": part}} for part in pieces(json.dumps(use["input"]))
            ]
        else:
            deltas = [{"text": part} for part in pieces(block["text"])]
        for delta in deltas:
            yield "contentBlockDelta", {**place, "delta": delta}
        yield "contentBlockStop", place
    yield "messageStop", {"stopReason": reason}
    yield "metadata", _figures()


def _frame(kind: str, event: Json) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps(event).encode())


def _wish(body: Json) -> Wish:
    offered = body.get("toolConfig") or {}
    choice = offered.get("toolChoice") or {"auto": {}}
    names = [tool["toolSpec"]["name"] for tool in offered.get("tools") or ()]
    need(names or "toolConfig" not in body, "toolConfig without tools")
    if "tool" in choice:
        names = [choice["tool"]["name"]]
    return Wish(
        tools=names,
        is_forced="auto" not in choice,
        results=_results(body["messages"], is_offered=bool(offered)),
        is_json="textFormat" in (body.get("outputConfig") or {}),
    )


def _results(messages: list[Json], *, is_offered: bool) -> list[str]:
    roles = [message["role"] for message in messages]
    need(roles == (["user", "assistant"] * len(roles))[: len(roles)], "roles take turns")
    results: list[str] = []
    called: list[str] = []
    for message in messages:
        blocks = message["content"]
        found = [block["toolResult"] for block in blocks if "toolResult" in block]
        if message["role"] == "assistant":
            called = [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]
            need(is_offered or not called, "toolConfig, for there are calls")
            continue
        need([result["toolUseId"] for result in found] == called, "each call has its result")
        results = [*results, *map(_text, found)] if found else []
    return results


def _text(result: Json) -> str:
    return "".join(part["text"] for part in result["content"])
