"""OpenAI's chat completions, as OpenAI and the many places that copy it speak them.

Source: https://platform.openai.com/docs/api-reference/chat. Bytes pass through: of a request only
the model name and what the provider's quirks ask for changes; of an answer only the model name,
which the caller reads back as asked (spec 1.4), and the usage's cached-token forms (spec 5.8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
from typing_extensions import override

from standpipe.errors import ApiError, Cut, KeyRefused, NotACompletion, Refused
from standpipe.providers.dialect import Decoder, Fidelity, Outgoing, Quirks, Whole
from standpipe.providers.shape import Shape
from standpipe.providers.stream import EventDecoder
from standpipe.wire import sse, usage
from standpipe.wire.around import Around, Sent
from standpipe.wire.chat import ChatRequest

Chunk = dict[str, Any]

_encode = msgspec.json.encode
_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])

#: The code (spec 1.10) of a status that a provider may answer with.
CODES = {
    400: "BAD_REQUEST",
    402: "PAYMENT_REQUIRED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_SUPPORTED",
    408: "TIMEOUT",
    409: "CONFLICT",
    412: "PRECONDITION_FAILED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "UNPROCESSABLE_CONTENT",
    429: "TOO_MANY_REQUESTS",
    502: "BAD_GATEWAY",
    503: "SERVICE_UNAVAILABLE",
    504: "GATEWAY_TIMEOUT",
}

#: Where chat completions are; other routes of a place lie where this one does.
CHAT = "/chat/completions"

#: Names of models for which it is remembered what is sent around a request's messages, at most.
_MOST_SENT = 16
_MESSAGES = b'"messages":'
_NO_MESSAGES = _MESSAGES + b"[]"

#: OpenAI's own `error.type` by status, for a provider that gives none.
TYPES = {429: "rate_limit_error", 402: "insufficient_quota"}


class OpenAI:
    """The dialect; `Local` narrows it."""

    name = "openai"
    stream_type = b"text/event-stream"
    #: All is native: what a place lacks is its provider's row to say.
    fidelity: Mapping[str, Fidelity] = {}
    passes_unknown = True
    own_fields: Collection[str] = ()
    #: A request's messages are sent as they came, whatever they are.
    passes_messages = True

    def headers(self, key: str | None) -> tuple[tuple[bytes, bytes], ...]:
        """Return the request's headers."""
        fixed = (
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            (b"user-agent", b"standpipe"),
        )
        return fixed if key is None else (*fixed, (b"authorization", b"Bearer " + key.encode()))

    def prepare(self, request: ChatRequest, model: str, quirks: Quirks) -> Outgoing:
        """Return the caller's body with the provider's model name."""
        around = request.around
        sent = None if around is None else self._sent(around, model, quirks)
        if sent is None:
            return self._written(request, model, quirks)
        return Outgoing(sent.path, b"".join((sent.before, request.array, sent.after)))

    def _sent(self, around: Around, model: str, quirks: Quirks) -> Sent | None:
        """Return what is sent around a request's messages, None where those may change."""
        key = self, model, quirks
        if key not in around.sent:
            if len(around.sent) >= _MOST_SENT:
                around.sent.clear()
            around.sent[key] = (
                _apart(self._written(around.bare, model, quirks)) if self.passes_messages else None
            )
        return around.sent[key]

    def _written(self, request: ChatRequest, model: str, quirks: Quirks) -> Outgoing:
        body: dict[str, object] = dict(request.fields)
        for name in _kept_back(request, quirks):
            body.pop(name, None)
        for name, value in self.changes(request, model, quirks).items():
            if value is None:
                body.pop(name, None)
            else:
                body[name] = value
        return Outgoing(self.path(model), _encode(body))

    def path(self, model: str) -> str:
        """Return where chat completions are, under the base URL."""
        del model
        return CHAT

    def changes(self, request: ChatRequest, model: str, quirks: Quirks) -> dict[str, object]:
        """Return the fields that are sent otherwise than they came; None leaves one out."""
        changes: dict[str, object] = {"model": model}
        if request.stream and quirks.stream_usage and not request.include_usage:
            asked = request.fields.get("stream_options")
            options = msgspec.json.decode(asked) if asked is not None else None
            changes["stream_options"] = {**(options or {}), "include_usage": True}
        return changes

    def completion(self, body: bytes, request: ChatRequest) -> Whole:
        """Return the answer with the model name that was asked for."""
        whole = _renamed(body, request.model)
        if whole is not None:
            return whole
        fields = _completion_fields(body)
        if (raw := fields.get("usage")) is not None:
            fields["usage"] = complete_usage(raw)
        answer: dict[str, object] = {**fields, "model": request.model}
        return Whole(_encode(answer), _string(fields.get("model")))

    def decoder(self, request: ChatRequest, quirks: Quirks) -> Decoder:
        """Return a decoder that relays events as they are, but for the model name."""
        drop = quirks.stream_usage and not request.include_usage
        return StreamDecoder(request.model, choices=request.n, drop_usage=drop)

    def error(
        self, status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str
    ) -> ApiError:
        """Return the provider's own error; our key's trouble is 502."""
        if status in (401, 403):
            return KeyRefused(
                f"provider {provider!r} refused its key with status {status}; "
                f"check api_key in [providers.{provider}]"
            )
        if status < 400:
            return NotACompletion(f"provider {provider!r} answered with status {status}, not 200")
        return _refused(status, headers, body, provider)


