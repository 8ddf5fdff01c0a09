"""A request's fields, from OpenAI's form into Anthropic's Messages API. Pure.

https://platform.claude.com/docs/en/api/messages, seen 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from standpipe.errors import BadRequest
from standpipe.providers.anthropic import models
from standpipe.providers.anthropic.messages import bad, system, turns
from standpipe.providers.anthropic.schema import enforced, gaps
from standpipe.wire.chat import ChatRequest
from standpipe.wire.checks import shown

Json = dict[str, Any]

#: Top-level fields of Anthropic's own that pass through if the caller gives them.
OWN_FIELDS = ("thinking", "top_k", "cache_control", "container", "inference_geo")

_SAME = ("temperature", "top_p", "stream")
_TIERS = {"auto": "auto", "default": "standard_only"}
_CHOICES: Mapping[str, str] = {"none": "none", "auto": "auto", "required": "any"}
_NULL = b"null"
#: Said where the answer's form cannot be enforced, and was not asked for strictly.
_JSON_OBJECT = "Answer with one JSON object and nothing else: no words around it, no code fence."
_JSON_SCHEMA = (
    "Answer with JSON that fits this JSON schema and nothing else: no words around it, "
    "no code fence.\n"
)


def body(request: ChatRequest, model: str) -> Json:
    """Return the request's body; BadRequest, naming the field, for what cannot be said."""
    said = turns(request.messages)
    if not said:
        raise bad(("messages",), "this provider needs a message of the user")
    built: Json = {"model": model, "max_tokens": _limit(request) or models.room(model)}
    built["messages"] = said
    for part in (_system, _plain, _tools, _reasoning, _format):
        _merge(built, part(request, model))
    for name in OWN_FIELDS:
        if bytes(request.fields.get(name, _NULL)) != _NULL:
            built[name] = request.fields[name]
    return built


def forced_name(request: ChatRequest) -> str | None:
    """Return the name under which an answer in JSON may come as a tool call.

    Where a model takes no schema for its answer, the schema is offered as a tool.
    """
    schema = _schema(request)
    if schema is None or schema["name"] in _tool_names(request):
        return None
    name: str = schema["name"]
    return name


def _merge(built: Json, more: Json) -> None:
    for name, value in more.items():
        known = built.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            built[name] = {**known, **value}
        else:
            built[name] = value


def _limit(request: ChatRequest) -> int | None:
    values = request.values
    limit = values.get("max_completion_tokens", values.get("max_tokens"))
    return None if limit is None else int(limit)


def _system(request: ChatRequest, model: str) -> Json:
    blocks = system(request.messages)
    if wish := _wish(request, model):
        blocks.append({"type": "text", "text": wish})
    return {"system": blocks} if blocks else {}


def _wish(request: ChatRequest, model: str) -> str | None:
    """Return the words for a form of the answer that is asked for but not enforced."""
    if request.values.get("response_format", {}).get("type") == "json_object":
        return _JSON_OBJECT
    asked = _schema(request)
    if asked is None or not models.takes_schema(model) or _is_enforced(asked):
        return None
    return _JSON_SCHEMA + msgspec.json.encode(asked.get("schema") or {}).decode()


def _is_enforced(asked: Json) -> bool:
    """Tell whether a schema is held to: a strict one always, another one where it can be."""
    return bool(asked.get("strict")) or not gaps(asked.get("schema") or {"type": "object"})


