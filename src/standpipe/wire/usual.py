"""What most requests are made of, read by types: in half the time that checking each field takes.

Nothing passes here that the checks of `chat.FIELDS` would not let pass, which a test holds it to;
what does not pass may still be right, and is left to them. So they alone say what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from standpipe.wire.messages import MOST_MESSAGES

_Penalty = Annotated[float, Meta(ge=-2, le=2)] | None
_Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
    Meta(max_length=16),
]
_Limit = Annotated[int, Meta(ge=1, le=2**31 - 1)] | None


class _Message(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A role and a text, as most messages are."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str


_Messages = Annotated[list[_Message], Meta(min_length=1, max_length=MOST_MESSAGES)]


class _StreamOptions(msgspec.Struct, frozen=True, gc=False):
    include_usage: bool | None = None


class Usual(msgspec.Struct, frozen=True):
    """A request of fields that are often there; null ones are None. Others may be there as well."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: _Messages
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    store: bool | None = None
    metadata: _Metadata | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: _Penalty = None
    frequency_penalty: _Penalty = None
    max_tokens: _Limit = None
    max_completion_tokens: _Limit = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    user: str | None = None


#: Names of its fields.
NAMES = frozenset(Usual.__struct_fields__)

_decoder = msgspec.json.Decoder(Usual)
#: Raises what a decoder raises for what is no JSON array of usual messages.
check_messages: Callable[[bytes], object] = msgspec.json.Decoder(_Messages).decode


def read(body: bytes) -> Usual | None:
    """Return the usual fields of a body, None if they are not as usual.

    What else is in the body is not looked at.
    """
    try:
        usual = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if usual.stream_options is not None and not usual.stream:
        return None
    # No control characters in a model's name, and no NUL in metadata. Not looked for in the bytes:
    # to find what JSON writes for it takes twice as long as to read all of a large body.
    for name, value in (usual.metadata or {}).items():
        if "\0" in name or "\0" in value:
            return None
    return usual if usual.model.isprintable() else None
