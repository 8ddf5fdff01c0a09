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
    """Puts completions and chunks into bytes; `second` stands in where nobody told the time."""

    def __init__(self, request: ChatRequest, tally: Tally, second: int) -> None:
        self._request = request
        self._tally = tally
        self._second = second
        self._frame: Json = {}

    def whole(self, completion: Json) -> bytes:
        """Return the body of an answer."""
        usage = self._tally.usage
        body = self._dated(completion) | ({} if usage is None else {"usage": usage})
        self._tally.completion_id = body.get("id")
        return msgspec.json.encode(body)

    def events(self, chunks: list[Json]) -> bytes:
        """Return the events of some chunks."""
        dated = [self._dated(chunk) for chunk in chunks]
        self._frame = self._frame or dated[0]
        self._tally.completion_id = self._frame.get("id")
        return b"".join(sse.event(msgspec.json.encode(chunk)) for chunk in dated)

    def last(self) -> bytes:
        """Return the event with the usage, b"" where none is told or none was asked for."""
        usage = self._tally.usage
        if usage is None or not self._request.include_usage:
            return b""
        frame = {name: self._frame[name] for name in self._frame if name not in _NOT_IN_FRAME}
        return sse.event(msgspec.json.encode({**frame, "choices": [], "usage": usage}))

    def _dated(self, body: Json) -> Json:
        return {**body, "created": body.get("created") or self._second}