def _plain(request: ChatRequest, model: str) -> Json:
    del model
    values = request.values
    plain: Json = {name: values[name] for name in _SAME if name in values}
    if values.get("stop"):
        stop = values["stop"]
        plain["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if values.get("user"):
        plain["metadata"] = {"user_id": values["user"]}
    if (tier := values.get("service_tier")) is not None:
        plain["service_tier"] = _tier(tier)
    return plain


def _tier(tier: str) -> str:
    if tier not in _TIERS:
        allowed = ", ".join(map(shown, _TIERS))
        raise bad(("service_tier",), f"this provider has no tier {shown(tier)}; allowed: {allowed}")
    return _TIERS[tier]


def _tools(request: ChatRequest, model: str) -> Json:
    del model
    offered = request.values.get("tools")
    if not offered:
        return {}
    tools = [_tool(tool, index) for index, tool in enumerate(offered)]
    choice = _choice(request.values.get("tool_choice"))
    if request.values.get("parallel_tool_calls") is False and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {"tools": tools, **({"tool_choice": choice} if choice else {})}


def _tool(tool: Json, index: int) -> Json:
    if tool.get("type", "function") != "function":
        raise bad(("tools", index, "type"), "only functions can be offered to this provider")
    function = {name: value for name, value in tool["function"].items() if value is not None}
    schema = function.pop("parameters", None) or {"properties": {}}
    schema = {"type": "object", **schema}
    if function.get("strict"):
        schema = enforced(schema, ("tools", index, "function", "parameters"))
    others = {name: value for name, value in tool.items() if name not in {"type", "function"}}
    return {**function, "input_schema": schema, **others}


def _choice(choice: str | Json | None) -> Json | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        return {"type": _CHOICES[choice]}
    return {"type": "tool", "name": choice["function"]["name"]}


def _tool_names(request: ChatRequest) -> set[str]:
    tools = request.values.get("tools") or ()
    return {tool["function"]["name"] for tool in tools if "function" in tool}


def _reasoning(request: ChatRequest, model: str) -> Json:
    effort = request.values.get("reasoning_effort")
    if effort is None:
        return {}
    if effort not in models.EFFORTS:
        allowed = ", ".join(map(shown, models.EFFORTS))
        raise bad(("reasoning_effort",), f"unknown value {shown(effort)}; allowed: {allowed}")
    if models.takes_effort(model):
        return models.by_effort(model, effort)
    limit = _limit(request)
    if effort != "none" and limit is not None and limit <= models.LEAST_BUDGET:
        raise _no_room(request)
    return models.by_budget(effort, limit)


def _no_room(request: ChatRequest) -> BadRequest:
    known = "max_completion_tokens"
    name = known if known in request.values else "max_tokens"
    return bad((name,), f"must be over {models.LEAST_BUDGET} for this model to think")


def _schema(request: ChatRequest) -> Json | None:
    asked = request.values.get("response_format") or {}
    return asked["json_schema"] if asked.get("type") == "json_schema" else None


def _format(request: ChatRequest, model: str) -> Json:
    asked = _schema(request)
    if asked is None:
        return {}
    put: Callable[[ChatRequest, Json], Json]
    put = _answer_format if models.takes_schema(model) else _answer_tool
    return put(request, asked)


def _answer_format(request: ChatRequest, asked: Json) -> Json:
    del request
    if not _is_enforced(asked):
        return {}
    path = ("response_format", "json_schema", "schema")
    schema = enforced(asked.get("schema") or {"type": "object"}, path)
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def _answer_tool(request: ChatRequest, asked: Json) -> Json:
    """Offer the schema as a tool, and want it called unless another one may be."""
    name = asked["name"]
    if name in _tool_names(request):
        raise bad(("response_format", "json_schema", "name"), f"{shown(name)} is a tool's name too")
    choice = request.values.get("tool_choice")
    others = [_tool(tool, i) for i, tool in enumerate(request.values.get("tools") or ())]
    if choice == "required" or isinstance(choice, dict):
        return {}
    only = choice == "none" or not others
    wanted: Json = {"type": "tool", "name": name} if only else {"type": "any"}
    if request.values.get("parallel_tool_calls") is False:
        wanted["disable_parallel_tool_use"] = True
    schema = {"type": "object", **(asked.get("schema") or {})}
    told = asked.get("description") or "Call this with the answer, and only with it."
    tool = {"name": name, "description": told, "input_schema": schema}
    return {"tools": [*others, tool], "tool_choice": wanted}
