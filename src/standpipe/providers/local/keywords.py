"""The keywords of JSON Schema: what a grammar can say of them, and what their values must be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from standpipe.providers.local.check import TYPES

MAX_LEAST = 10_000  # minLength, minItems and minProperties: an answer has no more room
#: The largest whole number that a double can hold, and every one below it.
WHOLE = 2**53 - 1
#: What a number's digits after the point end with.
STEP = 1e-6

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
#: The keywords that are about values of one type.
OF_TYPE: Mapping[str, tuple[str, ...]] = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "additionalItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": (*_BOUNDS, "multipleOf"),
    "integer": (*_BOUNDS, "multipleOf"),
}
#: Those that say which values are valid and that a grammar can say.
ENFORCED = frozenset(
    {"$ref", "allOf", "anyOf", "oneOf", "enum", "const", "type"}.union(*OF_TYPE.values())
)
#: Those that no grammar can say.
UNENFORCED = frozenset(
    {
        *("not", "if", "then", "else", "contains", "minContains", "maxContains", "uniqueItems"),
        *("propertyNames", "patternProperties", "dependencies", "dependentRequired"),
        *("dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef"),
    }
)


def implied(schema: Mapping[str, Any]) -> str | None:
    """Return the type that a schema without one speaks of, None if it speaks of any."""
    for kind in ("object", "array", "string", "number"):
        if any(name in schema for name in OF_TYPE[kind]):
            return kind
    return None


def malformed(schema: Mapping[str, Any]) -> str | None:
    """Return the first keyword whose value cannot be, None if all can."""
    for name, well_formed in _WELL_FORMED.items():
        if name in schema and not well_formed(schema[name]):
            return name
    return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_least(value: Any) -> bool:
    return _is_count(value) and value <= MAX_LEAST


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and abs(value) <= WHOLE


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _is_type(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in TYPES for name in names)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_WELL_FORMED: Mapping[str, Callable[[Any], bool]] = {
    "$ref": _is_text,
    "type": _is_type,
    **dict.fromkeys(("enum", "allOf", "anyOf", "oneOf"), _is_list),
    "prefixItems": lambda value: isinstance(value, list),
    **dict.fromkeys(("properties", "patternProperties", "dependentRequired"), _is_map),
    "required": _is_names,
    **dict.fromkeys(("additionalProperties", "additionalItems", "not", "contains"), _is_schema),
    **dict.fromkeys(("if", "then", "else", "propertyNames"), _is_schema),
    "items": lambda value: isinstance(value, dict | bool | list),
    **dict.fromkeys(("pattern", "format"), _is_text),
    **dict.fromkeys(("minLength", "minItems", "minProperties", "minContains"), _is_least),
    **dict.fromkeys(("maxLength", "maxItems", "maxProperties", "maxContains"), _is_count),
    **dict.fromkeys(_BOUNDS, _is_number),
    "multipleOf": lambda value: _is_number(value) and value >= STEP,
}
