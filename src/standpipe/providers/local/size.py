"""About how many tokens the longest answer to a narrowed schema has. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Json = dict[str, Any]
Size = Callable[[Json], int]

#: Characters a token, for text that nobody has seen yet: unkind, but not the worst.
_CHARS = 2
_NUMBER = 18


class Sizes:
    """Sizes of the parts of one schema."""

    def __init__(self, definitions: Mapping[str, Json]) -> None:
        self._definitions = definitions
        self._known: dict[str, int] = {}

    def tokens(self, part: Json) -> int:
        """Return about the most tokens of a value that is valid against `part`."""
        if "$ref" in part:
            return self._referred(part["$ref"].removeprefix("#/$defs/"))
        if "enum" in part:
            longest = max(len(msgspec.json.encode(value)) for value in part["enum"])
            return longest // _CHARS + 2
        if "anyOf" in part:
            return max(map(self.tokens, part["anyOf"]))
        return _OF_TYPE[part["type"]](part, self.tokens)

    def _referred(self, name: str) -> int:
        if name not in self._known:
            self._known[name] = self.tokens(self._definitions[name])
        return self._known[name]


def _string(part: Json, _size: Size) -> int:
    return int(part["maxLength"]) // _CHARS + 2


def _array(part: Json, size: Size) -> int:
    first = [size(each) for each in part.get("prefixItems", ())]
    more = max(0, part["maxItems"] - len(first))
    return 2 + sum(first) + len(first) + (more * (size(part["items"]) + 1) if more else 0)


def _object(part: Json, size: Size) -> int:
    named = part["properties"].items()
    total = 2 + sum(len(name) // _CHARS + 4 + size(each) for name, each in named)
    for each in part.get("patternProperties", {}).values():
        total += max(0, part["maxProperties"] - len(part.get("required", ()))) * (14 + size(each))
    return int(total)


_OF_TYPE: Mapping[str, Callable[[Json, Size], int]] = {
    "string": _string,
    "array": _array,
    "object": _object,
    "number": lambda _part, _size: _NUMBER,
    "integer": lambda _part, _size: _NUMBER,
    "boolean": lambda _part, _size: 2,
    "null": lambda _part, _size: 2,
}
