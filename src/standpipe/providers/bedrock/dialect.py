"""Amazon Bedrock, by its Converse API, which is one form for all of its models.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and the service's
own model in botocore 1.44 (both seen 2026-11). A schema for the answer is `outputConfig`, which
Bedrock refuses by name for a model that cannot be held to one. A model's thoughts come back as
`reasoning_content`, and with their signatures as `thinking_blocks`, as Anthropic's dialect has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from typing_extensions import override

from standpipe.errors import ApiError, Cut, NotACompletion
from standpipe.providers.bedrock import frames
from standpipe.providers.bedrock import request as outgoing
from standpipe.providers.bedrock.answer import Reader, events
from standpipe.providers.bedrock.errors import error, failure_of, message_of
from standpipe.providers.dialect import Decoder, Fidelity, Outgoing, Quirks, Whole
from standpipe.providers.stream import EventDecoder
from standpipe.wire import sse
from standpipe.wire.chat import ChatRequest
from standpipe.wire.fold import Fold, decode_object

Json = dict[str, Any]

_NATIVE = (
    "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "stream",
    "stream_options.include_usage", "tools", "tools.strict", "tool_choice:required",
    "tool_choice:function", "response_format:json_schema", "reasoning_effort", "service_tier",
    "content:image_url", "content:input_audio", "content:file",
)  # fmt: skip
_EMULATED = (
    "image_url.detail",  # the place chooses the resolution, and the caller is told
    "stop>4",  # Bedrock takes 2500, several of its models four
    "n>1",
    "user",  # kept in the record
    "tool_choice:none",  # the tools are left out, and earlier calls are said in words
    "parallel_tool_calls:false",
    "functions",
    "function_call:none",
    "function_call:name",
    "response_format:json_object",
    "role:developer",
    "role:function",
    "message.name",
    "modalities:audio",
    "audio.voice",
    "message.audio",
)
_REFUSED = (
    "temperature>1", "presence_penalty", "frequency_penalty", "seed", "logit_bias", "logprobs",
    "top_logprobs", "tools:other", "response_format:other", "prediction",
    "verbosity", "web_search_options", "content:image_url.remote", "content:other",
)  # fmt: skip


class Bedrock:
    """The dialect; what is sent is signed on its way, unless the key is Bedrock's own."""

    name = "bedrock"
    passes_unknown = False
    #: The fields of Converse's own that pass through all the same.
    own_fields: Collection[str] = outgoing.OWN_FIELDS
    #: The media type of a stream.
    stream_type = b"application/vnd.amazon.eventstream"
    fidelity: Mapping[str, Fidelity] = {
        **dict.fromkeys(_NATIVE, "native"),
        **dict.fromkeys(_EMULATED, "emulated"),
        **dict.fromkeys(_REFUSED, "refused"),
    }

    def headers(self, key: str | None) -> tuple[tuple[bytes, bytes], ...]:
        """Return the request's headers; `key` is one of Bedrock's own."""
        fixed = ((b"content-type", b"application/json"), (b"user-agent", b"standpipe"))
        return fixed if key is None else (*fixed, (b"authorization", b"Bearer " + key.encode()))

    def prepare(self, request: ChatRequest, model: str, quirks: Quirks) -> Outgoing:
        """Return the request for `model`, which may be the ARN of an inference profile."""
        del quirks
        method = "converse-stream" if request.stream else "converse"
        return Outgoing(
            path=f"/model/{quote(model, safe='')}/{method}",
            body=msgspec.json.encode(outgoing.body(request, model)),
        )

    def completion(self, body: bytes, request: ChatRequest) -> Whole:
        """Return the answer in OpenAI's form; `id` is "", for Bedrock gives none."""
        reader, fold = Reader(request, NotACompletion), Fold()
        for event in events(_answer(body)):
            for chunk in reader.read(event):
                fold.add(chunk)
        whole = fold.completion()
        message = whole["choices"][0]["message"]
        message["content"] = message["content"] or None
        if reader.usage is not None:
            whole["usage"] = reader.usage
        return Whole(body=msgspec.json.encode(whole), provider_model=reader.provider_model)

    def decoder(self, request: ChatRequest, quirks: Quirks) -> Decoder:
        """Return a decoder of the frames of a stream."""
        del quirks
        return StreamDecoder(request)

    def error(
        self, status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str
    ) -> ApiError:
        """Return the provider's own error; our key's trouble is 502."""
        return error(status, headers, body, provider)


class StreamDecoder(EventDecoder[frames.Message]):
    """Turns frames into OpenAI's events; see `dialect.Decoder`."""

    def __init__(self, request: ChatRequest) -> None:
        super().__init__(frames.Splitter())
        self._owes_usage = request.include_usage
        self._reader = Reader(request, Cut)

    @override
    def _take(self, event: frames.Message) -> bytes:
        return b"".join(self._message(event))

    @override
    def _is_whole(self) -> bool:
        return self.done

    def _message(self, message: frames.Message) -> Iterator[bytes]:
        if self.done:
            return
        told = failure_of(message.headers, message.payload)
        if told is not None:
            raise Cut(f"the provider reported an error: {told}")
        event = decode_object(message.payload)
        if event is None:
            raise Cut("the provider's stream has an event that is not a JSON object")
        for chunk in self._reader.read((message.headers.get(":event-type", ""), event)):
            yield _event({**chunk, "usage": None} if self._owes_usage else chunk)
        yield from self._noted()

    def _noted(self) -> Iterator[bytes]:
        """Yield the chunk that tells the usage, if one is owed now."""
        self.done, self.provider_model = self._reader.ended, self._reader.provider_model
        if self._reader.usage is None:
            return
        self.usage = msgspec.Raw(msgspec.json.encode(self._reader.usage))
        if self.done and self._owes_usage:
            yield _event(self._reader.chunk([], usage=self.usage))


def _event(chunk: Json) -> bytes:
    return sse.event(msgspec.json.encode(chunk))


def _answer(body: bytes) -> Json:
    """Return a whole answer; raises NotACompletion if it is none."""
    answer = decode_object(body)
    if answer is None:
        raise NotACompletion("the provider answered 200 with something that is not a JSON object")
    output = answer.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    if isinstance(message, dict) and isinstance(answer.get("stopReason"), str):
        return answer
    said = message_of(answer)
    raise NotACompletion(
        f"the provider answered 200 with an error: {said}"
        if said
        else "the provider answered 200 with JSON that has no `output.message`"
    )
