"""Whether a value is valid against a JSON Schema: the last look at an answer of the local model.

The grammar has held the model to the schema already, but for the keywords that no grammar can say
(`schema.UNENFORCED`), and but for a grammar that the engine could not read: then it enforces
nothing and says nothing. So every answer is looked at before it is called a success. Pure.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]
Root = Mapping[str, Any]
Rule = Callable[[Any, Any, Json, Root], bool]

_DEEPEST = 64


def fits(value: Any, schema: Any, root: Root, depth: int = 0) -> bool:
    """Say whether `value` is valid against `schema`, whose references point into `root`.

    `format` and what no draft of JSON Schema knows is taken for a note. A schema that refers to
    itself without end fits nothing.
    """
    if isinstance(schema, bool) or depth > _DEEPEST:
        return schema is True
    if "$ref" in schema and not fits(value, resolve(schema["$ref"], root), root, depth + 1):
        return False
    return all(
        rule(value, schema[name], schema, root) for name, rule in _RULES.items() if name in schema
    )


def resolve(pointer: Any, root: Root) -> Any:
    """Return the schema that a reference points to; LookupError if there is none."""
    if not isinstance(pointer, str) or not pointer.startswith("#"):
        raise LookupError(pointer)
    found: Any = root
    for step in pointer.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) and key.isdigit() else found[key]
    if isinstance(found, dict | bool):
        return found
    raise LookupError(pointer)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    ),
}
#: The names of JSON Schema's types.
TYPES = frozenset(_TYPES)


def _type(value: Any, wanted: Any, _schema: Json, _root: Root) -> bool:
    names = wanted if isinstance(wanted, list) else [wanted]
    return any(_TYPES[name](value) for name in names)


def _same(one: Any, other: Any) -> bool:
    """Compare as JSON does: 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    return bool(one == other)


def _of(kind: str, check: Callable[[Any, Any], bool]) -> Rule:
    """Apply to values of one type; every other passes."""

    def rule(value: Any, wanted: Any, _schema: Json, _root: Root) -> bool:
        return not _TYPES[kind](value) or check(value, wanted)

    return rule


def _required(value: Json, names: list[str]) -> bool:
    return all(name in value for name in names)


def _dependent(value: Json, names: Mapping[str, list[str]]) -> bool:
    return all(_required(value, names[name]) for name in names if name in value)


def _multiple(value: float, step: float) -> bool:
    ratio = value / step
    return abs(ratio - round(ratio)) < 1e-6


def _unique(value: list[Any], wanted: bool) -> bool:
    return not wanted or not any(_same(a, b) for a, b in itertools.combinations(value, 2))


def _properties(value: Any, wanted: Json, _schema: Json, root: Root) -> bool:
    named: Json = value if isinstance(value, dict) else {}
    return all(fits(named[name], wanted[name], root) for name in wanted if name in named)


def _patterns(value: Any, wanted: Json, _schema: Json, root: Root) -> bool:
    named: Json = value if isinstance(value, dict) else {}
    return all(
        fits(inner, wanted[pattern], root)
        for name, inner in named.items()
        for pattern in wanted
        if re.search(pattern, name)
    )


def _additional(value: Any, wanted: Any, schema: Json, root: Root) -> bool:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    others: Iterator[Any] = (
        inner
        for name, inner in (value.items() if isinstance(value, dict) else ())
        if name not in known and not any(re.search(each, name) for each in patterns)
    )
    return all(fits(inner, wanted, root) for inner in others)


def _items(value: Any, wanted: Any, schema: Json, root: Root) -> bool:
    values = value if isinstance(value, list) else []
    if isinstance(wanted, list):
        return all(map(lambda v, s: fits(v, s, root), values, wanted))
    rest = values[len(schema.get("prefixItems", ())) :]
    return all(fits(inner, wanted, root) for inner in rest)


def _prefix(value: Any, wanted: list[Any], _schema: Json, root: Root) -> bool:
    return all(map(lambda v, s: fits(v, s, root), value if isinstance(value, list) else [], wanted))


def _contains(value: Any, wanted: Any, schema: Json, root: Root) -> bool:
    if not isinstance(value, list):
        return True
    found = sum(fits(inner, wanted, root) for inner in value)
    return bool(schema.get("minContains", 1) <= found <= schema.get("maxContains", len(value)))


def _condition(value: Any, wanted: Any, schema: Json, root: Root) -> bool:
    branch = "then" if fits(value, wanted, root) else "else"
    return fits(value, schema.get(branch, True), root)


_RULES: Mapping[str, Rule] = {
    "type": _type,
    "enum": lambda value, wanted, _s, _r: any(_same(value, each) for each in wanted),
    "const": lambda value, wanted, _s, _r: _same(value, wanted),
    "allOf": lambda value, wanted, _s, root: all(fits(value, each, root) for each in wanted),
    "anyOf": lambda value, wanted, _s, root: any(fits(value, each, root) for each in wanted),
    "oneOf": lambda value, wanted, _s, root: sum(fits(value, each, root) for each in wanted) == 1,
    "not": lambda value, wanted, _s, root: not fits(value, wanted, root),
    "if": _condition,
    "properties": _properties,
    "patternProperties": _patterns,
    "additionalProperties": _additional,
    "propertyNames": lambda value, wanted, _s, root: all(
        fits(name, wanted, root) for name in (value if isinstance(value, dict) else ())
    ),
    "required": _of("object", _required),
    "dependentRequired": _of("object", _dependent),
    "minProperties": _of("object", lambda value, least: len(value) >= least),
    "maxProperties": _of("object", lambda value, most: len(value) <= most),
    "prefixItems": _prefix,
    "items": _items,
    "contains": _contains,
    "uniqueItems": _of("array", _unique),
    "minItems": _of("array", lambda value, least: len(value) >= least),
    "maxItems": _of("array", lambda value, most: len(value) <= most),
    "minLength": _of("string", lambda value, least: len(value) >= least),
    "maxLength": _of("string", lambda value, most: len(value) <= most),
    "pattern": _of("string", lambda value, wanted: re.search(wanted, value) is not None),
    "minimum": _of("number", lambda value, least: value >= least),
    "maximum": _of("number", lambda value, most: value <= most),
    "exclusiveMinimum": _of("number", lambda value, bound: value > bound),
    "exclusiveMaximum": _of("number", lambda value, bound: value < bound),
    "multipleOf": _of("number", _multiple),
}
