"""An emulated answer in the bytes that the caller gets: model as asked, one time, usage summed."""

from __future__ import annotations

from typing import Any

import msgspec

from standpipe.calls.emulation.source import Tally
from standpipe.wire import sse
from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

_NOT_IN_FRAME = ("choices", "usage")


class Telling:
    """Puts completions and chunks into bytes.

    `second` and `identity` stand in where the provider told no time and gave no id.
    """

    def __init__(self, request: ChatRequest, tally: Tally, second: int, identity: str) -> None:
        self._request = request
        self._tally = tally
        self._second = second
        self._identity = identity
        self._frame: Json = {}

    def whole(self, completion: Json) -> bytes:
        """Return the body of an answer."""
        usage = self._tally.usage
        body = self._completed(completion) | ({} if usage is None else {"usage": usage})
        self._tally.completion_id = body.get("id")
        return msgspec.json.encode(body)

    def events(self, chunks: list[Json]) -> bytes:
        """Return the events of some chunks."""
        told = [self._completed(chunk) for chunk in chunks]
        self._frame = self._frame or told[0]
        self._tally.completion_id = self._frame.get("id")
        return b"".join(sse.event(msgspec.json.encode(chunk)) for chunk in told)

    def last(self) -> bytes:
        """Return the event with the usage, b"" where none is told or none was asked for."""
        usage = self._tally.usage
        if usage is None or not self._request.include_usage:
            return b""
        frame = {name: self._frame[name] for name in self._frame if name not in _NOT_IN_FRAME}
        return sse.event(msgspec.json.encode({**frame, "choices": [], "usage": usage}))

    def _completed(self, body: Json) -> Json:
        created = body.get("created") or self._second
        return {**body, "id": body.get("id") or self._identity, "created": created}
