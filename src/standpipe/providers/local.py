"""The local model's dialect: OpenAI's form, as llama.cpp's server really reads it.

https://github.com/ggml-org/llama.cpp/tree/master/tools/server (seen 2026-11). The server ignores
what it does not know and some of what it does; so every field is in the table `FIELDS`, with what
becomes of it, and a field that is not there is refused: llama.cpp has fields of its own (n_discard,
lora, slots, grammars) that must not be set by a caller. Pure; knows nothing of the process.

Told, but not mended: a JSON answer may be preceded by a Markdown fence that is not in `content`
but is in `logprobs`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from standpipe import errors
from standpipe.providers import local_schema

Json = dict[str, Any]
Fields = Mapping[str, msgspec.Raw]
Check = Callable[[str, Any], None]

SYSTEM = "You are a helpful assistant."
SAMPLING: Mapping[str, float] = {"temperature": 0.2, "top_p": 0.9, "repeat_penalty": 1.1}
_NULL = b"null"
_RETRY_AFTER_S = 1.0


class Field(NamedTuple):
    """What becomes of a request's field that is not null."""

    word: Literal["native", "emulated", "refused"]
    #: Raises BadRequest, naming the field, for a value that cannot be honoured.
    check: Check
    note: str = ""


def refuse(fields: Fields) -> None:
    """Raise BadRequest for the first field that the local model cannot honour."""
    for name, raw in fields.items():
        field = FIELDS.get(name)
        if field is None:
            raise _no(name, "this field")
        if raw != _NULL:
            field.check(name, msgspec.json.decode(raw))


def adapt(
    fields: Fields, *, system: str | None = SYSTEM, sampling: Mapping[str, float] = SAMPLING
) -> dict[str, object]:
    """Return the fields to set in the body for the engine; call `refuse` first.

    `system` is said first if the caller says nothing in that role; `sampling` fills what the
    caller leaves open. Both are tuned to the default model.
    """
    changes: dict[str, object] = {"messages": _messages(fields, system)}
    changes |= {name: value for name, value in sampling.items() if not _given(fields, name)}
    if _wants_logprobs(fields) and asked_top_logprobs(fields) == 0:
        changes["top_logprobs"] = 1  # llama.cpp gives no logprobs at all without
    return changes


def emulated(fields: Fields) -> tuple[str, ...]:
    """Return what `adapt` changes in meaning, for the `standpipe-fidelity` header."""
    messages = msgspec.json.decode(fields["messages"])
    text = [text for message in messages for text in _texts(message.get("content"))]
    seen = {
        "messages.role=developer": any(message["role"] == "developer" for message in messages),
        "messages.name": any(message.get("name") for message in messages),
        "messages.content=control-tokens": any(map(_CONTROL.search, text)),
    }
    return tuple(what for what, is_so in seen.items() if is_so)


def asked_top_logprobs(fields: Fields) -> int:
    """Return how many alternatives a token the caller asked for, to give to `completion`."""
    asked = fields.get("top_logprobs")
    return int(msgspec.json.decode(asked) or 0) if asked else 0


def _given(fields: Fields, name: str) -> bool:
    return fields.get(name, _NULL) != _NULL


def _wants_logprobs(fields: Fields) -> bool:
    return fields.get("logprobs") == b"true"


def _messages(fields: Fields, system: str | None) -> list[Json]:
    messages = [_message(message) for message in msgspec.json.decode(fields["messages"])]
    if system is not None and not any(message["role"] == "system" for message in messages):
        messages.insert(0, {"role": "system", "content": system})
    return messages


def _message(message: Json) -> Json:
    role = {"developer": "system"}.get(message["role"], message["role"])
    text = "\n".join(_texts(message.get("content")) or _texts(message.get("refusal")))
    name = message.get("name")  # chat templates leave it out
    return {"role": role, "content": inert(f"{name}: {text}" if name else text)}


def _texts(content: Any) -> list[str]:
    """Return the texts of a message's content; llama.cpp puts a line break between parts too."""
    if isinstance(content, list):
        return [part.get("text") or part.get("refusal") or "" for part in content]
    return [content] if content else []


