"""What the spool keeps of a call: one `Record`, and for a stream a `Begin` before it.

Times are integers, microseconds since the Unix epoch, UTC. Bodies are the bytes that went over
the wire; the drain folds and parses them. Nothing here is SQL or JSON of any API.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Literal

import msgspec

Outcome = Literal["complete", "refused", "failed", "cut", "abandoned", "lost"]
Kind = Literal["chat", "judge", "report", "embeddings", "completions", "responses"]
BodyForm = Literal["json", "sse"]
#: What an attempt of a mixture was for that was not for the answer itself.
Step = Literal["draft", "critique"]


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one call, as the provider said or as counted; None where nobody said.

    The fields of OpenAI's and DeepSeek's usage that the spec (1.6) names, flattened.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    prompt_audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    completion_audio_tokens: int | None = None
    completion_text_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    #: Of the prompt's, those the provider wrote to its cache, which some bill for.
    cache_write_tokens: int | None = None
    #: Of those, the ones that it keeps for an hour and bills for as such.
    cache_write_1h_tokens: int | None = None


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One try at one target."""

    provider: str
    model: str
    #: When the request was sent.
    started_at: int
    #: HTTP status of the provider, None if it never answered.
    status: int | None = None
    #: What went wrong, None if nothing did.
    error: str | None = None
    #: Microseconds from sending to the first byte of the answer; None if none came.
    first_byte_us: int | None = None
    #: Which of the provider's keys, by its place in `api_keys`; None where there is one.
    key: int | None = None
    #: Its span's id where providers are told of traces, None elsewhere.
    span: str | None = None
    #: The rest is said of calls that take several answers: what the record says of others.
    provider_model: str | None = None
    usage: Usage | None = None
    usage_source: str | None = None
    service_tier: str | None = None
    #: None for the answer, and for all attempts of a model that is no mixture.
    step: Step | None = None
    #: US dollars of it alone, where the call took several answers and its price is known.
    cost: Decimal | None = None


class Begin(msgspec.Struct, frozen=True, tag="begin", omit_defaults=True):
    """A stream has an id and is about to send its first byte; a `Record` must follow.

    A `Begin` whose writer is dead and which no `Record` follows becomes one row with outcome
    `lost`.
    """

    id: str
    project: str
    key: str | None
    requested_at: int
    model: str | None = None
    provider: str | None = None
    provider_model: str | None = None
    completion_id: str | None = None
    metadata: dict[str, str] = {}
    logged: bool = False
    user_agent: str | None = None
    request: bytes | None = None
    kind: Kind = "chat"
    #: What went before the one that it begins at: a mixture's drafts, or tries that failed.
    attempts: tuple[Attempt, ...] = ()


class Record(msgspec.Struct, frozen=True, tag="record", omit_defaults=True):
    """One call, whole. `request` and `response` are None unless logging applies to the call."""

    id: str
    kind: Kind
    project: str
    #: Public id of the key, None for a key that has none.
    key: str | None
    requested_at: int
    received_at: int
    outcome: Outcome
    #: HTTP status that the caller was answered with; None if none was sent (or reported).
    status: int | None
    #: True where the content policy kept the text.
    logged: bool
    first_byte_at: int | None = None
    #: As asked.
    model: str | None = None
    provider: str | None = None
    #: As the provider calls it, in its own answer where it said so.
    provider_model: str | None = None
    error: str | None = None
    streamed: bool = False
    metadata: dict[str, str] = {}
    attempts: tuple[Attempt, ...] = ()
    #: What was emulated or is noteworthy, as told in the `standpipe-fidelity` header.
    fidelity: tuple[str, ...] = ()
    user_agent: str | None = None
    traceparent: str | None = None
    retry_count: int | None = None
    #: Id of the call that this one was made for.
    parent: str | None = None
    cache_hit: bool = False
    #: The caller's body, as received.
    request: bytes | None = None
    response_form: BodyForm = "json"
    #: The rest is set when the text is not kept; the drain fills them from the text else.
    completion_id: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    #: "provider", "estimated" or None; see wire.usage.
    usage_source: str | None = None
    #: Which of its provider's prices applies, as that said.
    service_tier: str | None = None
    #: The answer, as sent to the caller: a JSON document, or the events of a stream. The last
    #: field, so that it is the end of the payload.
    response: bytes | None = None


Frame = Begin | Record

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


#: Returns the spool's payload of a frame.
encode: Callable[[Frame], bytes] = _encoder.encode


def decode(payload: bytes) -> Frame:
    """Return the frame of a payload; msgspec.DecodeError if it is none."""
    return _decoder.decode(payload)
