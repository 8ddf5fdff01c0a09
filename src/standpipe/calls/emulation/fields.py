"""Requests put otherwise: what a provider knows under another name, or can only read as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]


def renamed(old: str, new: str) -> Callable[[Json], Json]:
    """Return what gives a limit its other name; of two limits the lower one holds."""

    def rewrite(body: Json) -> Json:
        if body.get(old) is None:
            return body
        limits = [body[name] for name in (old, new) if body.get(name) is not None]
        rest = {name: body[name] for name in body if name != old}
        return {**rest, new: min(limits)}

    return rewrite


def developer_as_system(body: Json) -> Json:
    """Return the request with the role's older name."""
    messages = [
        {**message, "role": "system"} if message["role"] == "developer" else message
        for message in body["messages"]
    ]
    return {**body, "messages": messages}


def names_as_text(body: Json) -> Json:
    """Return the request with each speaker's name before what is said."""
    return {**body, "messages": [_named(message) for message in body["messages"]]}


def _named(message: Json) -> Json:
    name = message.get("name")
    if not name or message["role"] == "function":
        return message
    rest = {field: message[field] for field in message if field != "name"}
    content = message.get("content")
    if isinstance(content, list):
        return {**rest, "content": _first_text(content, f"{name}: ")}
    return {**rest, "content": f"{name}: {content}"} if content else rest


def _first_text(parts: list[Json], before: str) -> list[Json]:
    if parts and parts[0].get("type") == "text":
        return [{**parts[0], "text": before + parts[0]["text"]}, *parts[1:]]
    return [{"type": "text", "text": before}, *parts]
