"""The grammar that the model's answer is held to: a schema's JSON, calls of tools, or text.

It is written for LLGuidance (https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md,
seen 2026-11), which reads a schema of a thousand values in milliseconds; llama.cpp's own grammars
take seconds, in which every other call stands still. Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec

from standpipe.providers.local import schema as local_schema
from standpipe.providers.local.rules import Rules
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

#: What stands round a call, in the prompt and in the answer.
OPEN, CLOSE = "<tool_call>", "</tool_call>"
#: The last line, which names the token that ends a turn. LLGuidance takes another for it, and
#: the model could only stop where the grammar lets it do nothing else. The engine puts in the
#: name that this token has in its model.
END = "end: <|im_end|>\n"
#: Calls in one answer.
MOST_CALLS = 4

_SCHEMA = "response_format.json_schema.schema"
# A part of the text that could yet become a call is not text.
_TEXT = f"TEXT: /(?s:.)*/ & ~/(?s:.)*{OPEN}(?s:.)*/\npre[lazy]: /(?s:.)*{OPEN}/\n"
#: Tokens round the arguments of a call.
_CALL_ROOM = 24


def tools(request: ChatRequest) -> list[Json]:
    """Return the functions that the model may call now."""
    choice = request.values.get("tool_choice")
    offered = [tool["function"] for tool in request.values.get("tools", [])]
    if choice == "none":
        return []
    if isinstance(choice, dict):
        return [each for each in offered if each["name"] == choice["function"]["name"]]
    return offered


def must_call(request: ChatRequest) -> bool:
    """Tell whether the answer has to be a call."""
    choice = request.values.get("tool_choice")
    return choice == "required" or isinstance(choice, dict)


def schema(request: ChatRequest) -> Json | None:
    """Return the schema that the caller wants the text to be valid against, None for any text."""
    wanted = request.values.get("response_format", {"type": "text"})
    if wanted["type"] == "json_object":
        return {"type": "object"}
    if wanted["type"] != "json_schema":
        return None
    given: Json = wanted["json_schema"].get("schema") or {}
    return given


def grammar(request: ChatRequest, room: int) -> str | None:
    """Return the grammar of an answer of about `room` tokens, None where any text will do.

    BadRequest for a schema that the model cannot be held to.
    """
    limit = request.values.get("max_completion_tokens") or request.values.get("max_tokens")
    room = min(int(limit or room), room)
    forms, rules = _text(request, room)
    if callable_tools := tools(request):
        calls = _calls(request, callable_tools, room)
        is_text = not forms
        forms = [] if must_call(request) else forms or ["TEXT"]
        rules = [*rules, *calls]
        forms.append("called" if must_call(request) or not is_text else "pre call more")
        rules.append("" if must_call(request) or not is_text else _TEXT)
    if not forms:
        return None
    start = " | ".join(f"{form} end" for form in forms)
    return f"%llguidance {{}}\nstart: {start}\n{''.join(rules)}{END}"


def _text(request: ChatRequest, room: int) -> tuple[list[str], list[str]]:
    """Return the forms that the answer's text may have, none for any, and their rules."""
    wanted = schema(request)
    if wanted is None or (must_call(request) and tools(request)):
        return [], []
    spec = request.values["response_format"].get("json_schema") or {}
    strict = spec.get("strict") is True
    narrowed = local_schema.bounded(wanted, param=_SCHEMA, strict=strict, room=room)
    rules = Rules("j")
    return [rules.add(narrowed)], [rules.text()]


def _calls(request: ChatRequest, functions: list[Json], room: int) -> list[str]:
    local_schema.check_size({"tools": functions}, "tools")
    is_one = request.values.get("parallel_tool_calls") is False
    is_one = is_one or isinstance(request.values.get("tool_choice"), dict)
    most = 1 if is_one else max(1, min(MOST_CALLS, room // (10 * _CALL_ROOM)))
    each = max(_CALL_ROOM, room // most - _CALL_ROOM)
    rules = [_call(index, function, each) for index, function in enumerate(functions)]
    which = " | ".join(f"c{index}" for index in range(len(functions)))
    again = f'("\\n{OPEN}" call){{0,{most - 1}}}' if most > 1 else '""'
    return [
        f'called: "{OPEN}" call more\n',
        f"more: {again}\n",
        f'call: "\\n" ({which}) "\\n{CLOSE}"\n',
        *rules,
    ]


def _call(index: int, function: Json, room: int) -> str:
    narrowed = local_schema.bounded(
        {"type": "object", "properties": {}} | (function.get("parameters") or {}),
        param=f"tools[{index}].function.parameters",
        strict=function.get("strict") is True,
        room=room,
    )
    rules = Rules(f"a{index}_")
    head = msgspec.json.encode(f'{{"name": "{function["name"]}", "arguments": ').decode()
    return f'c{index}: {head} {rules.add(narrowed)} "}}"\n{rules.text()}'