class StreamDecoder(EventDecoder[bytes]):
    """Relays a stream's events, byte for byte where nothing must change."""

    def __init__(
        self,
        requested: str,
        *,
        choices: int,
        drop_usage: bool,
        repair: Callable[[Chunk], Chunk] | None = None,
    ) -> None:
        self._events = sse.Splitter()
        super().__init__(self._events)
        self._shape = Shape()
        self._requested = requested
        self._ours = b'"model":' + _encode(requested)
        self._theirs: bytes | None = None
        self._unfinished = choices
        self._drop_usage = drop_usage
        self._repair = repair

    @override
    def feed(self, data: bytes) -> bytes:
        """Return the events that are whole now; an error behind them is raised by the next call.

        Most reads bring one event that is the last one but for its text: 2,000 instructions where
        a look at every event takes 20,000.
        """
        same = self.easy(data)
        return super().feed(data) if same is None else same

    @override
    def easy(self, data: bytes) -> bytes | None:
        if self._broken is not None or self._events.waiting:
            return None
        return self._shape.renamed(data)

    @override
    def close(self) -> None:
        """Raise Cut unless `[DONE]` came or every choice is finished."""
        super().close()
        self.done = True

    @override
    def _is_whole(self) -> bool:
        return self.done or self._unfinished <= 0

    @override
    def _take(self, event: bytes) -> bytes:
        if self.done:
            return b""
        same = self._shape.renamed(event)
        if same is not None:
            return same
        if self._theirs is not None and event.count(self._theirs) == 1 and _is_plain(event):
            finished = len(_FINISHED.findall(event))
            self._unfinished -= finished
            if not finished:
                self._shape.learn(event, self._theirs, self._ours)
            return event.replace(self._theirs, self._ours)
        payload = sse.data_of(event)
        if payload is None:
            return event
        if payload.strip() == sse.DONE:
            self.done = True
            self._shape.forget()
            return b""
        return self._parsed(event, payload)

    def _parsed(self, event: bytes, payload: bytes) -> bytes:
        try:
            fields = _fields.decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Cut("the provider's stream has an event that is not JSON") from error
        if _is_given(fields.get("error")):
            raise Cut(message_of(payload) or "the provider reported an error inside its stream")
        if _is_given(fields.get("usage")):
            self.usage = fields["usage"] = complete_usage(fields["usage"])
            if self._drop_usage and bytes(fields.get("choices", b"")) == b"[]":
                return b""
        self._learn(event, fields)
        self._unfinished -= len(_FINISHED.findall(payload))
        fields["model"] = msgspec.Raw(_encode(self._requested))
        if self._repair is not None:
            return sse.event(_encode(self._repair(msgspec.json.decode(_encode(fields)))))
        return sse.event(_encode(fields))

    def _learn(self, event: bytes, fields: dict[str, msgspec.Raw]) -> None:
        """Remember the id, and the bytes in which this provider writes its model's name."""
        if self.completion_id is None:
            self.completion_id = _string(fields.get("id"))
        if "model" in fields:
            self.provider_model = _string(fields["model"]) or self.provider_model
            if self._repair is None:
                self._theirs = _model_bytes(event, bytes(fields["model"]))


def _apart(outgoing: Outgoing) -> Sent | None:
    """Return what is around the messages of a request that has none, if that is one place."""
    before, found, after = outgoing.body.partition(_NO_MESSAGES)
    if not found or after.find(_NO_MESSAGES) >= 0:
        return None
    return Sent(outgoing.path, before + _MESSAGES, after)


