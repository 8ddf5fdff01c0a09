"""A chat completions request as Gemini's generateContent wants it. Pure.

https://ai.google.dev/api/generate-content and google-genai 3.4.0 (both seen 2026-11-23).
What has no place there and is not refused by the fidelity table is refused here, by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from standpipe.errors import BadRequest
from standpipe.providers.gemini.parts import drawn, media, signature, texts
from standpipe.providers.gemini.schema import held
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

#: What Google names to stand for a signature that the history does not have; without one, a
#: function call of the current turn is a 400 from Gemini 3 on.
#: https://ai.google.dev/gemini-api/docs/thought-signatures (seen 2026-11-23)
NO_SIGNATURE = "skip_thought_signature_validator"
MOST_STOPS = 5
MOST_CANDIDATES = 8

#: Models that count thoughts in tokens; later ones have levels, and check signatures.
_BY_BUDGET = re.compile(r"(?:models/|tunedModels/)?(?:gemini-[12]\b|gemma)")
#: https://ai.google.dev/gemini-api/docs/openai (seen 2026-11-23): Google's own equivalents.
BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
LEVELS = ("minimal", "low", "medium", "high", "xhigh")
TIERS = {"auto": None, "default": "standard", "flex": "flex", "priority": "priority"}

_SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}


def generate(request: ChatRequest, model: str) -> Json:
    """Return the body of a generateContent request."""
    talk = _Conversation(checks_signatures=not _BY_BUDGET.match(model))
    for index, message in enumerate(request.messages):
        talk.add(message, f"messages[{index}]")
    return {**talk.body(), **_tools(request.values), **_settings(request, model, talk)}


def _settings(request: ChatRequest, model: str, talk: _Conversation) -> Json:
    values = request.values
    config = {
        **{theirs: values[ours] for ours, theirs in _SAMPLING.items() if ours in values},
        **_limits(values),
        **_candidates(request.n),
        **_format(values.get("response_format")),
        **_thinking(values.get("reasoning_effort"), model),
        **_modalities(values.get("modalities")),
        **_resolution(talk.details),
    }
    tier = _tier(values.get("service_tier", "auto"))
    return {
        **({"generationConfig": config} if config else {}),
        **({"serviceTier": tier} if tier else {}),
    }


class _Conversation:
    """The messages so far, as system instruction and contents."""

    def __init__(self, *, checks_signatures: bool) -> None:
        self._checks_signatures = checks_signatures
        self._system: list[Json] = []
        self._contents: list[Json] = []
        #: The function of each call, by the call's id.
        self._called: dict[str, str] = {}
        #: How closely each image is to be seen.
        self.details: list[str] = []

    def body(self) -> Json:
        """Return the fields of the request that hold the conversation."""
        if not self._contents:
            # Instructions alone are no request to Gemini; OpenAI answers them.
            return {"contents": [{"role": "user", "parts": self._system}]}
        instruction = {"systemInstruction": {"parts": self._system}} if self._system else {}
        return {**instruction, "contents": self._contents}

    def add(self, message: Json, path: str) -> None:
        """Take the next message."""
        add = self._ROLES.get(message["role"])
        if add is None:
            raise _no(f"{path}.role", f"the role {message['role']!r}")
        add(self, message, path)

    def _add_system(self, message: Json, path: str) -> None:
        del path
        self._system += [{"text": text} for text in texts(message.get("content"))]

    def _add_user(self, message: Json, path: str) -> None:
        parts = self._parts(message.get("content"), f"{path}.content")
        self._contents.append({"role": "user", "parts": parts})

    def _parts(self, content: Any, path: str) -> list[Json]:
        if not isinstance(content, list):
            return [{"text": content or ""}]
        for part in content:
            if part.get("type") == "image_url":
                self.details.append(part["image_url"].get("detail") or "auto")
        return [media(part, f"{path}[{index}]") for index, part in enumerate(content)]

    def _add_assistant(self, message: Json, path: str) -> None:
        for field in ("function_call", "audio"):
            if message.get(field):
                raise _no(f"{path}.{field}", "this field")
        parts = [*_thoughts(message), *_said(message), *drawn(message)]
        calls = message.get("tool_calls") or []
        parts += [
            self._call(call, f"{path}.tool_calls[{index}]", first=index == 0)
            for index, call in enumerate(calls)
        ]
        if parts:
            self._contents.append({"role": "model", "parts": parts})

    def _call(self, call: Json, path: str, *, first: bool) -> Json:
        if call.get("type", "function") != "function":
            raise _no(f"{path}.type", f"a call of type {call['type']!r}")
        function = call["function"]
        self._called[call["id"]] = function["name"]
        arguments = _object(function["arguments"] or "{}")
        if arguments is None:
            raise BadRequest(
                f"{path}.function.arguments: must be a JSON object for Gemini",
                param=f"{path}.function.arguments",
            )
        part: Json = {
            "functionCall": {"id": call["id"], "name": function["name"], "args": arguments}
        }
        # Of calls made in parallel only the first has one.
        missing = NO_SIGNATURE if first and self._checks_signatures else None
        if sign := signature(call) or missing:
            part["thoughtSignature"] = sign
        return part

    def _add_tool(self, message: Json, path: str) -> None:
        name = self._called.get(message["tool_call_id"])
        if name is None:
            raise _no(f"{path}.tool_call_id", "an answer to a call that is not in the conversation")
        answer = "\n".join(texts(message.get("content")))
        found = _object(answer)
        response: Json = found if found is not None else {"output": answer}
        part = {
            "functionResponse": {"id": message["tool_call_id"], "name": name, "response": response}
        }
        # The answers to calls made together must stand together.
        if self._contents and "functionResponse" in self._contents[-1]["parts"][-1]:
            self._contents[-1]["parts"].append(part)
        else:
            self._contents.append({"role": "user", "parts": [part]})

    _ROLES: ClassVar[dict[str, Callable[[_Conversation, Json, str], None]]] = {
        "system": _add_system,
        "user": _add_user,
        "assistant": _add_assistant,
        "tool": _add_tool,
    }


def _thoughts(message: Json) -> list[Json]:
    thought = message.get("reasoning_content")
    return [{"text": thought, "thought": True}] if thought else []


def _said(message: Json) -> list[Json]:
    """Return the message's text; a signature is the last part's."""
    said = texts(message.get("content")) or texts(message.get("refusal"))
    parts: list[Json] = [{"text": text} for text in said if text]
    if sign := signature(message):
        last = parts.pop() if parts else {"text": ""}
        parts.append({**last, "thoughtSignature": sign})
    return parts


def _object(text: str) -> dict[str, msgspec.Raw] | None:
    """Return a JSON object, its values as they were written; None for anything else."""
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return None


def _tools(values: Json) -> Json:
    offered = values.get("tools")
    if not offered:
        return {}
    declared = [_declaration(tool, f"tools[{index}]") for index, tool in enumerate(offered)]
    choice = _choice(values.get("tool_choice"), strict=_is_strict(offered))
    tools: Json = {"tools": [{"functionDeclarations": declared}]}
    return {**tools, "toolConfig": {"functionCallingConfig": choice}} if choice else tools


def _is_strict(tools: list[Json]) -> bool:
    return any(tool["function"].get("strict") for tool in tools)


def _declaration(tool: Json, path: str) -> Json:
    if tool.get("type", "function") != "function":
        raise _no(f"{path}.type", f"a tool of type {tool['type']!r}")
    function = tool["function"]
    declared = {"name": function["name"]}
    for ours, theirs in (("description", "description"), ("parameters", "parametersJsonSchema")):
        if function.get(ours) is not None:
            declared[theirs] = function[ours]
    return declared


#: https://ai.google.dev/gemini-api/docs/function-calling (seen 2026-11-23). VALIDATED is AUTO
#: held to the functions' schemas; ANY always is.
_MODES = {"none": "NONE", "auto": "AUTO", "required": "ANY"}


def _choice(choice: Any, *, strict: bool) -> Json:
    if choice is None or choice == "auto":
        return {"mode": "VALIDATED"} if strict else {}
    if isinstance(choice, str):
        return {"mode": _MODES[choice]}
    if choice.get("type", "function") != "function":
        raise _no("tool_choice.type", f"a tool choice of type {choice['type']!r}")
    return {"mode": "ANY", "allowedFunctionNames": [choice["function"]["name"]]}


def _limits(values: Json) -> Json:
    limits: Json = {}
    most = values.get("max_completion_tokens", values.get("max_tokens"))
    if most is not None:
        limits["maxOutputTokens"] = int(most)
    if (seed := values.get("seed")) is not None:
        if not -(2**31) <= seed < 2**31:
            raise _no("seed", f"{seed}, only whole numbers of 32 bits with a sign,")
        limits["seed"] = int(seed)
    if stop := values.get("stop"):
        limits["stopSequences"] = stops = [stop] if isinstance(stop, str) else stop
        if len(stops) > MOST_STOPS:
            raise _no("stop", f"more than {MOST_STOPS} stop sequences")
    return limits


def _candidates(n: int) -> Json:
    if n > MOST_CANDIDATES:
        raise _no("n", f"more than {MOST_CANDIDATES} choices")
    return {"candidateCount": n} if n > 1 else {}


def _format(wanted: Json | None) -> Json:
    kind = (wanted or {}).get("type", "text")
    if kind == "text":
        return {}
    if kind not in ("json_object", "json_schema"):
        raise _no("response_format.type", f"the format {kind!r}")
    json_form: Json = {"responseMimeType": "application/json"}
    asked = (wanted or {}).get("json_schema") or {}
    if asked.get("schema") is None:
        return json_form
    strict = bool(asked.get("strict"))
    schema = held(asked["schema"], "response_format.json_schema.schema", strict=strict)
    return {**json_form, "responseJsonSchema": schema}


def _thinking(effort: str | None, model: str) -> Json:
    if effort is None:
        return {}
    by_budget = _BY_BUDGET.match(model) is not None
    if effort not in (BUDGETS if by_budget else LEVELS):
        raise _no("reasoning_effort", f"{effort[:60]!r} by the model {model!r}")
    if not by_budget:
        return {"thinkingConfig": {"thinkingLevel": effort.upper(), "includeThoughts": True}}
    budget = BUDGETS[effort]
    return {"thinkingConfig": {"thinkingBudget": budget, "includeThoughts": budget > 0}}


def _modalities(wanted: list[str] | None) -> Json:
    if not wanted or wanted == ["text"]:
        return {}
    for kind in wanted:
        if kind not in ("text", "image"):
            raise _no("modalities", f"answers in {kind[:60]!r}")
    return {"responseModalities": [kind.upper() for kind in wanted]}


def _resolution(details: list[str]) -> Json:
    """Return how closely images are seen: Gemini says it once for all of them.

    So a wish for detail wins, and one for little is honoured where all images have it.
    """
    if "high" in details:
        return {"mediaResolution": "MEDIA_RESOLUTION_HIGH"}
    all_low = details and set(details) == {"low"}
    return {"mediaResolution": "MEDIA_RESOLUTION_LOW"} if all_low else {}


def _tier(wanted: str) -> str | None:
    if wanted not in TIERS:
        raise _no("service_tier", f"{wanted[:60]!r}")
    return TIERS[wanted]


def _no(param: str, what: str) -> BadRequest:
    return BadRequest(f"{param}: Gemini does not take {what}", param=param)
