"""Google's Gemini, by its own generateContent (v1beta).

https://ai.google.dev/api/generate-content (seen 2026-11-23). It can't: bias tokens by their ids,
predicted outputs, verbosity, and speech beside text. Its stream has no last event, so that the end
is the end of the body with every candidate finished.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from typing_extensions import override

from standpipe.errors import ApiError, Cut, KeyRefused, NotACompletion, Refused
from standpipe.providers.dialect import Decoder, Fidelity, Outgoing, Quirks, Whole
from standpipe.providers.gemini.answer import Reader, error_message
from standpipe.providers.gemini.request import generate
from standpipe.providers.openai import CODES, TYPES, seconds
from standpipe.providers.stream import EventDecoder
from standpipe.wire import sse
from standpipe.wire.chat import ChatRequest
from standpipe.wire.fold import Fold

Json = dict[str, Any]

_NATIVE = (
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "temperature>1",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "seed",
    "logprobs",
    "top_logprobs",
    "n>1",
    "stream",
    "stream_options.include_usage",
    "tools",
    "tools.strict",
    "tool_choice:none",
    "tool_choice:required",
    "tool_choice:function",
    "response_format:json_object",
    "response_format:json_schema",
    "reasoning_effort",
    "service_tier",
    "content:image_url",
    "image_url.detail",
    "content:image_url.remote",
    "content:input_audio",
    "content:file",
)
_EMULATED = (
    "user",  # kept in the record; Gemini has no field for it
    "parallel_tool_calls:false",
    "stop>4",  # five are native, but one more is not
    "functions",
    "function_call:none",
    "function_call:name",
    "role:developer",
    "role:function",
    "message.name",
    "modalities:audio",
    "audio.voice",
    "message.audio",
)
_REFUSED = (
    "logit_bias",
    "tools:other",
    "response_format:other",
    "prediction",
    "verbosity",
    "web_search_options",
    "content:other",
)
FIDELITY: dict[str, Fidelity] = {
    **dict.fromkeys(_NATIVE, "native"),
    **dict.fromkeys(_EMULATED, "emulated"),
    **dict.fromkeys(_REFUSED, "refused"),
}

#: OpenAI's `error.code` for Google's status.
_ERROR_CODES = {"RESOURCE_EXHAUSTED": "rate_limit_exceeded", "NOT_FOUND": "model_not_found"}
_TOO_LONG = "exceeds the maximum number of tokens"


class Gemini:
    """The dialect."""

    name = "gemini"
    stream_type = b"text/event-stream"
    passes_unknown = False
    own_fields: Collection[str] = ()
    fidelity: Mapping[str, Fidelity] = FIDELITY

    def headers(self, key: str | None) -> tuple[tuple[bytes, bytes], ...]:
        """Return the request's headers."""
        fixed = (
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            (b"user-agent", b"standpipe"),
        )
        return fixed if key is None else (*fixed, (b"x-goog-api-key", key.encode()))

    def prepare(self, request: ChatRequest, model: str, quirks: Quirks) -> Outgoing:
        """Return the request for `model`, which may be a resource such as `tunedModels/…`."""
        del quirks
        kind, _, name = model.partition("/")
        if kind not in ("models", "tunedModels"):
            kind, name = "models", model
        method = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
        return Outgoing(
            path=f"/{kind}/{quote(name, safe='')}:{method}",
            body=msgspec.json.encode(generate(request, model)),
        )

    def completion(self, body: bytes, request: ChatRequest) -> Whole:
        """Return the answer in OpenAI's form."""
        reader, fold = Reader(request, NotACompletion), Fold()
        for chunk in reader.read(_answer(body)):
            fold.add(chunk)
        if not reader.started:
            raise NotACompletion("the provider answered 200 with no candidates")
        if reader.unfinished:
            raise NotACompletion("the provider answered 200 with a candidate that has no end")
        whole = fold.completion()
        if reader.usage is not None:
            whole["usage"] = reader.usage
        return Whole(body=msgspec.json.encode(whole), provider_model=reader.provider_model)

    def decoder(self, request: ChatRequest, quirks: Quirks) -> Decoder:
        """Return a decoder of the stream."""
        del quirks
        return StreamDecoder(request)

    def error(
        self, status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str
    ) -> ApiError:
        """Return the provider's own error; our key's trouble, a 400 among it, is 502."""
        told = _error_object(body)
        if status in (401, 403) or _detail(told, "ErrorInfo").get("reason") == "API_KEY_INVALID":
            return KeyRefused(
                f"provider {provider!r} refused its key with status {status}; "
                f"check api_key in [providers.{provider}]"
            )
        if status < 400:
            return NotACompletion(f"provider {provider!r} answered with status {status}, not 200")
        return _refused(status, headers, body, provider)


