"""From a caller's JSON Schema to one that the engine can hold the model to, to the end.

It is checked: the engine says nothing of a schema that it cannot read, and lets the model write
what it likes. It is capped, since others wait while it is read. And what is free is bounded
(`narrow`), as far as the answer has room. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from standpipe.providers.local.narrow import Bounds, narrow, refuse

Json = dict[str, Any]

MAX_BYTES = 64 * 1024
MAX_CHOICES = 1000  # enum values, constants, properties and alternatives, together
MAX_LEVELS = 100

#: From generous to narrow; the first is taken whose longest answer has room.
_LADDER = (
    Bounds(text=1000, items=32, levels=3),
    Bounds(text=700, items=24, levels=3),
    Bounds(text=500, items=16, levels=2),
    Bounds(text=300, items=12, levels=2),
    Bounds(text=200, items=10, levels=2),
    Bounds(text=120, items=8, levels=1),
    Bounds(text=80, items=6, levels=1),
    Bounds(text=50, items=5, levels=1),
    Bounds(text=32, items=4, levels=1),
    Bounds(text=24, items=3, levels=1),
    Bounds(text=16, items=2, levels=1),
    Bounds(text=8, items=1, levels=0),
)


def bounded(schema: Any, *, param: str, strict: bool, room: int) -> Json:
    """Return the schema that the model is held to; BadRequest, naming `param`, if there is none.

    `room` is how many tokens the answer may have. Where no bounds are narrow enough, the
    narrowest are taken.
    """
    if not isinstance(schema, dict):
        refuse(param, "a schema is an object", "give one")
    check_size(schema, param)
    made, tokens = narrow(schema, param=param, strict=strict, bounds=_LADDER[0])
    if tokens <= room:
        return made
    low, high = 1, len(_LADDER) - 1  # a narrowing takes up to tens of milliseconds: try few
    while low < high:
        middle = (low + high) // 2
        _, tokens = narrow(schema, param=param, strict=strict, bounds=_LADDER[middle])
        low, high = (low, middle) if tokens <= room else (middle + 1, high)
    return narrow(schema, param=param, strict=strict, bounds=_LADDER[low])[0]


def check_size(schema: Json, param: str) -> None:
    """Raise BadRequest for what would take long to read; a schema, or all schemas of a call."""
    if len(msgspec.json.encode(schema)) > MAX_BYTES:
        refuse(param, f"the schema is over {MAX_BYTES} bytes", "make it smaller")
    choices = 0
    for part, level in _walk(schema):
        if level > MAX_LEVELS:
            refuse(param, "the schema is nested too deep", "flatten it")
        choices += _choices(part)
    if choices > MAX_CHOICES:
        what = f"{choices} values, properties and alternatives are over {MAX_CHOICES}"
        refuse(param, what, "use fewer")


def _walk(schema: Json) -> Iterator[tuple[Json, int]]:
    """Yield every object inside a schema, itself first, and how deep it is."""
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    while waiting:
        part, level = waiting.pop()
        if isinstance(part, dict):
            yield part, level
            waiting += [(inner, level + 1) for inner in part.values()]
        elif isinstance(part, list):
            waiting += [(inner, level + 1) for inner in part]


def _choices(part: Json) -> int:
    names = ("enum", "properties", "$defs", "anyOf", "oneOf", "allOf", "prefixItems")
    sized = (part.get(name) for name in names)
    return sum(len(value) for value in sized if isinstance(value, list | dict)) + ("const" in part)
