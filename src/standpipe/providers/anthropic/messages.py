"""The messages of a request, from OpenAI's form into Anthropic's: `system` and turns.

Keys of a content part that we don't know, `cache_control` among them, go along unchanged. Pure.
https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from standpipe.errors import BadRequest
from standpipe.wire.checks import Path, written

Json = dict[str, Any]
Turns = list[tuple[str, list[Json]]]

SYSTEM_ROLES = frozenset({"system", "developer"})
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF = "application/pdf"
_TEXT = "text/plain"
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w-]+=[^;,]*)*)(;base64)?,", re.ASCII)
#: What Anthropic takes as a tool call's id; other providers' ids have other characters.
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")
#: What an assistant message may hold that cannot be said here.
_UNSAYABLE = ("audio", "function_call")


def bad(path: Path, text: str) -> BadRequest:
    """Return the error that names the place of what cannot be said."""
    where = written(path)
    return BadRequest(f"{where}: {text}", param=where)


def system(messages: list[Json]) -> list[Json]:
    """Return the blocks of `system`: what is said in that role or `developer`'s, wherever."""
    blocks: list[Json] = []
    for index, message in enumerate(messages):
        if message["role"] in SYSTEM_ROLES:
            blocks += _content(message, ("messages", index))
    return blocks


def turns(messages: list[Json]) -> list[Json]:
    """Return the other messages as turns of user and assistant, neighbours of a role joined."""
    joined: Turns = []
    for index, message in enumerate(messages):
        if message["role"] in SYSTEM_ROLES:
            continue
        role, blocks = _turn(message, ("messages", index))
        if joined and joined[-1][0] == role:
            joined[-1][1].extend(blocks)
        else:
            joined.append((role, blocks))
    return [{"role": role, "content": blocks} for role, blocks in joined if blocks]


def _turn(message: Json, path: Path) -> tuple[str, list[Json]]:
    match message["role"]:
        case "assistant":
            return "assistant", _assistant(message, path)
        case "tool":
            return "user", [_tool_result(message, path)]
        case "user":
            return "user", _content(message, path)
        case role:
            raise bad((*path, "role"), f'"{role}" cannot be said to this provider')


def _content(message: Json, path: Path) -> list[Json]:
    """Return the blocks of a message's content; Anthropic refuses empty texts."""
    content = message.get("content")
    if isinstance(content, list):
        parts = enumerate(content)
        blocks = [_part(part, (*path, "content", index)) for index, part in parts]
    else:
        blocks = [_text(content or "")]
    blocks = [block for block in blocks if block["type"] != "text" or block["text"]]
    return _cached(_named(blocks, message.get("name")), message)


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _named(blocks: list[Json], name: str | None) -> list[Json]:
    """Say in the text who speaks; Anthropic's messages have no name."""
    if not name:
        return blocks
    if blocks and blocks[0]["type"] == "text":
        return [{**blocks[0], "text": f"{name}: {blocks[0]['text']}"}, *blocks[1:]]
    return [_text(f"{name}:"), *blocks]


def _cached(blocks: list[Json], message: Json) -> list[Json]:
    """Put a message's own `cache_control` on its last block, where Anthropic wants it."""
    if not blocks or message.get("cache_control") is None:
        return blocks
    return [*blocks[:-1], {**blocks[-1], "cache_control": message["cache_control"]}]


def _part(part: Json, path: Path) -> Json:
    kind = part.get("type")
    others = {name: value for name, value in part.items() if name not in {"type", kind}}
    match kind:
        case "text":
            return {**_text(part["text"]), **others}
        case "refusal":
            return {**_text(part["refusal"]), **others}
        case "image_url":
            return {**_image(part["image_url"], (*path, "image_url", "url")), **others}
        case "file":
            return {**_document(part["file"], (*path, "file")), **others}
        case _:
            raise bad((*path, "type"), f'"{kind}" cannot be said to this provider')