class StreamDecoder(EventDecoder[bytes]):
    """Turns the events of a stream into OpenAI's.

    `done` stays False: no event says that it is the last, and an error may follow the last answer.
    """

    def __init__(self, request: ChatRequest) -> None:
        self._split = sse.Splitter()
        super().__init__(self._split)
        self._owes_usage = request.include_usage
        self._reader = Reader(request, Cut)

    @override
    def _is_whole(self) -> bool:
        self._check_error(self._split.rest)
        return not self._reader.missing

    @override
    def _take(self, event: bytes) -> bytes:
        payload = sse.data_of(event)
        if payload is None:
            self._check_error(event)
            return b""
        try:
            answer = msgspec.json.decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Cut("the provider's stream has an event that is not JSON") from error
        chunks = self._reader.read(answer) if isinstance(answer, dict) else []
        return b"".join(sse.event(msgspec.json.encode(chunk)) for chunk in self._noted(chunks))

    def _noted(self, chunks: list[Json]) -> list[Json]:
        """Return the chunks, the first time that all choices are at their end with the usage."""
        reader = self._reader
        self.completion_id, self.provider_model = reader.completion_id, reader.provider_model
        if reader.usage is None:
            return chunks
        self.usage = msgspec.Raw(msgspec.json.encode(reader.usage))
        if reader.missing or not self._owes_usage:
            return chunks
        self._owes_usage = False
        return [*chunks, reader.chunk([], usage=self.usage)]

    def _check_error(self, text: bytes) -> None:
        """Raise Cut if the text, which is no event with data, tells of an error."""
        try:
            message = error_message(msgspec.json.decode(sse.data_of(text) or text))
        except (msgspec.DecodeError, RecursionError):
            return
        if message is not None:
            raise Cut(f"the provider reported an error: {message}")


def _answer(body: bytes) -> Json:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotACompletion("the provider answered 200 with something that is not JSON") from error
    if not isinstance(answer, dict):
        raise NotACompletion("the provider answered 200 with JSON that is not an object")
    return answer


def _refused(status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str) -> Refused:
    told = _error_object(body)
    default = "BAD_REQUEST" if status < 500 else "INTERNAL_SERVER_ERROR"
    fallback_type = "invalid_request_error" if status < 500 else "server_error"
    message = error_message({"error": told}) or f"provider {provider!r} answered {status}"
    google = told.get("status")
    code = _ERROR_CODES.get(google, google.lower()) if isinstance(google, str) else None
    return Refused(
        status,
        CODES.get(status, default),
        message,
        openai_type=TYPES.get(status, fallback_type),
        openai_code="context_length_exceeded" if _TOO_LONG in message else code,
        retry_after=_pause(told) or seconds(headers.get(b"retry-after")),
        body=body,
    )


def _error_object(body: bytes) -> Json:
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    if isinstance(tree, list):
        tree = tree[0] if tree else None
    error = tree.get("error") if isinstance(tree, dict) else None
    return error if isinstance(error, dict) else {}


def _pause(error: Json) -> float | None:
    """Return the seconds of a RetryInfo, which is a text such as `58s`; None if there is none."""
    delay = _detail(error, "RetryInfo").get("retryDelay")
    if not isinstance(delay, str) or not delay.endswith("s"):
        return None
    return seconds(delay[:-1].encode())


def _detail(error: Json, kind: str) -> Json:
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type")).endswith(f"google.rpc.{kind}"):
            return detail
    return {}
