"""What becomes of each field of a request to the local model: a table.

llama.cpp's server ignores the fields it does not know and some that it does, and has fields of its
own (n_discard, lora, slots, grammars) that a caller must not set. So a field that is not in
`FIELDS` is refused, and so is a value that could not be honoured. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from standpipe import errors
from standpipe.providers import local_schema

Json = dict[str, Any]
Check = Callable[[str, Any], None]

#: What the caller leaves open; without it the default model soon repeats itself.
SAMPLING: Mapping[str, float] = {"temperature": 0.2, "top_p": 0.9, "repeat_penalty": 1.1}


class Field(NamedTuple):
    """What becomes of a request's field that is not null."""

    word: Literal["native", "emulated", "refused"]
    #: Raises BadRequest, naming the field, for a value that cannot be honoured.
    check: Check
    note: str = ""


def refuse(fields: Mapping[str, msgspec.Raw]) -> None:
    """Raise BadRequest for the first field that the local model cannot honour."""
    for name, raw in fields.items():
        field = FIELDS.get(name)
        if field is None:
            raise _no(name, "this field")
        if (value := msgspec.json.decode(raw)) is not None:
            field.check(name, value)


def _no(param: str, what: str) -> errors.BadRequest:
    return errors.BadRequest(
        f"{param}: the local model does not support {what} yet; "
        "remove the field or route the call to another provider",
        param=param,
    )


def _any(param: str, value: Any) -> None:
    """Accept what `wire.chat` has already checked."""


def _unless_empty(what: str) -> Check:
    def check(param: str, value: Any) -> None:
        if value:
            raise _no(param, what)

    return check


def _only(*allowed: object) -> Check:
    def check(param: str, value: Any) -> None:
        if value not in allowed:
            raise _no(param, msgspec.json.encode(value).decode()[:60])

    return check


def _number(low: float, high: float, *, whole: bool = False) -> Check:
    kind = "a whole number" if whole else "a number"

    def check(param: str, value: Any) -> None:
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not fits or not low <= value <= high:
            shown = msgspec.json.encode(value).decode()[:60]
            raise errors.BadRequest(
                f"{param}: must be {kind} from {low} to {high}, not {shown}", param=param
            )

    return check


def _stop(param: str, value: Any) -> None:
    if "" in ([value] if isinstance(value, str) else value):
        raise errors.BadRequest(
            f"{param}: an empty string would end every answer before it begins; remove it",
            param=param,
        )


def _logit_bias(param: str, value: Any) -> None:
    for token in value:
        if not (token.isascii() and token.isdigit()):
            raise errors.BadRequest(f"{param}: {token[:60]!r} is not a token id", param=param)


_FUNCTIONS = _unless_empty("functions")
_MESSAGE: Mapping[str, Check] = {
    "role": _only("system", "developer", "user", "assistant"),
    "name": _any,
    "refusal": _any,
    "tool_calls": _unless_empty("tool calls"),
    "function_call": _FUNCTIONS,
    "audio": _unless_empty("audio"),
    "annotations": _unless_empty("annotations"),
}
_OTHER = _unless_empty("this field")
_PARTS = ("text", "refusal")


def _check_messages(param: str, value: Any) -> None:
    for i, message in enumerate(value):
        for name, content in message.items():
            if name == "content":
                _check_parts(f"{param}[{i}].content", content)
            else:
                _MESSAGE.get(name, _OTHER)(f"{param}[{i}].{name}", content)


def _check_parts(param: str, content: Any) -> None:
    parts: Iterable[Json] = content if isinstance(content, list) else ()
    for j, part in enumerate(parts):
        if part.get("type") not in _PARTS:
            raise _no(f"{param}[{j}].type", f"content of type {str(part.get('type'))[:60]!r}")


_NOT_OURS = "says nothing to the model"
FIELDS: Mapping[str, Field] = {
    "messages": Field(
        "emulated",
        _check_messages,
        "text only; developer is sent as system, a name as the text's first word",
    ),
    "model": Field("native", _any),
    "stream": Field("native", _any),
    "stream_options": Field("native", _any),
    "max_tokens": Field("native", _any),
    "max_completion_tokens": Field("native", _any),
    "temperature": Field("native", _any, f"{SAMPLING['temperature']} if not given"),
    "top_p": Field("native", _any, f"{SAMPLING['top_p']} if not given"),
    "presence_penalty": Field("native", _any),
    "frequency_penalty": Field("native", _any),
    "logit_bias": Field("native", _logit_bias, "ids of the model's own tokenizer"),
    "stop": Field("native", _stop),
    "seed": Field("native", _any),
    "logprobs": Field("native", _any),
    "top_logprobs": Field("native", _any, "one alternative is always given"),
    "response_format": Field("native", local_schema.check, local_schema.NOTE),
    "n": Field("refused", _only(1), "1 only"),
    "tools": Field("refused", _unless_empty("tools")),
    "tool_choice": Field("refused", _only("none", "auto")),
    "parallel_tool_calls": Field("native", _any, "without tools it says nothing"),
    "functions": Field("refused", _FUNCTIONS),
    "function_call": Field("refused", _only("none", "auto")),
    "audio": Field("refused", _unless_empty("audio")),
    "modalities": Field("refused", _only([], ["text"]), "text only"),
    "prediction": Field("refused", _unless_empty("predicted outputs")),
    "web_search_options": Field("refused", _only()),
    "reasoning_effort": Field("refused", _only("none"), "none only"),
    "verbosity": Field("refused", _only("medium"), "medium only"),
    "service_tier": Field("refused", _only("auto", "default"), "auto and default only"),
    "store": Field("native", _any, _NOT_OURS),
    "metadata": Field("native", _any, _NOT_OURS),
    "user": Field("native", _any, _NOT_OURS),
    "safety_identifier": Field("native", _any, _NOT_OURS),
    "prompt_cache_key": Field("native", _any, _NOT_OURS),
    "prompt_cache_retention": Field("native", _any, _NOT_OURS),
    "top_k": Field("native", _number(0, 1_000_000, whole=True), "llama.cpp's; 0 is off"),
    "min_p": Field("native", _number(0, 1), "llama.cpp's"),
    "typical_p": Field("native", _number(0, 1), "llama.cpp's"),
    "repeat_penalty": Field("native", _number(0.1, 10), "llama.cpp's; 1 is off"),
    "repeat_last_n": Field("native", _number(0, 8192, whole=True), "llama.cpp's, in tokens"),
}
