"""Two JSON Schemas into one that says what both say, as far as one schema can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]


def both(one: Json, other: Json) -> tuple[Json, list[str]]:
    """Return the schema for values that are valid against both, and the keywords it leaves out.

    Of a keyword that cannot be joined, the first schema's is kept.
    """
    merged, lost = {**other, **one}, []
    for name in one.keys() & other.keys():
        if one[name] == other[name]:
            continue
        join = _JOINS.get(name)
        if join is None:
            lost.append(name)
        else:
            merged[name] = join(one[name], other[name])
    return merged, sorted(lost)


def _properties(one: Json, other: Json) -> Json:
    shared = {name: {"allOf": [one[name], other[name]]} for name in one if name in other}
    return {**one, **other, **shared}


def _names(one: list[str], other: list[str]) -> list[str]:
    return list(dict.fromkeys([*one, *other]))


def _values(one: list[Any], other: list[Any]) -> list[Any]:
    return [value for value in one if value in other]


def _types(one: Any, other: Any) -> list[str]:
    ones, others = (kind if isinstance(kind, list) else [kind] for kind in (one, other))
    found = [kind for kind in ones if kind in others or (kind, "number") == ("integer", *others)]
    return found + [kind for kind in others if kind == "integer" and "number" in ones]


def _schemas(one: Any, other: Any) -> Any:
    if one is False or other is False:
        return False
    return {"allOf": [one, other]}


_JOINS: Mapping[str, Callable[[Any, Any], Any]] = {
    "properties": _properties,
    "required": _names,
    "enum": _values,
    "type": _types,
    "items": _schemas,
    "additionalProperties": _schemas,
    "allOf": lambda one, other: [*one, *other],
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
    **dict.fromkeys(("title", "description", "default", "examples"), lambda one, _other: one),
}
