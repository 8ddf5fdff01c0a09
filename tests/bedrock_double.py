"""A small Bedrock: checks what it is sent and answers as Converse and ConverseStream do.

A real HTTP server in a thread: `with bedrock() as double:`. A function that must be called is.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from bedrock_exchanges import event
from doubles import CONTENT, Asked, Double, Said, running

Json = dict[str, Any]

MODEL = "us.anthropic.claude-opus-4-5-20251101-v1:0"
USAGE = {"inputTokens": 7, "outputTokens": 2, "totalTokens": 9}
STREAM_TYPE = "application/vnd.amazon.eventstream"
#: Fields of a Converse request.
_FIELDS = {
    "messages", "system", "inferenceConfig", "toolConfig", "guardrailConfig", "serviceTier",
    "additionalModelRequestFields", "additionalModelResponseFieldPaths", "requestMetadata",
    "performanceConfig", "outputConfig",
}  # fmt: skip
_SETTINGS = {"maxTokens", "temperature", "topP", "stopSequences"}
_TOOL_BLOCKS = ("toolUse", "toolResult")


@contextlib.contextmanager
def bedrock(content: str = CONTENT) -> Iterator[Double]:
    def answer(asked: Asked) -> Said:
        _check(asked)
        block = _block(asked.body, content)
        reason = "tool_use" if "toolUse" in block else "end_turn"
        if asked.path.endswith("/converse-stream"):
            return Said(events=list(_events(block, reason)), stream_type=STREAM_TYPE)
        message = {"role": "assistant", "content": [block]}
        metrics = {"latencyMs": 12}
        told = {"output": {"message": message}, "stopReason": reason, "usage": USAGE}
        return Said({**told, "metrics": metrics})

    with running(answer) as double:
        yield double


def _block(body: Json, content: str) -> Json:
    choice = body.get("toolConfig", {}).get("toolChoice", {})
    if "any" in choice or "tool" in choice:
        spec = body["toolConfig"]["tools"][0]["toolSpec"]
        name = choice.get("tool", {}).get("name", spec["name"])
        return {"toolUse": {"toolUseId": "tooluse_1", "name": name, "input": {}}}
    return {"text": content}


def _events(block: Json, reason: str) -> Iterator[bytes]:
    place = {"contentBlockIndex": 0}
    yield event("messageStart", {"role": "assistant", "p": "abcdefghij"})
    if "toolUse" in block:
        start = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
        yield event("contentBlockStart", {**place, "start": {"toolUse": start}})
        yield event("contentBlockDelta", {**place, "delta": {"toolUse": {"input": ""}}})
    for piece in block.get("text", ""):
        yield event("contentBlockDelta", {**place, "delta": {"text": piece}, "p": "abc"})
    yield event("contentBlockStop", place)
    yield event("messageStop", {"stopReason": reason})
    yield event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 12}})


def _check(asked: Asked) -> None:
    steps = asked.path.split("/")
    assert steps[:2] == ["", "model"], asked.path
    assert unquote(steps[2]), asked.path
    assert steps[3:] in (["converse"], ["converse-stream"]), asked.path
    body = asked.body
    assert not body.keys() - _FIELDS, body.keys() - _FIELDS
    config = body.get("inferenceConfig", {})
    assert not config.keys() - _SETTINGS, config
    assert 0 <= config.get("temperature", 0) <= 1, "temperature"
    assert len(config.get("stopSequences", ())) <= 4, "more stop sequences than some models take"
    _check_messages(body)


def _check_messages(body: Json) -> None:
    roles = [message["role"] for message in body["messages"]]
    assert roles[0] == "user", "a conversation must start with a user message"
    assert all(a != b for a, b in itertools.pairwise(roles)), "roles must alternate"
    blocks = [block for message in body["messages"] for block in message["content"]]
    for block in (*blocks, *body.get("system", ())):
        assert "text" not in block or block["text"].strip(), "the text field is blank"
    if any(name in block for block in blocks for name in _TOOL_BLOCKS):
        assert "toolConfig" in body, "toolConfig must be defined when using toolUse blocks"
    for message in body["messages"]:
        names = {name for block in message["content"] for name in block}
        assert "document" not in names or "text" in names, "a text block must be with documents"
