"""A JSON Schema narrowed to what LLGuidance can say, with bounds on all that is free.

A small model goes on in a free string, array or number for as long as it may, so that an answer
would end at its limit, in the middle. Every value that is valid against what comes out is valid
against what went in. https://github.com/guidance-ai/llguidance (seen 2026-11). Pure.
"""

from __future__ import annotations

import contextlib
import math
import re
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import msgspec

from standpipe.errors import BadRequest
from standpipe.providers.local import keywords as local_keywords
from standpipe.providers.local import merge as local_merge
from standpipe.providers.local import pattern as local_pattern
from standpipe.providers.local.check import fits, resolve
from standpipe.providers.local.keywords import ENFORCED, OF_TYPE, STEP, UNENFORCED, WHOLE
from standpipe.providers.local.size import Sizes

Json = dict[str, Any]

_MOST_PARTS = 4000
_LARGE = 10.0**9
#: Characters of a string with a pattern, which is a name or a number of some kind, and no text.
_PATTERNED = 100


class Bounds(NamedTuple):
    """How far what is free may go."""

    #: Characters of a string.
    text: int
    #: Items of an array, and properties that have no name in the schema.
    items: int
    #: Levels of a value of any form, and of a schema inside itself.
    levels: int


def refuse(param: str, what: str, remedy: str) -> NoReturn:
    """Raise BadRequest."""
    raise BadRequest(
        f"{param}: {what}; {remedy} or route the call to another provider", param=param
    )


def narrow(schema: Json, *, param: str, strict: bool, bounds: Bounds) -> tuple[Json, int]:
    """Return the narrowed schema and about the most tokens that an answer to it has.

    BadRequest, naming `param`, for a schema that is none, that no value is valid against, or,
    with `strict`, that no grammar can say.
    """
    narrowing = _Narrowing(schema, param, strict=strict, bounds=bounds)
    made = narrowing.part(schema)
    if made is None:
        refuse(param, "no value, or none of any size, is valid against it", "correct it")
    tokens = Sizes(narrowing.definitions).tokens(made)
    return made | ({"$defs": narrowing.definitions} if narrowing.definitions else {}), tokens


