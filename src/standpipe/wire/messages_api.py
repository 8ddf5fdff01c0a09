"""Anthropic's Messages API as its callers speak it: requests in, into OpenAI's form. Pure.

https://platform.claude.com/docs/en/api/messages, seen 2026-11. The result is checked by
`wire.chat` like any other request; here only the shape is, as far as reading it needs.
`messages_answer` and `messages_stream` are the way back.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from standpipe.errors import BadRequest
from standpipe.wire.checks import Path, shown, written

Json = dict[str, Any]

#: Fields that go on under another name, …
_RENAMED = {"max_tokens": "max_completion_tokens", "stop_sequences": "stop"}
#: … and those that are read into other fields.
_READ = frozenset(
    {"system", "messages", "tools", "tool_choice", "metadata", "thinking", "output_config"}
    | {"service_tier", "cache_control"}
)
_TIERS = {"auto": "auto", "standard_only": "default"}
_CHOICES: Mapping[str, str] = {"auto": "auto", "any": "required", "none": "none"}
#: The `reasoning_effort` that comes nearest to a budget of tokens below each bound.
_BUDGETS = ((4096, "low"), (16384, "medium"))
_MOST = "high"
#: Only Anthropic's models read these; they change how much a call costs, not what it means.
_MARKS = ("cache_control",)
_THOUGHTS = ("thinking", "redacted_thinking")


def to_openai_request(body: Json, *, native: bool = False) -> Json:
    """Return a Messages request as a chat completions request.

    `native` keeps what only a target that speaks Messages too can read: cache marks and the
    model's earlier thoughts. Fields that we don't know stay as they are. Raises BadRequest.
    """
    request: Json = {_RENAMED.get(n, n): v for n, v in body.items() if n not in _READ}
    request["messages"] = [*_system(body, native), *_conversation(body, native)]
    if body.get("stream") is True:
        request["stream_options"] = {"include_usage": True}
    for read in (_tools, _choice, _output, _labels):
        request |= read(body, native)
    return request | _own(body, native)


def _bad(path: Path, wanted: str, value: object) -> BadRequest:
    where = written(path)
    text = f"Input validation failed: {where}: must be {wanted}, not {shown(value)}"
    return BadRequest(text, param=where)


def _object(value: object, path: Path) -> Json:
    if not isinstance(value, dict):
        raise _bad(path, "an object", value)
    return value


def _array(value: object, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise _bad(path, "an array", value)
    return value


def _string(value: object, path: Path) -> str:
    if not isinstance(value, str):
        raise _bad(path, "a string", value)
    return value


def _own(body: Json, native: bool) -> Json:
    """Return the fields of Anthropic's that only a target of its own can read."""
    kept = ("thinking", *_MARKS) if native else ()
    return {name: body[name] for name in kept if body.get(name) is not None}


def _blocks(content: object, path: Path) -> list[Json]:
    """Return content as blocks, a string as one of text."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    blocks = _array(content, path)
    return [_object(block, (*path, index)) for index, block in enumerate(blocks)]


def _others(block: Json, native: bool, *read: str) -> Json:
    """Return the keys of a block that are not among those read."""
    left_out = {"type", *read, *(() if native else _MARKS)}
    return {name: value for name, value in block.items() if name not in left_out}


def _plainly(parts: list[Json]) -> str | list[Json]:
    """Return a single text as a string."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return parts


def _system(body: Json, native: bool) -> list[Json]:
    if body.get("system") is None:
        return []
    path: Path = ("system",)
    blocks = enumerate(_blocks(body["system"], path))
    parts = [_part(block, (*path, index), native) for index, block in blocks]
    return [{"role": "system", "content": _plainly(parts)}] if parts else []


def _conversation(body: Json, native: bool) -> list[Json]:
    messages: list[Json] = []
    for index, message in enumerate(_array(body.get("messages"), ("messages",))):
        path: Path = ("messages", index)
        role = _object(message, path).get("role")
        say = _ROLES.get(role) if isinstance(role, str) else None
        if say is None:
            raise _bad((*path, "role"), '"user" or "assistant"', role)
        blocks = _blocks(message.get("content"), (*path, "content"))
        messages += say(blocks, (*path, "content"), native)
    return messages


