"""`parallel_tool_calls: false`: an answer's first tool call, and none beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]


def without_field(body: Json) -> Json:
    """Return the request without the field that the provider lacks."""
    return {name: body[name] for name in body if name != "parallel_tool_calls"}


class FirstCall:
    """Leaves out the tool calls of a choice after its first."""

    ended = False

    def __init__(self) -> None:
        self._first: Json | None = None

    def whole(self, choice: Json) -> Json:
        """Return the choice with one tool call at most."""
        message = choice["message"]
        if not message.get("tool_calls"):
            return choice
        return {**choice, "message": {**message, "tool_calls": message["tool_calls"][:1]}}

    def piece(self, piece: Json) -> Iterable[Json]:
        """Return the piece without what belongs to another call; nothing if that is all of it."""
        delta = piece.get("delta") or {}
        calls = delta.get("tool_calls")
        if not calls:
            return [piece]
        kept = [call for call in calls if self._is_first(call)]
        rest = {name: delta[name] for name in delta if name != "tool_calls"}
        if kept:
            return [{**piece, "delta": {**rest, "tool_calls": kept}}]
        return [{**piece, "delta": rest}] if rest or piece.get("finish_reason") else []

    def close(self) -> Iterable[Json]:
        """Return nothing: nothing is held back."""
        return ()

    def _is_first(self, call: Json) -> bool:
        if self._first is None:
            self._first = call
            return True
        if call.get("index", 0) != self._first.get("index", 0):
            return False
        # Some providers give every call the index 0: a new id with a name begins another.
        another = call.get("id") not in (None, "", self._first.get("id"))
        return not (another and (call.get("function") or {}).get("name"))