class _Narrowing:
    """One schema within one set of bounds; a part that no value can be had for becomes None."""

    def __init__(self, root: Json, param: str, *, strict: bool, bounds: Bounds) -> None:
        self.definitions: dict[str, Json] = {}
        self._root = root
        self._param = param
        self._strict = strict
        self._bounds = bounds
        self._parts = 0
        #: The references that are being followed, and how many of them are there again.
        self._path: list[str] = []
        self._again = 0
        self._made: dict[tuple[str, int], Json | None] = {}

    def _refuse(self, what: str, remedy: str = "correct it") -> NoReturn:
        refuse(self._param, what, remedy)

    def part(self, schema: Any) -> Json | None:
        """Narrow one schema."""
        if isinstance(schema, bool):
            return self._anything(self._bounds.levels) if schema else None
        self._check(schema)
        return self._form({name: schema[name] for name in schema if name in ENFORCED})

    def _check(self, schema: Any) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            self._refuse("the schema unfolds into too many parts", "make it smaller")
        if not isinstance(schema, dict):
            self._refuse(f"{_shown(schema)} is not a schema")
        if self._strict and (found := sorted(UNENFORCED & schema.keys())):
            self._refuse(f"the local model cannot enforce {found[0]!r}", "remove it or strict")
        if (name := local_keywords.malformed(schema)) is not None:
            self._refuse(f"{name!r} cannot be {_shown(schema[name])}")

    def _form(self, schema: Json) -> Json | None:
        if "$ref" in schema or "allOf" in schema:
            return self._joined(schema)
        if "enum" in schema or "const" in schema:
            return self._listed(schema)
        for name in ("anyOf", "oneOf"):
            if name in schema:
                base = _without(schema, name)
                parts = schema[name]
                return self._either([self._merged(base, [part]) for part in parts])
        return self._typed(schema)

    def _joined(self, schema: Json) -> Json | None:
        """Narrow what a schema says together with the schemas that it refers to."""
        base = _without(schema, "$ref", "allOf")
        parts = list(schema.get("allOf", []))
        parts += [{"$ref": schema["$ref"]}] if "$ref" in schema else []
        if not base and len(parts) == 1:
            pointer = parts[0].get("$ref") if isinstance(parts[0], dict) else None
            return self.part(parts[0]) if pointer is None else self._referred(pointer)
        pointers = [part["$ref"] for part in parts if isinstance(part, dict) and "$ref" in part]
        with self._following(pointers) as may_go_on:
            return self.part(self._merged(base, parts)) if may_go_on else None

    def _referred(self, pointer: Any) -> Json | None:
        target = self._target(pointer)
        with self._following([pointer]) as may_go_on:
            key = (pointer, self._again)
            if key not in self._made:
                self._made[key] = self._define(target) if may_go_on else None
            return self._made[key]

    def _define(self, target: Any) -> Json | None:
        made = self.part(target)
        if made is None or "$ref" in made:
            return made
        name = f"d{len(self.definitions)}"
        self.definitions[name] = made
        return {"$ref": f"#/$defs/{name}"}

    @contextlib.contextmanager
    def _following(self, pointers: list[Any]) -> Iterator[bool]:
        """Follow references; yield whether that may go on, or a schema is too deep in itself."""
        again = sum(pointer in self._path for pointer in pointers)
        self._path += pointers
        self._again += again
        try:
            yield self._again <= self._bounds.levels + 1
        finally:
            self._again -= again
            del self._path[len(self._path) - len(pointers) :]

    def _target(self, pointer: Any) -> Any:
        try:
            return resolve(pointer, self._root)
        except (LookupError, ValueError):
            self._refuse(f"there is nothing at $ref {_shown(pointer)}")

    def _merged(self, base: Json, parts: list[Any]) -> Any:
        """Return what all of the schemas say in one."""
        for part in parts:
            if part is False:
                return False
            if part is not True:
                base = self._both(base, part)
        return base

    def _both(self, one: Json, other: Any) -> Json:
        self._check(other)
        if "$ref" in other and one:
            target = self._merged(_without(other, "$ref"), [self._target(other["$ref"])])
            return one if target is True else self._merged(one, [target]) or {"allOf": [False]}
        merged, lost = local_merge.both(one, other)
        if lost and self._strict:
            self._refuse(f"the local model cannot join two {lost[0]!r}", "write one schema")
        return merged

    def _listed(self, schema: Json) -> Json | None:
        values = schema.get("enum", [schema.get("const")])
        others = _without(schema, "enum") if "enum" in schema else {}
        try:
            values = [value for value in values if fits(value, others, self._root)]
        except (LookupError, ValueError, TypeError, re.error):
            self._refuse("the schema of an enum cannot be read")
        return {"enum": values} if values else None

    def _either(self, parts: list[Any]) -> Json | None:
        made = [each for part in parts if (each := self.part(part)) is not None]
        return _any_of(made)

    def _typed(self, schema: Json) -> Json | None:
        kind = schema.get("type") or local_keywords.implied(schema)
        if isinstance(kind, list):
            return self._either([{**schema, "type": each} for each in kind])
        if kind is None:
            return self._anything(self._bounds.levels)
        own = {name: schema[name] for name in OF_TYPE.get(kind, ()) if name in schema}
        return _NARROW[kind](self, own)

    def object(self, schema: Json) -> Json | None:
        """Narrow an object; properties without a name only where none has one, or a schema does."""
        required = list(dict.fromkeys(schema.get("required", [])))
        known = schema.get("properties", {})
        extra = self._extra(schema, required)
        tried = {name: self.part(part) for name, part in known.items()}
        tried |= {name: extra for name in required if name not in tried}
        if any(tried[name] is None for name in required):
            return None
        named = {name: part for name, part in tried.items() if part is not None}
        free = extra if _takes_extra(schema) else None
        return self._counted(schema, named, required, free)

    def _extra(self, schema: Json, required: list[str]) -> Json | None:
        """Return what a property without a name in the schema may be, None if there are none."""
        other = schema.get("additionalProperties", True)
        known = schema.get("properties", {})
        if other is True and not _takes_extra(schema) and all(name in known for name in required):
            return None
        return self.part(other)

    def _counted(
        self, schema: Json, named: dict[str, Json], required: list[str], extra: Json | None
    ) -> Json | None:
        """Return an object with so many properties, counted only where all named ones are there."""
        key = _free_key(named) if extra is not None else None
        least, most = schema.get("minProperties", 0), schema.get("maxProperties", len(named))
        optional = [name for name in named if name not in required]
        needed = len(optional) if key else max(0, least - len(required))
        required = required + optional[:needed]
        if not key and most < len(named):
            named = {name: named[name] for name in (required + optional[needed:])[:most]}
        made: Json = {"type": "object", "properties": named, "required": required}
        made["additionalProperties"] = False
        if not key:
            return made if least <= len(required) <= len(named) else None
        most = max(least, len(required) + self._bounds.items)
        most = min(most, schema.get("maxProperties", most))
        made |= {"patternProperties": {key: extra}, "maxProperties": most}
        made |= {"minProperties": least} if least > len(required) else {}
        return made if max(least, len(required)) <= most else None

    def array(self, schema: Json) -> Json | None:
        """Narrow an array to so many items."""
        items = schema.get("items", True)
        first = items if isinstance(items, list) else schema.get("prefixItems", [])
        rest = schema.get("additionalItems", True) if isinstance(items, list) else items
        least = schema.get("minItems", 0)
        most = max(least, self._bounds.items, len(first))
        most = min(most, schema.get("maxItems", most))
        prefix = [self.part(part) for part in first[:most]]
        if None in prefix:
            prefix = prefix[: prefix.index(None)]
            most = len(prefix)
        item = self.part(rest) if most > len(prefix) else None
        most = most if item is not None else len(prefix)
        made: Json = {"type": "array", "minItems": least, "maxItems": most}
        made |= {"items": item if item is not None else False}
        made |= {"prefixItems": prefix} if prefix else {}
        return made if least <= most else None

    def string(self, schema: Json) -> Json | None:
        """Narrow a string to so many characters."""
        least = schema.get("minLength", 0)
        pattern = self._pattern(schema)
        text = self._bounds.text
        if "pattern" in schema:
            text = max(min(text, _PATTERNED), local_pattern.longest_least(schema["pattern"]))
        elif pattern is not None:
            text = local_pattern.LENGTHS[schema["format"]]
        most = max(text, least)
        most = min(most, schema.get("maxLength", most))
        made: Json = {"type": "string", "minLength": least, "maxLength": most}
        made |= {} if pattern is None else {"pattern": pattern}
        return made if least <= most else None

    def _pattern(self, schema: Json) -> str | None:
        kind = schema.get("format")
        if self._strict and kind is not None and kind not in local_pattern.FORMATS:
            self._refuse(
                f"the local model cannot enforce format {_shown(kind)}", "remove it or strict"
            )
        if "pattern" not in schema:
            return local_pattern.FORMATS.get(kind) if kind is not None else None
        pattern = str(schema["pattern"])
        if (fault := local_pattern.fault(pattern)) is not None:
            self._refuse(f"pattern {_shown(pattern)} {fault}", "use a simpler one")
        return local_pattern.plain(pattern)

    def number(self, schema: Json) -> Json | None:
        """Narrow a number to so many digits; one below zero is a part of its own (`Rules`)."""
        low, high = _limits(schema)
        low = max(low, min(-_LARGE, high - _LARGE))
        high = min(high, max(_LARGE, low + _LARGE))
        parts: list[Json] = []
        if high >= max(low, 0):
            parts.append(_digits(schema, max(low, 0), high))
        if low < min(high, -STEP):
            parts.append(_digits(schema, low, min(high, -STEP)))
        return _any_of(parts)

    def integer(self, schema: Json) -> Json | None:
        """Narrow a whole number to what a double can hold; a multiple of another, from zero on."""
        low, high = _limits(schema)
        least, most = math.ceil(max(low, -WHOLE)), math.floor(min(high, WHOLE))
        least = max(least, 0) if "multipleOf" in schema else least
        made: Json = {"type": "integer"} | schema | {"minimum": least, "maximum": most}
        return made if least <= most else None

    def boolean(self, _schema: Json) -> Json:
        """Return the schema of true and false."""
        return {"type": "boolean"}

    def null(self, _schema: Json) -> Json:
        """Return the schema of null."""
        return {"type": "null"}

    def _anything(self, levels: int) -> Json:
        """Return the schema of any value, so many levels deep."""
        name = f"any{levels}"
        if name not in self.definitions:
            self.definitions[name] = {"anyOf": self._kinds(levels)}
        return {"$ref": f"#/$defs/{name}"}

    def _kinds(self, levels: int) -> list[Json]:
        kinds = [self.string({}), self.number({}), {"type": "boolean"}, {"type": "null"}]
        if levels > 0:
            few = max(1, self._bounds.items // 3)
            inner = self._anything(levels - 1)
            kinds.append({"type": "array", "items": inner, "minItems": 0, "maxItems": few})
            made: Json = {"type": "object", "properties": {}, "required": []}
            made |= {"patternProperties": {_free_key({}): inner}, "additionalProperties": False}
            kinds.append({**made, "maxProperties": few})
        return [kind for kind in kinds if kind is not None]


_NARROW: Mapping[str, Callable[[_Narrowing, Json], Json | None]] = {
    "object": _Narrowing.object,
    "array": _Narrowing.array,
    "string": _Narrowing.string,
    "number": _Narrowing.number,
    "integer": _Narrowing.integer,
    "boolean": _Narrowing.boolean,
    "null": _Narrowing.null,
}


def _takes_extra(schema: Json) -> bool:
    if isinstance(schema.get("additionalProperties"), dict):
        return True
    known = len(schema["properties"]) if "properties" in schema else -1
    least = schema.get("minProperties", 0)
    return schema.get("additionalProperties", True) is True and known < least


def _digits(schema: Json, low: float, high: float) -> Json:
    made: Json = {"type": "number", "minimum": low, "maximum": high}
    if high - low >= 1000 * STEP:
        made["multipleOf"] = STEP
    kept = ("multipleOf", "exclusiveMinimum", "exclusiveMaximum")
    return made | {name: schema[name] for name in kept if name in schema}


def _any_of(made: list[Json]) -> Json | None:
    return made[0] if len(made) == 1 else {"anyOf": made} if made else None


def _free_key(named: Mapping[str, Any]) -> str | None:
    """Return a pattern for other names than these, None if they begin with every letter."""
    first = "".join(each for each in string.ascii_letters if each not in {n[:1] for n in named})
    return f"^[{first}][A-Za-z0-9_]{{0,23}}$" if first else None


def _limits(schema: Json) -> tuple[float, float]:
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    return low, high


def _without(schema: Json, *names: str) -> Json:
    return {key: value for key, value in schema.items() if key not in names}


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:60]