def _systems(blocks: list[Json], path: Path, native: bool) -> list[Json]:
    parts = [_part(block, (*path, index), native) for index, block in enumerate(blocks)]
    return [{"role": "system", "content": _plainly(parts)}]


def _user(blocks: list[Json], path: Path, native: bool) -> list[Json]:
    """Return the results of tools first, then what the user says, as OpenAI wants them."""
    results: list[Json] = []
    parts: list[Json] = []
    for index, block in enumerate(blocks):
        at = (*path, index)
        if block.get("type") == "tool_result":
            result, media = _result(block, at, native)
            results.append(result)
            parts += media
        else:
            parts.append(_part(block, at, native))
    said = [{"role": "user", "content": _plainly(parts)}] if parts or not results else []
    return [*results, *said]


def _result(block: Json, path: Path, native: bool) -> tuple[Json, list[Json]]:
    """Return a tool's message, and the images and files in it, which only a user may send."""
    content = block.get("content")
    inside = enumerate(_blocks("" if content is None else content, (*path, "content")))
    parts = [_part(part, (*path, "content", index), native) for index, part in inside]
    texts = [part for part in parts if part["type"] == "text"]
    called = _string(block.get("tool_use_id"), (*path, "tool_use_id"))
    told = _others(block, native, "content", "tool_use_id", "is_error")
    if block.get("is_error") is True:
        texts, told = _failed(texts, told, native)
    message = {"role": "tool", "tool_call_id": called, "content": _plainly(texts), **told}
    return message, [part for part in parts if part["type"] != "text"]


def _failed(texts: list[Json], told: Json, native: bool) -> tuple[list[Json], Json]:
    """Mark a result as an error: by a key where it is read, else by a word."""
    if native:
        return texts, {**told, "is_error": True}
    first = texts[0]["text"] if texts else ""
    if first.lower().startswith("error"):
        return texts, told
    return [{"type": "text", "text": f"Error: {first}"}, *texts[1:]], told


def _assistant(blocks: list[Json], path: Path, native: bool) -> list[Json]:
    thoughts, parts, calls = [], [], []
    for index, block in enumerate(blocks):
        kind, at = block.get("type"), (*path, index)
        if kind in _THOUGHTS:
            thoughts.append(block)
        elif kind == "tool_use":
            calls.append(_call(block, at, native))
        elif kind == "text":
            parts.append(_text(block, at, native))
        else:
            raise _bad((*at, "type"), "text, thinking or tool_use", kind)
    content = _plainly(parts) if parts else "" if not calls else None
    message: Json = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = calls
    return [message | (_thought(thoughts) if native and thoughts else {})]


def _thought(blocks: list[Json]) -> Json:
    texts = [block["thinking"] for block in blocks if isinstance(block.get("thinking"), str)]
    numbered = [{"index": index, **block} for index, block in enumerate(blocks)]
    return {"reasoning_content": "".join(texts), "thinking_blocks": numbered}


def _call(block: Json, path: Path, native: bool) -> Json:
    name = _string(block.get("name"), (*path, "name"))
    given = _object(block.get("input", {}), (*path, "input"))
    function = {"name": name, "arguments": msgspec.json.encode(given).decode()}
    known = _string(block.get("id"), (*path, "id"))
    others = _others(block, native, "id", "name", "input", "caller")
    return {"id": known, "type": "function", "function": function, **others}


def _text(block: Json, path: Path, native: bool) -> Json:
    text = _string(block.get("text"), (*path, "text"))
    return {"type": "text", "text": text, **_others(block, native, "text", "citations")}


def _part(block: Json, path: Path, native: bool) -> Json:
    """Return a block as a part of a message; one that we don't know as it is, to be refused."""
    kind = block.get("type")
    put = _PARTS.get(kind) if isinstance(kind, str) else None
    if put is None:
        return {**_others(block, native), "type": _string(kind, (*path, "type"))}
    return put(block, path, native)


def _image(block: Json, path: Path, native: bool) -> Json:
    source = _object(block.get("source"), (*path, "source"))
    url = _url(source, (*path, "source"))
    return {"type": "image_url", "image_url": {"url": url}, **_others(block, native, "source")}


def _url(source: Json, path: Path) -> str:
    match source.get("type"):
        case "url":
            return _string(source.get("url"), (*path, "url"))
        case "base64":
            kind = _string(source.get("media_type"), (*path, "media_type"))
            return f"data:{kind};base64,{_string(source.get('data'), (*path, 'data'))}"
        case kind:
            raise _bad((*path, "type"), '"base64" or "url"', kind)


