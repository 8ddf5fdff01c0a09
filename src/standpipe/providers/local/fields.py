"""What becomes of each feature and each field of a request to the local model: two tables.

llama.cpp's server ignores the fields it does not know and some that it does, and has fields of its
own (n_discard, lora, slots, grammars) that a caller must not set. So a field that is not in
`FIELDS` is refused, and so is a value that could not be honoured. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from standpipe import errors
from standpipe.providers.dialect import Fidelity

Json = dict[str, Any]
Check = Callable[[str, Any], None]

#: What the caller leaves open; without it the default model soon repeats itself.
SAMPLING: Mapping[str, float] = {"temperature": 0.2, "top_p": 0.9, "repeat_penalty": 1.1}


def refuse(fields: Mapping[str, msgspec.Raw]) -> None:
    """Raise BadRequest for the first field that the local model cannot honour."""
    for name, raw in fields.items():
        check = FIELDS.get(name)
        if check is None:
            raise _no(name, "this field")
        if (value := msgspec.json.decode(raw)) is not None:
            check(name, value)


def _no(param: str, what: str) -> errors.BadRequest:
    return errors.BadRequest(
        f"{param}: the local model does not support {what}; "
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


_MESSAGE: Mapping[str, Check] = {
    "role": _any,
    "name": _any,
    "refusal": _any,
    "tool_calls": _any,
    "tool_call_id": _any,
    "function_call": _any,
    "reasoning_content": _any,
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


def _check_tools(param: str, value: Any) -> None:
    for i, tool in enumerate(value):
        if tool.get("type") != "function":
            raise _no(f"{param}[{i}].type", f"tools of type {str(tool.get('type'))[:60]!r}")


def _check_format(param: str, value: Any) -> None:
    if value.get("type") not in ("text", "json_object", "json_schema"):
        raise _no(f"{param}.type", f"{str(value.get('type'))[:60]!r}")


#: The check of each field, which raises BadRequest naming the field; null passes.
FIELDS: Mapping[str, Check] = {
    "messages": _check_messages,
    "model": _any,
    "stream": _any,
    "stream_options": _any,
    "max_tokens": _any,
    "max_completion_tokens": _any,
    "temperature": _any,
    "top_p": _any,
    "presence_penalty": _any,
    "frequency_penalty": _any,
    "logit_bias": _logit_bias,  # ids of the model's own tokenizer
    "stop": _stop,
    "seed": _any,
    "logprobs": _any,
    "top_logprobs": _any,
    "response_format": _check_format,
    "n": _only(1),
    "tools": _check_tools,
    "tool_choice": _any,
    "parallel_tool_calls": _any,
    "functions": _unless_empty("functions"),
    "function_call": _only("none", "auto"),
    "audio": _unless_empty("audio"),
    "modalities": _only([], ["text"]),
    "prediction": _unless_empty("predicted outputs"),
    "web_search_options": _only(),
    "reasoning_effort": _only("none"),
    "verbosity": _only("medium"),
    "service_tier": _only("auto", "default"),
    # These say nothing to the model.
    "store": _any,
    "metadata": _any,
    "user": _any,
    "safety_identifier": _any,
    "prompt_cache_key": _any,
    "prompt_cache_retention": _any,
    # llama.cpp's own; 0 is off, and 1 for the penalty.
    "top_k": _number(0, 1_000_000, whole=True),
    "min_p": _number(0, 1),
    "typical_p": _number(0, 1),
    "repeat_penalty": _number(0.1, 10),
    "repeat_last_n": _number(0, 8192, whole=True),
}

#: The word for each feature of `wire.features`. With `n`, llama.cpp counts the usage of the first
#: choice only, and takes no more than it has slots; so it is called once for each.
FIDELITY: Mapping[str, Fidelity] = {
    "max_tokens": "native",
    "max_completion_tokens": "native",
    "temperature": "native",
    "temperature>1": "native",
    "top_p": "native",
    "presence_penalty": "native",
    "frequency_penalty": "native",
    "stop": "native",
    "stop>4": "native",
    "seed": "native",
    "logit_bias": "native",
    "logprobs": "native",
    "top_logprobs": "native",
    "n>1": "emulated",
    "user": "native",
    "stream": "native",
    "stream_options.include_usage": "native",
    "tools": "native",
    "tools.strict": "native",
    "tools:other": "refused",
    "tool_choice:none": "native",
    "tool_choice:required": "native",
    "tool_choice:function": "native",
    "parallel_tool_calls:false": "native",
    "functions": "emulated",
    "function_call:none": "emulated",
    "function_call:name": "emulated",
    "response_format:json_object": "native",
    "response_format:json_schema": "native",
    "response_format:other": "refused",
    "reasoning_effort": "refused",
    "modalities:audio": "emulated",
    "audio.voice": "emulated",
    "prediction": "refused",
    "service_tier": "native",
    "verbosity": "refused",
    "web_search_options": "refused",
    "role:developer": "emulated",
    "role:function": "emulated",
    "message.name": "emulated",
    "message.audio": "emulated",
    "content:image_url": "refused",
    "image_url.detail": "refused",
    "content:image_url.remote": "refused",
    "content:input_audio": "emulated",
    "content:file": "refused",
    "content:other": "refused",
}