# Markup that a tokenizer would read as its control tokens, so that a text could end its message
# and begin another in the system's name: ChatML and its kin, SmolLM2's, Llama 2's, Gemma's.
_CONTROL = re.compile(
    r"<(?=[|\uff5c][^<>\s]{1,64}[|\uff5c]>"
    r"|(?:repo_name|reponame|file_sep|filename|gh_stars|issue_(?:start|comment|closed)"
    r"|jupyter_(?:start|text|code|output|script)|empty_output"
    r"|/?s|bos|eos|pad|unk|(?:start|end)_of_turn|start_of_image)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])"
)


def inert(text: str) -> str:
    """Put a zero-width joiner into what looks like a control token: it reads the same."""
    return _CONTROL.sub(lambda match: match[0] + "\u200d", text)


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
    "top_logprobs": Field("native", _any),
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


def completion(body: Json, *, top_logprobs: int = 20) -> Json:
    """Return a whole answer in OpenAI's form; `top_logprobs` is what the caller asked for."""
    return _each_choice(body, lambda choice: _choice(choice, "message", top_logprobs))


def chunk(body: Json, *, top_logprobs: int = 20) -> Json:
    """Return a chunk of a stream in OpenAI's form; `top_logprobs` is what the caller asked for."""
    return _each_choice(body, lambda choice: _choice(choice, "delta", top_logprobs))


def _each_choice(body: Json, repair: Callable[[Json], Json]) -> Json:
    if not isinstance(body.get("choices"), list):
        return body
    return {**body, "choices": [repair(choice) for choice in body["choices"]]}


def _choice(choice: Json, part: str, top_logprobs: int) -> Json:
    said = choice.get(part)
    repaired = {**choice, "logprobs": _logprobs(choice.get("logprobs"), top_logprobs)}
    # Where a message begins, OpenAI says role, content and refusal; llama.cpp's content is null.
    if isinstance(said, dict) and "role" in said:
        repaired[part] = {**said, "content": said.get("content") or "", "refusal": None}
    return repaired


def _logprobs(logprobs: Json | None, top: int) -> Json | None:
    if not logprobs or not isinstance(logprobs.get("content"), list):
        return logprobs
    tokens = [
        {**_token(entry), "top_logprobs": [_token(e) for e in entry.get("top_logprobs", ())][:top]}
        for entry in logprobs["content"]
    ]
    return {"refusal": None, **logprobs, "content": tokens}


def _token(entry: Json) -> Json:
    return {name: value for name, value in entry.items() if name != "id"}


# What llama.cpp says of a request, the field it is about, and our words where its own mislead.
_SAYINGS: tuple[tuple[re.Pattern[str], str, str | None], ...] = (
    (re.compile(r"(JSON schema .*)", re.DOTALL), "response_format", None),
    (
        re.compile(r"failed to parse grammar"),
        "response_format",
        "the schema is too large for the local model: smaller bounds on lengths and items may do",
    ),
    (
        re.compile(r"does not match the expected"),
        "response_format",
        "the local model's answer cannot be read back by this schema; a simpler pattern may do",
    ),
    (re.compile(r"response_format"), "response_format", None),
    (re.compile(r"Field '([\w.]+)'"), "", None),
)


def error(status: int, body: bytes) -> errors.ApiError:
    """Return the error that an answer of the engine's with an error status stands for."""
    said = _said(body)
    message = str(said.get("message") or f"the local model answered {status}")
    if said.get("type") == "exceed_context_size_error":
        return _too_long(said)
    for pattern, param, words in _SAYINGS:
        if found := pattern.search(message):
            text = words or (found[0] if param and found.groups() else message)
            return _bad(param or found[1], text)
    if status in {400, 413, 422}:
        return errors.BadRequest(f"the local model refused the request: {message}")
    return errors.Unavailable(
        f"the local model cannot answer now: {message}", retry_after=_RETRY_AFTER_S
    )


def _said(body: bytes) -> Json:
    try:
        said = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    said = said.get("error") if isinstance(said, dict) else None
    return said if isinstance(said, dict) else {}


def _bad(param: str, text: str) -> errors.BadRequest:
    return errors.BadRequest(f"{param}: {text}", param=param)


def _too_long(said: Json) -> errors.BadRequest:
    return errors.BadRequest(
        f"This model's maximum context length is {said.get('n_ctx')} tokens. However, your "
        f"messages resulted in {said.get('n_prompt_tokens')} tokens. Please reduce the length of "
        "the messages.",
        param="messages",
        openai_code="context_length_exceeded",
    )