def complete_usage(raw: msgspec.Raw) -> msgspec.Raw:
    """Return a usage object with both forms of its cached tokens (spec 5.8)."""
    if not bytes(raw).partition(b"cache")[1]:
        return raw
    told = msgspec.json.decode(raw)
    if not isinstance(told, dict):
        return raw
    full = usage.complete(told)
    return raw if full is told else msgspec.Raw(_encode(full))


#: A choice's end; inside a JSON string the quotes would be escaped.
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')

_NULL_USAGE = (b'"usage":null', b'"usage": null')


def _is_plain(event: bytes) -> bool:
    """Tell an event that can be relayed without looking inside: no usage, no error."""
    if event.find(b'"error"') >= 0:
        return False
    return event.find(b'"usage"') < 0 or any(event.find(null) >= 0 for null in _NULL_USAGE)


def _model_bytes(event: bytes, value: bytes) -> bytes | None:
    for between in (b'"model":', b'"model": '):
        if event.count(between + value) == 1:
            return between + value
    return None


class _Completion(msgspec.Struct, frozen=True, gc=False):
    """Of a whole answer, what is changed or must be there."""

    model: msgspec.Raw
    choices: list[msgspec.Raw]
    usage: msgspec.Raw = msgspec.Raw(b"null")


_completion = msgspec.json.Decoder(_Completion)


def _renamed(body: bytes, model: str) -> Whole | None:
    """Return a whole answer with another model's name in its bytes; None if that takes more."""
    try:
        told = _completion.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    name, usage = msgspec.json.decode(told.model), complete_usage(told.usage)
    if not isinstance(name, str):
        return None
    answer = _replaced(body, told.model, _encode(model))
    if answer is not None and usage is not told.usage:
        answer = _replaced(answer, told.usage, usage)
    return None if answer is None else Whole(answer, name)


def _replaced(body: bytes, value: msgspec.Raw, by: bytes | msgspec.Raw) -> bytes | None:
    """Replace a value of a body; None if its bytes are there twice, and either may be the value."""
    before, _, after = body.partition(value)
    return None if after.partition(value)[1] else b"".join((before, by, after))


def _completion_fields(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        fields = _fields.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotACompletion("the provider answered 200 with something that is not JSON") from error
    if not bytes(fields.get("choices", b"")).lstrip().startswith(b"["):
        said = message_of(body)
        raise NotACompletion(
            f"the provider answered 200 with an error: {said}"
            if said
            else "the provider answered 200 with JSON that has no `choices`"
        )
    return fields


def _is_given(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw) != b"null"


def _string(raw: msgspec.Raw | None) -> str | None:
    value = msgspec.json.decode(raw) if raw is not None else None
    return value if isinstance(value, str) else None


def _kept_back(request: ChatRequest, quirks: Quirks) -> tuple[str, ...]:
    """`store` and `metadata` are ours; OpenAI refuses `metadata` without `store: true`."""
    if not quirks.forward_store:
        return ("store", "metadata")
    return () if request.store else ("metadata",)


def _refused(status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str) -> Refused:
    told = _error_object(body)
    default = "BAD_REQUEST" if status < 500 else "INTERNAL_SERVER_ERROR"
    fallback_type = "invalid_request_error" if status < 500 else "server_error"
    kind, code, param = told.get("type"), told.get("code"), told.get("param")
    return Refused(
        status,
        CODES.get(status, default),
        message_of(body) or f"provider {provider!r} answered with status {status}",
        openai_type=kind if isinstance(kind, str) else TYPES.get(status, fallback_type),
        openai_code=str(code) if isinstance(code, str | int) else None,
        param=param if isinstance(param, str) else None,
        retry_after=seconds(headers.get(b"retry-after")),
        body=body,
    )


def _error_object(body: bytes) -> dict[str, Any]:
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    if not isinstance(tree, dict):
        return {}
    inner = tree.get("error")
    return inner if isinstance(inner, dict) else tree


def message_of(body: bytes) -> str | None:
    """Return the text of an error body in any of the forms in the field, None if there is none."""
    told = _error_object(body)
    for name in ("message", "error", "detail"):
        if isinstance(told.get(name), str):
            return str(told[name])
    return None


def seconds(header: bytes | None) -> float | None:
    """Return a Retry-After in seconds; None for none, a date or nonsense."""
    try:
        value = float(header) if header is not None else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < 1e6 else None
