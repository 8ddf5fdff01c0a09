"""JSON schemas as Gemini holds an answer to them: a subset, the rest of which it ignores. Pure.

The keywords are those of google-genai 3.4.0, `response_json_schema` (seen 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from standpipe.errors import BadRequest

Json = dict[str, Any]

_HELD = frozenset(
    {
        "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum",
        "items", "prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf",
        "properties", "additionalProperties", "required", "propertyOrdering",
    }
)  # fmt: skip
#: Keywords that no answer can break.
_IDLE = frozenset(
    {
        "$schema", "$comment", "default", "examples", "example", "deprecated", "readOnly",
        "writeOnly",
    }
)  # fmt: skip
_ONE = ("items", "additionalProperties")
_MANY = ("prefixItems", "anyOf", "oneOf")
_NAMED = ("properties", "$defs")
_DEEPEST = 64


def gaps(schema: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    """Yield where a schema says what Gemini would not hold an answer to."""
    if not isinstance(schema, dict):
        return
    if depth > _DEEPEST:
        yield path
        return
    for name in schema:
        if name not in _HELD and name not in _IDLE and name != "const":
            yield f"{path}.{name}"
    if "const" in schema and not _is_listable(schema["const"]):
        yield f"{path}.const"
    for step, part in _parts(schema):
        yield from gaps(part, f"{path}{step}", depth + 1)


def held(schema: Json, path: str, *, strict: bool) -> Json:
    """Return the schema to send; what Gemini has another word for is put so.

    Raises BadRequest, naming the place, for a strict one that it would not hold an answer to.
    """
    for place in gaps(schema, path) if strict else ():
        raise BadRequest(
            f"{place}: Gemini does not hold an answer to it; remove it or `strict`", param=place
        )
    put: Json = _put(schema, 0)
    return put


def _is_listable(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _parts(schema: Json) -> Iterator[tuple[str, Any]]:
    yield from ((f".{name}", schema[name]) for name in _ONE if name in schema)
    for name in _MANY:
        if isinstance(schema.get(name), list):
            yield from ((f".{name}[{at}]", part) for at, part in enumerate(schema[name]))
    for name in _NAMED:
        if isinstance(schema.get(name), dict):
            yield from ((f".{name}.{key}", part) for key, part in schema[name].items())


def _put(schema: Any, depth: int) -> Any:
    """Return a schema with each `const` as the `enum` that it is."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return schema
    put = {name: _inside(name, value, depth + 1) for name, value in schema.items()}
    if _is_listable(put.get("const")) and "enum" not in put:
        put["enum"] = [put.pop("const")]
    return put


def _inside(name: str, value: Any, depth: int) -> Any:
    if name in _ONE:
        return _put(value, depth)
    if name in _MANY and isinstance(value, list):
        return [_put(part, depth) for part in value]
    if name in _NAMED and isinstance(value, dict):
        return {key: _put(part, depth) for key, part in value.items()}
    return value
