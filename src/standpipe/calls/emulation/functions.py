"""The older `functions`: sent as `tools`, and the answer told as `function_call` (spec 1.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from standpipe.calls.emulation.first_call import FirstCall

Json = dict[str, Any]

_FIELDS = ("functions", "function_call")


def as_tools(body: Json) -> Json:
    """Return the request in the newer form; its messages too."""
    changed = {name: body[name] for name in body if name not in _FIELDS}
    offered = body.get("functions") or []
    if offered:
        tools = [{"type": "function", "function": function} for function in offered]
        changed["tools"] = [*(body.get("tools") or []), *tools]
    choice = body.get("function_call")
    if isinstance(choice, dict):
        changed["tool_choice"] = {"type": "function", "function": choice}
    elif choice is not None:
        changed["tool_choice"] = choice
    return {**changed, "messages": _messages(body["messages"])}


def _messages(messages: list[Json]) -> list[Json]:
    """Return the messages with ids: each function's result answers the latest call of its name."""
    said: list[Json] = []
    waiting: dict[str, str] = {}
    for message in messages:
        number = f"call_{len(said)}"
        if message["role"] == "function":
            name = message["name"]
            if name not in waiting:
                # A result nobody asked for: the newer form wants the question too.
                said.append(_asking(number, {"name": name, "arguments": "{}"}))
                waiting[name] = number
            said.append(_result(message, waiting.pop(name)))
        elif call := message.get("function_call"):
            rest = {name: message[name] for name in message if name != "function_call"}
            said.append({**rest, **_asking(number, call)})
            waiting[call.get("name", "")] = number
        else:
            said.append(message)
    return said


def _asking(identity: str, function: Json) -> Json:
    call = {"name": "", "arguments": "", **function}
    calls = [{"id": identity, "type": "function", "function": call}]
    return {"role": "assistant", "tool_calls": calls}


def _result(message: Json, identity: str) -> Json:
    return {"role": "tool", "tool_call_id": identity, "content": message.get("content") or ""}


def owed(body: Json) -> Callable[[], AsFunctionCall] | None:
    """Return what makes the edit of an answer; None where the request offers no functions."""
    return AsFunctionCall if body.get("functions") else None


class AsFunctionCall:
    """Tells a choice's first tool call as its `function_call`."""

    ended = False

    def __init__(self) -> None:
        self._first = FirstCall()

    def whole(self, choice: Json) -> Json:
        """Return the choice in the older form."""
        return self._told(choice, "message")

    def piece(self, piece: Json) -> Iterable[Json]:
        """Return the piece in the older form."""
        return [self._told(kept, "delta") for kept in self._first.piece(piece)]

    def close(self) -> Iterable[Json]:
        """Return nothing: nothing is held back."""
        return ()

    @staticmethod
    def _told(choice: Json, part: str) -> Json:
        said = choice.get(part) or {}
        if choice.get("finish_reason") == "tool_calls":
            choice = {**choice, "finish_reason": "function_call"}
        if "tool_calls" not in said:
            return choice
        rest = {name: said[name] for name in said if name != "tool_calls"}
        if said["tool_calls"]:
            rest["function_call"] = said["tool_calls"][0].get("function") or {}
        return {**choice, part: rest}