def _document(block: Json, path: Path, native: bool) -> Json:
    source, at = _object(block.get("source"), (*path, "source")), (*path, "source")
    others = _others(block, native, "source", "title")
    titled = {"filename": block["title"]} if isinstance(block.get("title"), str) else {}
    if source.get("type") == "text" and not native:
        return {"type": "text", "text": _string(source.get("data"), (*at, "data")), **others}
    return {"type": "file", "file": {**titled, **_file(source, at)}, **others}


def _file(source: Json, path: Path) -> Json:
    match source.get("type"):
        case "url":
            return {"file_url": _string(source.get("url"), (*path, "url"))}
        case "file":
            return {"file_id": _string(source.get("file_id"), (*path, "file_id"))}
        case "text":
            data = _string(source.get("data"), (*path, "data")).encode()
            return {"file_data": f"data:text/plain;base64,{base64.b64encode(data).decode()}"}
        case _:
            return {"file_data": _url(source, path)}


_PARTS: dict[str, Callable[[Json, Path, bool], Json]] = {
    "text": _text,
    "image": _image,
    "document": _document,
}
_ROLES: dict[str, Callable[[list[Json], Path, bool], list[Json]]] = {
    "user": _user,
    "assistant": _assistant,
    "system": _systems,
}


def _tools(body: Json, native: bool) -> Json:
    if body.get("tools") is None:
        return {}
    offered = enumerate(_array(body["tools"], ("tools",)))
    return {"tools": [_tool(tool, ("tools", index), native) for index, tool in offered]}


def _tool(tool: object, path: Path, native: bool) -> Json:
    """Return a tool as a function; one that Anthropic runs or defines stays as it is."""
    said = _object(tool, path)
    if said.get("type") not in (None, "custom"):
        return said
    function = {"name": said.get("name"), "parameters": said.get("input_schema")}
    kept = {name: said[name] for name in ("description", "strict") if said.get(name) is not None}
    others = _others(said, native, "name", "input_schema", *kept)
    return {"type": "function", "function": {**function, **kept}, **others}


def _choice(body: Json, native: bool) -> Json:
    del native
    if body.get("tool_choice") is None:
        return {}
    choice = _object(body["tool_choice"], ("tool_choice",))
    kind = choice.get("type")
    if kind == "tool":
        name = _string(choice.get("name"), ("tool_choice", "name"))
        chosen: Json = {"tool_choice": {"type": "function", "function": {"name": name}}}
    elif isinstance(kind, str) and kind in _CHOICES:
        chosen = {"tool_choice": _CHOICES[kind]}
    else:
        raise _bad(("tool_choice", "type"), '"auto", "any", "tool" or "none"', kind)
    alone = choice.get("disable_parallel_tool_use") is True
    return {**chosen, **({"parallel_tool_calls": False} if alone else {})}


def _output(body: Json, native: bool) -> Json:
    """Return the form of the answer and how hard to think about it."""
    config = _object(body.get("output_config") or {}, ("output_config",))
    found: Json = {}
    if config.get("format") is not None:
        form = _object(config["format"], ("output_config", "format"))
        schema = {"name": "answer", "schema": form.get("schema"), "strict": True}
        found["response_format"] = {"type": form.get("type"), "json_schema": schema}
    effort = config.get("effort") or (None if native else _effort(body))
    return found if effort is None else {**found, "reasoning_effort": effort}


def _effort(body: Json) -> str | None:
    """Return the effort that comes nearest to a budget; None leaves it to the model."""
    thinking = _object(body.get("thinking") or {}, ("thinking",))
    budget = thinking.get("budget_tokens")
    if thinking.get("type") != "enabled" or not isinstance(budget, int):
        return None
    return next((effort for bound, effort in _BUDGETS if budget < bound), _MOST)


def _labels(body: Json, native: bool) -> Json:
    del native
    found: Json = {}
    metadata = _object(body.get("metadata") or {}, ("metadata",))
    if metadata.get("user_id") is not None:
        found["user"] = metadata["user_id"]
    if (tier := body.get("service_tier")) is not None:
        found["service_tier"] = _TIERS.get(tier, tier) if isinstance(tier, str) else tier
    return found
