"""A narrowed schema as rules of a grammar.

LLGuidance reads a schema itself, and does for texts and whole numbers. But it has no end to the
digits of a number below zero, which a small model goes on with; so numbers are ours, and with them
what may hold one: objects, arrays and alternatives. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Json = dict[str, Any]


class Rules:
    """Rules for the parts of one or more schemas, the same rule for the same part."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: dict[str, str] = {}
        self._rules: list[str] = []

    def add(self, schema: Json) -> str:
        """Add a narrowed schema with its `$defs`; return the name of its rule."""
        named = {name: f"{self._prefix}{name}" for name in schema.get("$defs", {})}
        for name, part in schema.get("$defs", {}).items():
            self._rules.append(f"{named[name]}: {self._form(part)}\n")
        return self._rule({name: part for name, part in schema.items() if name != "$defs"})

    def text(self) -> str:
        """Return the rules, a line each."""
        return "".join(self._rules)

    def _rule(self, part: Json) -> str:
        if "$ref" in part:
            return self._prefix + str(part["$ref"]).removeprefix("#/$defs/")
        return self._named(self._form(part))

    def _form(self, part: Json) -> str:
        if "$ref" in part:
            return self._rule(part)
        if "anyOf" in part:
            return " | ".join(map(self._rule, part["anyOf"]))
        make = _FORMS.get(part.get("type", ""))
        return _json(part) if make is None or "enum" in part else make(self, part)

    def number(self, part: Json) -> str:
        """Return the form of a number: a minus sign is not of LLGuidance's number."""
        low, high = part["minimum"], part["maximum"]
        if high > 0 or "exclusiveMinimum" in part:
            return _json(part)
        turned = {name: part[name] for name in part if name in ("type", "multipleOf")}
        turned |= {"minimum": -high, "maximum": -low}
        if "exclusiveMaximum" in part:
            turned["exclusiveMinimum"] = -part["exclusiveMaximum"]
        return f'"-" {_json(turned)}'

    def array(self, part: Json) -> str:
        """Return the form of an array."""
        first = [self._rule(each) for each in part.get("prefixItems", ())]
        least, most = part["minItems"], part["maxItems"]
        if most == 0:
            return '"[]"'
        inner = self._items(part, max(0, least - len(first)), most - len(first))
        for at in range(len(first) - 1, -1, -1):
            comma = '"," ' if at else ""
            inner = f"{comma}{first[at]} {inner}"
            inner = f"({inner})?" if at >= least else inner
        return f'"[" {inner} "]"'

    def _items(self, part: Json, least: int, most: int) -> str:
        if most <= 0:
            return ""
        item = self._rule(part["items"])
        if part.get("prefixItems"):
            return _times(f'("," {item})', least, most)
        more = f"{item} " + _times(f'("," {item})', max(0, least - 1), most - 1)
        return more if least else f"({more})?"

    def object(self, part: Json) -> str:
        """Return the form of an object: its properties in their order, then those without a name.

        What follows a property has a rule for the case that none came before, and for the other.
        """
        named = [
            (f"{_quoted(_quoted(name) + ':')} {self._rule(each)}", name in part["required"])
            for name, each in part["properties"].items()
        ]
        begun, none = self._free(part)
        for pair, is_required in reversed(named):
            after = self._named(f'"," {pair} {begun}')
            first = f"{pair} {begun}"
            none = first if is_required else self._named(f"{first} | {none or _EMPTY}")
            begun = after if is_required else self._named(f"{after} | {begun or _EMPTY}")
        return f'"{{" {none} "}}"'

    def _free(self, part: Json) -> tuple[str, str]:
        """Return the forms of the properties without a name: after others, and where none is."""
        for pattern, each in part.get("patternProperties", {}).items():
            key = pattern.removeprefix("^").removesuffix("$")
            pair = f'/"{key}"/ ":" {self._rule(each)}'
            have = len(part["required"])
            least, most = max(0, part.get("minProperties", 0) - have), part["maxProperties"] - have
            if most <= 0:
                return "", ""
            rest = _times(f'("," {pair})', max(0, least - 1), most - 1)
            none = f"{pair} {rest}" if least else f"({pair} {rest})?"
            return _times(f'("," {pair})', least, most), none
        return "", ""

    def _named(self, form: str) -> str:
        if form not in self._names:
            self._names[form] = f"{self._prefix}r{len(self._names)}"
            self._rules.append(f"{self._names[form]}: {form}\n")
        return self._names[form]


_EMPTY = '""'
_FORMS: Mapping[str, Callable[[Rules, Json], str]] = {
    "object": Rules.object,
    "array": Rules.array,
    "number": Rules.number,
}


def _times(form: str, least: int, most: int) -> str:
    return f"{form}{{{least},{most}}}" if most > 0 else ""


def _json(part: Json) -> str:
    compact = {**part, "x-guidance": {"whitespace_flexible": False}}
    return f"%json {msgspec.json.encode(compact).decode()}"


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
