"""`response_format` where a provider cannot hold to it: asked for in words, checked, mended once.

An answer that is still wrong is an error that names what is wrong, never a success.
"""

from __future__ import annotations

from typing import Any

import msgspec

from standpipe.calls.emulation import replay
from standpipe.calls.emulation.checker import Checker, Fault
from standpipe.calls.emulation.source import Emit, Make, Tries
from standpipe.errors import BadRequest, NotACompletion

Json = dict[str, Any]

#: Largest schema that is taken, in bytes of JSON.
MAX_SCHEMA = 64 * 1024
SCHEMA_FIELD = "response_format.json_schema.schema"

_ASK = (
    "Answer with {what} and nothing else: no words before or after it, no Markdown.{schema}"
    "\nThis does not hold for the calls of tools."
)
_MEND = (
    "That answer cannot be used: {faults}\n"
    "Say it again as JSON that is right, whole and short, and nothing else."
)
_LIMIT = "it was cut off at the limit of tokens (max_tokens, max_completion_tokens)"
_CUT = Fault(_LIMIT, _LIMIT)
_ANY_OBJECT: Json = {"type": "object"}
#: Ends of an answer that has no JSON to check: the model refused, or calls a tool.
_OTHER_ANSWERS = ("refusal", "tool_calls", "function_call")


class Checked:
    """Answers that are valid against the format that was asked for."""

    def __init__(self, make: Make, tries: Tries, checker: Checker, body: Json) -> None:
        self._make = make
        self._checker = checker
        wanted = body["response_format"]
        self._schema = _schema(wanted)
        self._body = _asking(body, wanted, native=_native(tries, self._schema))

    async def whole(self) -> Json:
        """Return the completion, its content JSON as asked; NotACompletion if it is not."""
        await self._check_schema()
        answer = await self._make(self._body).whole()
        if faults := await self._faults(answer):
            answer = await self._make(_mending(self._body, answer, faults)).whole()
            if still := await self._faults(answer):
                raise NotACompletion(
                    f"response_format: the model's answer does not hold to it, nor did a second "
                    f"one that was told what was wrong: {still[0].rule}"
                )
        return {**answer, "choices": [_bare(choice) for choice in answer["choices"]]}

    async def stream(self, emit: Emit) -> None:
        """Emit the whole answer once it is known to be valid."""
        await emit(replay.chunks(await self.whole()))

    async def _check_schema(self) -> None:
        fault = await self._checker.schema_fault(self._schema)
        if fault is not None:
            raise BadRequest(f"{SCHEMA_FIELD}: {fault}", param=SCHEMA_FIELD)

    async def _faults(self, answer: Json) -> list[Fault]:
        """Return what is wrong with an answer, [] for one that is right."""
        for choice in answer["choices"]:
            message = choice["message"]
            if any(message.get(name) for name in _OTHER_ANSWERS):
                continue
            if choice.get("finish_reason") == "content_filter":
                continue
            faults = await self._checker.faults(self._schema, _unfenced(message.get("content")))
            if faults:
                return [*_cut(choice), *faults]
        return []


def _schema(wanted: Json) -> Json:
    """Return the schema of a format; BadRequest for one that is too large."""
    if wanted["type"] == "json_object":
        return _ANY_OBJECT
    schema: Json = wanted["json_schema"].get("schema") or {}
    size = len(msgspec.json.encode(schema))
    if size > MAX_SCHEMA:
        raise BadRequest(
            f"{SCHEMA_FIELD}: {size} bytes are over the {MAX_SCHEMA} that can be checked; "
            "make it smaller or route the call to another provider",
            param=SCHEMA_FIELD,
        )
    return schema


def _native(tries: Tries, schema: Json) -> bool:
    """Tell whether the provider can at least be held to some JSON object."""
    is_object = schema.get("type") == "object"
    return is_object and tries.word("response_format:json_object") == "native"


def _asking(body: Json, wanted: Json, *, native: bool) -> Json:
    """Return the request that asks in words."""
    asked = {name: body[name] for name in body if name != "response_format"}
    if native:
        asked["response_format"] = {"type": "json_object"}
    return {**asked, "messages": _with_system(body["messages"], _words(wanted))}


def _words(wanted: Json) -> str:
    if wanted["type"] == "json_object":
        return _ASK.format(what="one JSON object", schema="")
    named = wanted["json_schema"]
    schema = msgspec.json.encode(named.get("schema") or {}).decode()
    about = f" ({named['description']})" if named.get("description") else ""
    told = f" It must be valid against this JSON Schema, {named['name']}{about}:\n{schema}"
    return _ASK.format(what="one JSON value", schema=told)


def _with_system(messages: list[Json], text: str) -> list[Json]:
    """Return the messages with a text added to the system's, as some providers take only one."""
    first, *rest = messages
    if first["role"] not in ("system", "developer"):
        return [{"role": "system", "content": text}, *messages]
    content = first.get("content") or ""
    if isinstance(content, list):
        return [{**first, "content": [*content, {"type": "text", "text": text}]}, *rest]
    return [{**first, "content": f"{content}\n\n{text}".strip()}, *rest]


def _mending(body: Json, answer: Json, faults: list[Fault]) -> Json:
    """Return the request that shows the model what it said and what is wrong with it."""
    said = answer["choices"][0]["message"].get("content") or "(nothing)"
    turn = [
        {"role": "assistant", "content": said},
        {"role": "user", "content": _MEND.format(faults=_listed(faults))},
    ]
    return {**body, "messages": [*body["messages"], *turn]}


def _listed(faults: list[Fault]) -> str:
    return "".join(f"\n- {fault.message}" for fault in faults)


def _cut(choice: Json) -> list[Fault]:
    return [_CUT] if choice.get("finish_reason") == "length" else []


def _bare(choice: Json) -> Json:
    """Return the choice with its JSON alone, for one that has any."""
    message = choice["message"]
    if any(message.get(name) for name in _OTHER_ANSWERS) or not message.get("content"):
        return choice
    return {**choice, "message": {**message, "content": _unfenced(message["content"])}}


def _unfenced(content: Any) -> str:
    """Return what is inside a Markdown fence around all of a text, or else the text."""
    text = content.strip() if isinstance(content, str) else ""
    first, line_end, rest = text.partition("\n")
    if first.strip().lower() not in ("```", "```json") or not line_end or not rest.endswith("```"):
        return text
    return rest.removesuffix("```").strip()
