"""The routes that pass through, as places that speak OpenAI's form answer them. Pure.

Sources: https://platform.openai.com/docs/api-reference/embeddings, `/completions`, `/responses`.
Bytes pass: only the model's name changes, out and back, and usage is asked for on a stream.
"""

from __future__ import annotations

import msgspec
from typing_extensions import override

from standpipe.errors import BadRequest, Cut, NotACompletion
from standpipe.providers.dialect import Decoder, Outgoing, Quirks, Whole
from standpipe.providers.openai import CHAT, OpenAI, StreamDecoder, message_of
from standpipe.providers.stream import EventDecoder
from standpipe.providers.table import Provider
from standpipe.wire import responses, sse
from standpipe.wire.passthrough import PassedRequest, Route

_encode = msgspec.json.encode
_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def prepare(request: PassedRequest, model: str, provider: Provider) -> Outgoing:
    """Return the caller's body with the provider's model name.

    Raises BadRequest where the provider does not have the route.
    """
    route, quirks = request.route, provider.quirks
    path = _speaker(provider, route).path(model).replace(CHAT, route.path)
    body: dict[str, object] = dict(request.fields)
    for name in () if quirks.forward_store else route.ours:
        body.pop(name, None)
    body["model"] = model
    if _wants_usage(request, quirks):
        asked = request.fields.get("stream_options")
        options = msgspec.json.decode(asked) if asked is not None else None
        body["stream_options"] = {**(options or {}), "include_usage": True}
    return Outgoing(path, _encode(body))


def _speaker(provider: Provider, route: Route) -> OpenAI:
    dialect = provider.dialect
    if isinstance(dialect, OpenAI) and dialect.name == OpenAI.name:
        return dialect
    if dialect.name == "local" and route.kind == "embeddings":
        raise BadRequest(
            "model: the local chat model makes no embeddings; name `all-minilm-l6-v2`, or a model "
            "of a provider that has `/embeddings`",
            param="model",
        )
    raise BadRequest(
        f"model: provider {provider.name!r} has no `{route.path}`, since it speaks "
        f"{dialect.name!r}; use `/chat/completions`, or a model of a provider that speaks "
        "OpenAI's form",
        param="model",
    )


def completion(body: bytes, request: PassedRequest) -> Whole:
    """Return the answer with the model name that was asked for; NotACompletion if it is none."""
    try:
        fields = _fields.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotACompletion("the provider answered 200 with something that is not JSON") from error
    if not bytes(fields.get(request.route.mark, b"")).lstrip().startswith(b"["):
        said = message_of(body)
        told = f"an error: {said}" if said else f"JSON that has no `{request.route.mark}`"
        raise NotACompletion(f"the provider answered 200 with {told}")
    named = _string(fields.get("model"))
    fields["model"] = msgspec.Raw(_encode(request.model))
    return Whole(body=_encode(fields), provider_model=named)


def decoder(request: PassedRequest, quirks: Quirks) -> Decoder:
    """Return a decoder for the stream that answers the request."""
    if not request.route.like_chat:
        return ResponseDecoder(request.model)
    drop = _wants_usage(request, quirks)
    return StreamDecoder(request.model, choices=request.choices, drop_usage=drop)


class ResponseDecoder(EventDecoder[bytes]):
    """Relays a response's events byte for byte, but for those in which the model is named."""

    def __init__(self, requested: str) -> None:
        super().__init__(sse.Splitter())
        self._model = msgspec.Raw(_encode(requested))

    @override
    def _is_whole(self) -> bool:
        return self.done

    @override
    def _take(self, event: bytes) -> bytes:
        if self.done:
            return b""
        payload = sse.data_of(event)
        if payload is None or payload.strip() == sse.DONE:
            return event if payload is None else b""
        try:
            fields = _fields.decode(payload)
            kind = _string(fields.get("type"))
            if kind == "error" or _is_object(fields.get("error")):
                raise Cut(message_of(payload) or "the provider reported an error in its stream")
            if _is_object(fields.get("response")):
                fields["response"] = self._named(_fields.decode(fields["response"]))
                event = _with_data(event, _encode(fields))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Cut("the provider's stream has an event that is not JSON") from error
        self.done = kind in responses.ENDS
        return event

    def _named(self, response: dict[str, msgspec.Raw]) -> msgspec.Raw:
        """Return the response with the model name that was asked for, having read the rest."""
        self.completion_id = self.completion_id or _string(response.get("id"))
        self.provider_model = _string(response.get("model")) or self.provider_model
        if _is_object(response.get("usage")):
            told = responses.usage(msgspec.json.decode(response["usage"]))
            self.usage = msgspec.Raw(_encode(told))
        if "model" in response:
            response["model"] = self._model
        return msgspec.Raw(_encode(response))


def _wants_usage(request: PassedRequest, quirks: Quirks) -> bool:
    """Tell whether usage is asked for although the caller does not."""
    if not (request.stream and request.route.like_chat):
        return False
    return quirks.stream_usage and not request.include_usage


def _with_data(event: bytes, data: bytes) -> bytes:
    """Return the event with other data, and its other lines as they were."""
    lines = [line for line in event.splitlines() if line and not line.startswith(b"data:")]
    return b"".join(line + b"\n" for line in lines) + sse.event(data)


def _is_object(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw).lstrip().startswith(b"{")


def _string(raw: msgspec.Raw | None) -> str | None:
    value = msgspec.json.decode(raw) if raw is not None else None
    return value if isinstance(value, str) else None
