"""A request's fields, from OpenAI's form into Bedrock's Converse. Pure.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, seen 2026-11.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from standpipe.providers.anthropic.messages import bad
from standpipe.providers.anthropic.schema import enforced, gaps
from standpipe.providers.bedrock.messages import marked, system, turns
from standpipe.providers.bedrock.models import reasoning
from standpipe.wire.chat import ChatRequest
from standpipe.wire.checks import shown

Json = dict[str, Any]

#: Top-level fields of Converse's own that pass through if the caller gives them.
OWN_FIELDS = (
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "guardrailConfig",
    "performanceConfig",
    "requestMetadata",
)

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHOICES: dict[str, Json] = {"auto": {"auto": {}}, "required": {"any": {}}}
#: `auto` is what Bedrock does unasked.
_TIERS = {"auto": None, "default": "default", "flex": "flex", "priority": "priority"}
#: Said where a schema cannot be enforced, and was not asked for strictly.
_JSON_SCHEMA = (
    "Answer with JSON that fits this JSON schema and nothing else: no words around it, "
    "no code fence.\n"
)


def body(request: ChatRequest, model: str) -> Json:
    """Return the request's body; BadRequest, naming the field, for what cannot be said."""
    tools = _tools(request)
    said = turns(request.messages, with_tools=bool(tools))
    if not said:
        raise bad(("messages",), "this provider needs a message of the user")
    built: Json = {"messages": said, **_system(request), **tools}
    for part in (_inference(request), _effort(request, model), _format(request), _tier(request)):
        _merge(built, part)
    for name in OWN_FIELDS:
        given = msgspec.json.decode(request.fields.get(name, msgspec.Raw(b"null")))
        if given is not None:
            _merge(built, {name: given})
    return built


def _merge(built: Json, more: Json) -> None:
    for name, value in more.items():
        known = built.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            built[name] = {**known, **value}
        else:
            built[name] = value


def _system(request: ChatRequest) -> Json:
    blocks = system(request.messages)
    asked = _schema(request)
    if asked is not None and not _is_enforced(asked):
        schema = msgspec.json.encode(asked.get("schema") or {}).decode()
        blocks.append({"text": _JSON_SCHEMA + schema})
    return {"system": blocks} if blocks else {}


def _inference(request: ChatRequest) -> Json:
    values = request.values
    config: Json = {}
    if (limit := values.get(_limit_field(request))) is not None:
        config["maxTokens"] = int(limit)
    for ours, theirs in (("temperature", "temperature"), ("top_p", "topP")):
        if ours in values:
            config[theirs] = values[ours]
    if stops := _stops(values.get("stop")):
        config["stopSequences"] = stops
    return {"inferenceConfig": config} if config else {}


def _limit_field(request: ChatRequest) -> str:
    known = "max_completion_tokens"
    return known if known in request.values else "max_tokens"


def _stops(stop: str | list[str] | None) -> list[str]:
    if not isinstance(stop, list):
        return [stop] if stop else []
    for index, text in enumerate(stop):
        if not text:
            raise bad(("stop", index), "must not be empty for this provider")
    return stop


def _tools(request: ChatRequest) -> Json:
    """Return the tools; none where none may be called, as Converse has no word for that."""
    offered, choice = request.values.get("tools"), request.values.get("tool_choice")
    if not offered or choice == "none":
        return {}
    tools: list[Json] = []
    for index, tool in enumerate(offered):
        tools += marked([_tool(tool, index)], tool)
    config: Json = {"tools": tools}
    if isinstance(choice, str):
        config["toolChoice"] = _CHOICES[choice]
    elif choice is not None:
        config["toolChoice"] = {"tool": {"name": choice["function"]["name"]}}
    return {"toolConfig": config}


def _tool(tool: Json, index: int) -> Json:
    path = ("tools", index)
    if tool.get("type", "function") != "function":
        raise bad((*path, "type"), "only functions can be offered to this provider")
    function = tool["function"]
    if not _TOOL_NAME.fullmatch(function["name"]):
        raise bad((*path, "function", "name"), "must be 1 to 64 letters, digits, _ or - for it")
    parameters: Json = function.get("parameters") or {"properties": {}}
    schema = {"type": "object", **parameters}
    spec: Json = {"name": function["name"]}
    if function.get("description"):
        spec["description"] = function["description"]
    if function.get("strict"):
        spec["strict"] = True
        schema = enforced(schema, (*path, "function", "parameters"))
    return {"toolSpec": {**spec, "inputSchema": {"json": schema}}}


def _effort(request: ChatRequest, model: str) -> Json:
    effort = request.values.get("reasoning_effort")
    if effort is None:
        return {}
    field = _limit_field(request)
    limit = request.values.get(field)
    return reasoning(model, effort, None if limit is None else int(limit), field)


def _schema(request: ChatRequest) -> Json | None:
    asked = request.values.get("response_format") or {}
    return asked["json_schema"] if asked.get("type") == "json_schema" else None


def _is_enforced(asked: Json) -> bool:
    """Tell whether a schema is held to: a strict one always, another one where it can be."""
    return bool(asked.get("strict")) or not gaps(asked.get("schema") or {"type": "object"})


def _format(request: ChatRequest) -> Json:
    asked = _schema(request)
    if asked is None or not _is_enforced(asked):
        return {}
    path = ("response_format", "json_schema", "schema")
    schema = enforced(asked.get("schema") or {"type": "object"}, path)
    named = {name: asked[name] for name in ("name", "description") if asked.get(name)}
    told = {"schema": msgspec.json.encode(schema).decode(), **named}
    form = {"type": "json_schema", "structure": {"jsonSchema": told}}
    return {"outputConfig": {"textFormat": form}}


def _tier(request: ChatRequest) -> Json:
    asked = request.values.get("service_tier", "auto")
    if asked not in _TIERS:
        allowed = ", ".join(map(shown, _TIERS))
        raise bad(("service_tier",), f"unknown value {shown(asked)}; allowed: {allowed}")
    tier = _TIERS[asked]
    return {} if tier is None else {"serviceTier": {"type": tier}}
