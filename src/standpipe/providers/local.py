"""The local model's dialect: OpenAI's form, as llama.cpp's server really reads it.

https://github.com/ggml-org/llama.cpp/tree/master/tools/server (seen 2026-11). What becomes of each
field is in `local_fields`; this is how a request is put, and how the answers are made OpenAI's.
Pure; knows nothing of the process.

Told, but not mended: a JSON answer may be preceded by a Markdown fence that is not in `content`
but is in `logprobs`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from typing_extensions import override

from standpipe import errors
from standpipe.providers.dialect import Decoder, Fidelity, Outgoing, Quirks, Whole
from standpipe.providers.local_fields import SAMPLING, refuse
from standpipe.providers.openai import OpenAI, StreamDecoder
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]
Fields = Mapping[str, msgspec.Raw]

SYSTEM = "You are a helpful assistant."


class Local(OpenAI):
    """The dialect of our own engine.

    `system` and `sampling` are as for `adapt`; other models than the default one need neither.
    """

    name = "local"
    fidelity: Mapping[str, Fidelity] = {
        "role:developer": "emulated",
        "message.name": "emulated",
    }

    def __init__(
        self, *, system: str | None = SYSTEM, sampling: Mapping[str, float] = SAMPLING
    ) -> None:
        self._system = system
        self._sampling = sampling

    @override
    def prepare(self, request: ChatRequest, model: str, quirks: Quirks) -> Outgoing:
        """Return the body for the engine; BadRequest for what it cannot honour."""
        refuse(request.fields)
        return super().prepare(request, model, quirks)

    @override
    def changes(self, request: ChatRequest, model: str, quirks: Quirks) -> dict[str, object]:
        """Return the fields that are sent otherwise than they came."""
        adapted = adapt(request.fields, system=self._system, sampling=self._sampling)
        return super().changes(request, model, quirks) | adapted

    @override
    def completion(self, body: bytes, request: ChatRequest) -> Whole:
        """Return the answer as OpenAI would put it."""
        whole = super().completion(body, request)
        repaired = completion(msgspec.json.decode(whole.body))
        return Whole(body=msgspec.json.encode(repaired), provider_model=whole.provider_model)

    @override
    def decoder(self, request: ChatRequest, quirks: Quirks) -> Decoder:
        """Return a decoder that mends each chunk."""
        drop = quirks.stream_usage and not request.include_usage
        return StreamDecoder(request.model, choices=request.n, drop_usage=drop, repair=Mender())

    @override
    def error(
        self, status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str
    ) -> errors.ApiError:
        """Return the caller's mistake as 400; anything else is our own trouble, 503."""
        return error(status, body)


def adapt(
    fields: Fields, *, system: str | None = SYSTEM, sampling: Mapping[str, float] = SAMPLING
) -> dict[str, object]:
    """Return the fields to set in the body for the engine; call `refuse` first.

    `system` is said first if the caller says nothing in that role; `sampling` fills what the
    caller leaves open. Both are tuned to the default model.
    """
    changes: dict[str, object] = {"messages": _messages(fields, system)}
    changes |= {name: value for name, value in sampling.items() if _value(fields, name) is None}
    if _value(fields, "logprobs"):
        # llama.cpp gives no logprobs at all without.
        changes["top_logprobs"] = max(1, int(_value(fields, "top_logprobs") or 0))
    return changes


def emulated(fields: Fields) -> tuple[str, ...]:
    """Return what `adapt` changes in meaning, for the `standpipe-fidelity` header."""
    messages = _value(fields, "messages")
    text = [text for message in messages for text in _texts(message.get("content"))]
    seen = {
        "messages.role=developer": any(message["role"] == "developer" for message in messages),
        "messages.name": any(message.get("name") for message in messages),
        "messages.content=control-tokens": any(map(_CONTROL.search, text)),
    }
    return tuple(what for what, is_so in seen.items() if is_so)


def _value(fields: Fields, name: str) -> Any:
    """Return a field's value, None for one that is null or absent."""
    raw = fields.get(name)
    return None if raw is None else msgspec.json.decode(raw)


def _messages(fields: Fields, system: str | None) -> list[Json]:
    messages = [_message(message) for message in _value(fields, "messages")]
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


def completion(body: Json) -> Json:
    """Return a whole answer in OpenAI's form."""
    return _each_choice(body, "message")


def chunk(body: Json) -> Json:
    """Return a chunk of a stream in OpenAI's form."""
    return _each_choice(body, "delta")


class Mender:
    """Puts the chunks of one stream into OpenAI's form.

    llama.cpp leaves out the opening chunk, the one with the role, when the first token is only
    part of a character.
    """

    def __init__(self) -> None:
        self._opened = False

    def __call__(self, body: Json) -> Json:
        """Return the next chunk, mended."""
        if not self._opened and body.get("choices"):
            self._opened = True
            choices = [
                {**choice, "delta": {"role": "assistant", **choice.get("delta", {})}}
                for choice in body["choices"]
            ]
            body = {**body, "choices": choices}
        return chunk(body)


def _each_choice(body: Json, part: str) -> Json:
    if not isinstance(body.get("choices"), list):
        return body
    return {**body, "choices": [_choice(choice, part) for choice in body["choices"]]}


def _choice(choice: Json, part: str) -> Json:
    said = choice.get(part)
    repaired = {**choice, "logprobs": _logprobs(choice.get("logprobs"))}
    # Where a message begins, OpenAI says role, content and refusal; llama.cpp's content is null.
    if isinstance(said, dict) and "role" in said:
        repaired[part] = {**said, "content": said.get("content") or "", "refusal": None}
    return repaired


def _logprobs(logprobs: Json | None) -> Json | None:
    if not logprobs or not isinstance(logprobs.get("content"), list):
        return logprobs
    tokens = [
        {
            **_token(entry),
            "top_logprobs": [_token(other) for other in entry.get("top_logprobs", ())],
        }
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
    return errors.Unavailable(f"the local model cannot answer now: {message}")


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