def _image(image: Json, path: Path) -> Json:
    url = image["url"]
    if url.startswith(("https://", "http://")):
        return {"type": "image", "source": {"type": "url", "url": url}}
    kind, data = _inline(url, path)
    kind = "image/jpeg" if kind == "image/jpg" else kind
    if kind not in _IMAGES:
        raise bad(path, f"images of type {kind} are not taken; jpeg, png, gif and webp are")
    return _base64("image", kind, data)


def _base64(block: str, kind: str, data: str) -> Json:
    return {"type": block, "source": {"type": "base64", "media_type": kind, "data": data}}


def _inline(url: str, path: Path) -> tuple[str, str]:
    """Return media type and base64 data of a data URL."""
    found = _DATA_URL.match(url)
    if found is None or not found[3]:
        raise bad(path, "must be an http(s) URL or a data URL in base64")
    return (found[1] or _TEXT).lower(), url[found.end() :]


def _document(file: Json, path: Path) -> Json:
    named = {"title": file["filename"]} if isinstance(file.get("filename"), str) else {}
    for name, source in (("file_id", "file"), ("file_url", "url")):
        if isinstance(said := file.get(name), str):
            key = "file_id" if source == "file" else "url"
            return {"type": "document", "source": {"type": source, key: said}, **named}
    data = file.get("file_data")
    if not isinstance(data, str):
        raise bad(path, "needs file_data, file_id or file_url")
    return {**_inline_document(data, (*path, "file_data")), **named}


def _inline_document(data: str, path: Path) -> Json:
    kind, content = _inline(data, path) if data.startswith("data:") else (_PDF, data)
    if kind == _PDF:
        return _base64("document", kind, content)
    if not kind.startswith("text/"):
        raise bad(path, f"files of type {kind} are not taken; PDF and plain text are")
    try:
        text = base64.b64decode(content, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise bad(path, "is not UTF-8 text in base64") from None
    return {"type": "document", "source": {"type": "text", "media_type": _TEXT, "data": text}}


def _assistant(message: Json, path: Path) -> list[Json]:
    for name in _UNSAYABLE:
        if message.get(name) is not None:
            raise bad((*path, name), "cannot be said to this provider")
    said = _content(message, path)
    if not said and message.get("refusal"):
        said = [_text(message["refusal"])]
    return [*_thoughts(message), *said, *_calls(message, path)]


def _thoughts(message: Json) -> Iterator[Json]:
    """Yield what the model thought, as it was signed; Anthropic takes no thought without.

    So `reasoning_content` alone, as other providers give it, is not among them.
    """
    kept = message.get("thinking_blocks")
    for block in kept if isinstance(kept, list) else ():
        if isinstance(block, dict) and (block.get("signature") or block.get("data")):
            yield {name: value for name, value in block.items() if name != "index"}


def _calls(message: Json, path: Path) -> Iterator[Json]:
    for index, call in enumerate(message.get("tool_calls") or ()):
        at = (*path, "tool_calls", index)
        if call.get("type", "function") != "function":
            raise bad((*at, "type"), "only function calls can be said to this provider")
        others = {n: v for n, v in call.items() if n not in {"id", "type", "function", "index"}}
        yield {
            "type": "tool_use",
            "id": call_id(call["id"]),
            "name": call["function"]["name"],
            "input": tool_input(call["function"]["arguments"], (*at, "function", "arguments")),
            **others,
        }


def call_id(said: str) -> str:
    """Return a tool call's id with the characters that Anthropic takes."""
    return _NOT_IN_IDS.sub("_", said) or "_"


def tool_input(arguments: str, path: Path) -> Json:
    """Return a call's arguments as an object; BadRequest at `path` for others."""
    try:
        value = msgspec.json.decode(arguments) if arguments.strip() else {}
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise bad(path, "must be a JSON object for this provider")
    return value


def _tool_result(message: Json, path: Path) -> Json:
    result: Json = {"type": "tool_result", "tool_use_id": call_id(message["tool_call_id"])}
    content = _content({"content": message.get("content")}, path)
    if content:
        result["content"] = content
    kept = {name: message[name] for name in ("is_error", "cache_control") if message.get(name)}
    return {**result, **kept}
