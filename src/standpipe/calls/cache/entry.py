"""What is kept of an answer. Pure."""

from __future__ import annotations

from typing import Annotated

import msgspec

from standpipe.calls.call import Call
from standpipe.wire import fold


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An answer, and what is told of it beside."""

    #: The whole completion, as it was sent.
    body: bytes
    provider: str
    model: str
    #: As the provider calls it.
    provider_model: str | None = None
    fidelity: tuple[str, ...] = ()


def encode(entry: Entry) -> bytes:
    """Return the bytes of an entry."""
    return _encoder.encode(entry)


def decode(kept: bytes) -> Entry | None:
    """Return the entry of bytes, None where they are of another version."""
    try:
        return _decoder.decode(kept)
    except msgspec.DecodeError:
        return None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


#: What some places say where their own provider broke off.
_NO_END = ("error",)


class _Message(msgspec.Struct):
    """Of any fields; but without one, no stream can be told."""


class _Choice(msgspec.Struct):
    message: _Message
    #: Null in an answer that was cut.
    finish_reason: str


class _Whole(msgspec.Struct):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]


_whole = msgspec.json.Decoder(_Whole)


def entry_of(call: Call) -> Entry | None:
    """Return what a call was answered with; None where that is no whole answer."""
    target = call.target
    body = b"".join(call.pieces)
    if call.form == "sse":
        body = _folded(body, call)
    if target is None or not _is_whole(body):
        return None
    return Entry(body, target.provider, target.model, call.model_name, call.fidelity)


def _folded(events: bytes, call: Call) -> bytes:
    """Return a stream as a whole answer, with the usage that its caller may not have asked for."""
    completion = fold.fold_stream(events).completion or {}
    if call.decoder is not None and call.decoder.usage is not None:
        completion["usage"] = call.decoder.usage
    return msgspec.json.encode(completion)


def _is_whole(body: bytes) -> bool:
    try:
        said = _whole.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return all(choice.finish_reason not in _NO_END for choice in said.choices)
