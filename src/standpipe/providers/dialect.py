"""What a dialect must offer: one upstream wire form, as pure functions.

A dialect knows no client, clock, environment or retries. A *provider* is a place that speaks one
and is data (`table.Provider`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, Protocol

import msgspec

from standpipe.errors import ApiError
from standpipe.wire.chat import ChatRequest

#: `native`: the provider does it. `emulated`: we do it, and say so. `refused`: a 400 names it.
Fidelity = Literal["native", "emulated", "refused"]


class Quirks(msgspec.Struct, frozen=True):
    """What a provider's row says of how it speaks its dialect."""

    #: Pass `store` and `metadata` on.
    forward_store: bool = False
    #: Ask for usage on every stream.
    stream_usage: bool = True


class Outgoing(msgspec.Struct, frozen=True):
    """A request to a provider, without what stays the same from call to call."""

    #: Path under the provider's base URL, query included.
    path: str
    body: bytes
    #: Headers of this call alone; `Dialect.headers` are the others.
    extra: tuple[tuple[bytes, bytes], ...] = ()


class Whole(msgspec.Struct, frozen=True):
    """A completion that came in one piece."""

    #: The body to answer with: OpenAI's form, `model` as the caller asked.
    body: bytes
    #: As the provider calls its model; None if it did not say.
    provider_model: str | None


class Decoder(Protocol):
    """A streamed completion: provider's bytes in, OpenAI's events out.

    `data: [DONE]` is never among them: the call sends it when the record is safe.
    """

    #: The provider has said that this is the end.
    done: bool
    #: The completion's `id`, None before the first chunk.
    completion_id: str | None
    #: As the provider calls its model, None if it has not said.
    provider_model: str | None
    #: The JSON of the usage that was sent or held back, None if there was none.
    usage: msgspec.Raw | None

    def feed(self, data: bytes) -> bytes:
        """Return the events that `data` completes, b"" if none.

        Raises Cut when the provider reports an error inside the stream.
        """

    def easy(self, data: bytes) -> bytes | None:
        """Return what `feed` would for data that tells nothing new; None where `feed` must look."""

    def close(self) -> None:
        """Take note that no more comes; raises Cut if the end was not seen."""


class Dialect(Protocol):
    """One upstream wire form."""

    name: str
    #: The content type of its streams, in lower case.
    stream_type: bytes
    #: What becomes of each feature (`wire.features`) that is not native: see `fidelity`.
    fidelity: Mapping[str, Fidelity]
    #: Fields of a request that we do not know go to the provider as they are.
    passes_unknown: bool
    #: Fields of its own that `prepare` passes on, where others that we do not know are refused.
    own_fields: Collection[str]

    def headers(self, key: str | None) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers of every request; `key` None for a place that wants none."""

    def prepare(self, request: ChatRequest, model: str, quirks: Quirks) -> Outgoing:
        """Return what to send for `model`; the request has no feature that is refused.

        Raises BadRequest naming a field whose value cannot be said in this dialect.
        """

    def completion(self, body: bytes, request: ChatRequest) -> Whole:
        """Return a whole answer in OpenAI's form; raises NotACompletion if it is none."""

    def decoder(self, request: ChatRequest, quirks: Quirks) -> Decoder:
        """Return a decoder for the stream that answers `request`."""

    def error(
        self, status: int, headers: Mapping[bytes, bytes], body: bytes, provider: str
    ) -> ApiError:
        """Return the error that an answer with `status` other than 200 stands for."""
