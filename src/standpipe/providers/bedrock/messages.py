"""The messages of a request, from OpenAI's form into Converse's: `system` and turns. Pure.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html, seen 2026-11.
Converse refuses blank texts, conversations that the assistant begins, tool calls in one where no
tools are offered, documents without a text beside them and two documents of one name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from standpipe.providers.anthropic.messages import SYSTEM_ROLES, bad, tool_input
from standpipe.providers.bedrock.media import audio, document, image
from standpipe.wire.checks import Path

Json = dict[str, Any]
Turn = tuple[str, list[Json]]

_MEDIA = {"image_url": image, "file": document, "input_audio": audio}
_TEXTS = ("text", "refusal")
#: What an assistant message may hold that cannot be said here.
_UNSAYABLE = ("audio", "function_call")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.:-]")
_LONGEST_ID = 64
#: An empty result is no result to Bedrock.
_EMPTY = "(empty)"
_OPENING = "(the assistant begins)"
_TTLS = ("5m", "1h")


def system(messages: list[Json]) -> list[Json]:
    """Return the blocks of `system`: what is said in that role or `developer`'s, wherever."""
    blocks: list[Json] = []
    for index, message in enumerate(messages):
        if message["role"] in SYSTEM_ROLES:
            blocks += _content(message, ("messages", index))
    return blocks


def turns(messages: list[Json], *, with_tools: bool) -> list[Json]:
    """Return the other messages as turns of user and assistant, neighbours of a role joined.

    Where no tools are offered (`with_tools` False) earlier calls and their results are said in
    words: Bedrock refuses them, and offering the tools again would let the model call them.
    """
    told = _Told(messages, with_tools=with_tools)
    joined: list[Turn] = []
    for index, message in enumerate(messages):
        if message["role"] in SYSTEM_ROLES:
            continue
        role, blocks = told.turn(message, ("messages", index))
        if joined and joined[-1][0] == role:
            joined[-1][1].extend(blocks)
        elif blocks:
            joined.append((role, blocks))
    _name_apart(joined)
    if joined and joined[0][0] != "user":
        joined.insert(0, ("user", _text(_OPENING)))
    return [{"role": role, "content": _with_text(blocks)} for role, blocks in joined]


class _Told:
    """Says one conversation's messages."""

    def __init__(self, messages: list[Json], *, with_tools: bool) -> None:
        self._with_tools = with_tools
        self._names = {
            call["id"]: call["function"]["name"]
            for message in messages
            for call in message.get("tool_calls") or ()
            if "function" in call
        }

    def turn(self, message: Json, path: Path) -> Turn:
        match message["role"]:
            case "assistant":
                return "assistant", self._assistant(message, path)
            case "tool":
                return "user", self._result(message, path)
            case "user":
                return "user", _content(message, path)
            case role:
                raise bad((*path, "role"), f'"{role}" cannot be said to this provider')

    def _assistant(self, message: Json, path: Path) -> list[Json]:
        for name in _UNSAYABLE:
            if message.get(name) is not None:
                raise bad((*path, name), "cannot be said to this provider")
        said = _content(message, path)
        if not said and message.get("refusal"):
            said = _text(message["refusal"])
        return [*_thoughts(message), *said, *self._calls(message, path)]

    def _calls(self, message: Json, path: Path) -> Iterator[Json]:
        for index, call in enumerate(message.get("tool_calls") or ()):
            at = (*path, "tool_calls", index)
            if call.get("type", "function") != "function":
                raise bad((*at, "type"), "only function calls can be said to this provider")
            function = call["function"]
            if not self._with_tools:
                yield {"text": f"[called {function['name']} with {function['arguments']}]"}
                continue
            given = tool_input(function["arguments"], (*at, "function", "arguments"))
            use = {"toolUseId": call_id(call["id"]), "name": function["name"], "input": given}
            yield {"toolUse": use}

    def _result(self, message: Json, path: Path) -> list[Json]:
        asked = message["tool_call_id"]
        content = _content({"content": message.get("content")}, path)
        if not self._with_tools:
            said = "".join(block.get("text", "") for block in content) or _EMPTY
            return _text(f"[result of {self._names.get(asked, asked)}: {said}]")
        points = [block for block in content if "cachePoint" in block]
        content = [block for block in content if "cachePoint" not in block]
        result: Json = {"toolUseId": call_id(asked), "content": content or _text(_EMPTY)}
        if message.get("is_error") is True:
            result["status"] = "error"
        return marked([{"toolResult": result}, *points], message)


def marked(blocks: list[Json], holder: Json) -> list[Json]:
    """Return the blocks with a cache point behind them where `holder` has a `cache_control`."""
    mark = holder.get("cache_control")
    if not blocks or not isinstance(mark, dict):
        return blocks
    ttl = {"ttl": mark["ttl"]} if mark.get("ttl") in _TTLS else {}
    return [*blocks, {"cachePoint": {"type": "default", **ttl}}]


def call_id(said: str) -> str:
    """Return a tool call's id as Bedrock takes it; two that differ stay apart."""
    clean = _NOT_IN_IDS.sub("_", said)
    if clean == said and 0 < len(said) <= _LONGEST_ID:
        return said
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return f"{clean[: _LONGEST_ID - len(digest) - 1]}_{digest}"


def _content(message: Json, path: Path) -> list[Json]:
    content = message.get("content")
    if not isinstance(content, list):
        return marked(_text(content or ""), message)
    blocks: list[Json] = []
    for index, part in enumerate(content):
        blocks += marked(_part(part, (*path, "content", index)), part)
    return marked(blocks, message)


def _text(text: str) -> list[Json]:
    return [{"text": text}] if text.strip() else []


def _part(part: Json, path: Path) -> list[Json]:
    kind = part.get("type", "")
    if kind in _TEXTS:
        return _text(part[kind])
    said = _MEDIA.get(kind)
    if said is None:
        raise bad((*path, "type"), f'"{kind}" cannot be said to this provider')
    return [said(part[kind], (*path, kind))]


def _thoughts(message: Json) -> Iterator[Json]:
    """Yield what the model thought, as it was signed.

    A thought without a signature, as other providers give it, is not taken back by any model.
    """
    kept = message.get("thinking_blocks")
    for block in kept if isinstance(kept, list) else ():
        if not isinstance(block, dict):
            continue
        if block.get("signature"):
            said = {"text": block.get("thinking") or "", "signature": block["signature"]}
            yield {"reasoningContent": {"reasoningText": said}}
        elif block.get("data"):
            yield {"reasoningContent": {"redactedContent": block["data"]}}


def _name_apart(joined: list[Turn]) -> None:
    """Give documents of one name numbers."""
    seen: dict[str, int] = {}
    for _, blocks in joined:
        for block in blocks:
            if "document" not in block:
                continue
            name = block["document"]["name"]
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > 1:
                block["document"]["name"] = f"{name} ({seen[name]})"


def _with_text(blocks: list[Json]) -> list[Json]:
    """Say the documents' names where nothing else is said with them."""
    names = [block["document"]["name"] for block in blocks if "document" in block]
    if not names or any("text" in block for block in blocks):
        return blocks
    return [*blocks, {"text": ", ".join(names)}]
