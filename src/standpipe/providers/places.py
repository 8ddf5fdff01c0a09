"""OpenAI's dialect as a known place speaks it: what its row says, put to work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from typing_extensions import override

from standpipe.providers import known as rows
from standpipe.providers.dialect import Decoder, Fidelity, Quirks, Whole
from standpipe.providers.known import Known
from standpipe.providers.openai import OpenAI, StreamDecoder
from standpipe.wire.chat import ChatRequest


class Place(OpenAI):
    """The dialect of one known place at one base URL."""

    def __init__(self, known: Known, base_url: str) -> None:
        self._known = known
        self._base_url = base_url
        self.fidelity: Mapping[str, Fidelity] = known.fidelity
        self.passes_messages = not known.messages
        #: The path of every model; None where that names the model.
        self._path = None if "{model}" in known.path else rows.path(known, base_url, "")

    @override
    def headers(self, key: str | None) -> tuple[tuple[bytes, bytes], ...]:
        """Return the request's headers, the key in the one that this place reads."""
        return (*super().headers(None), *rows.key_headers(self._known, key))

    @override
    def changes(self, request: ChatRequest, model: str, quirks: Quirks) -> dict[str, object]:
        """Return the fields that are sent otherwise than they came; None leaves one out."""
        changes = super().changes(request, model, quirks)
        if self._known.request or self._known.messages:
            changes |= rows.changes(self._known, request)
        return changes

    @override
    def path(self, model: str) -> str:
        """Return where this place wants chat completions."""
        return self._path or rows.path(self._known, self._base_url, model)

    @override
    def completion(self, body: bytes, request: ChatRequest) -> Whole:
        """Return the answer as OpenAI would have put it."""
        whole = super().completion(body, request)
        if not self._known.answers:
            return whole
        return msgspec.structs.replace(whole, body=msgspec.json.encode(self._answer(whole.body)))

    @override
    def decoder(self, request: ChatRequest, quirks: Quirks) -> Decoder:
        """Return a decoder that puts each chunk as OpenAI would have."""
        repair = self._chunk if self._known.answers else None
        drop = quirks.stream_usage and not request.include_usage
        return StreamDecoder(request.model, choices=request.n, drop_usage=drop, repair=repair)

    def _answer(self, body: bytes) -> dict[str, Any]:
        return self._chunk(msgspec.json.decode(body))

    def _chunk(self, chunk: dict[str, Any]) -> dict[str, Any]:
        return rows.answer(self._known, chunk)
