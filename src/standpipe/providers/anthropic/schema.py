"""JSON schemas as Anthropic enforces them: a subset, every object closed.

Closing an object only narrows: whatever fits the closed schema fits the one that was given. What
would have to be dropped, so that an answer might break the schema, is refused by name.
https://platform.claude.com/docs/en/build-with-claude/structured-outputs (limitations, 2026-11)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from standpipe.providers.anthropic.messages import bad
from standpipe.wire.checks import Path, shown

Json = dict[str, Any]

#: Keywords that the API does not enforce, and refuses.
_UNENFORCED = frozenset(
    {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "minLength", "maxLength", "maxItems", "uniqueItems", "contains", "minContains",
        "maxContains", "prefixItems", "minProperties", "maxProperties", "patternProperties",
        "propertyNames", "dependentRequired", "dependentSchemas", "unevaluatedProperties",
        "unevaluatedItems", "not", "if", "then", "else", "oneOf",
    }
)  # fmt: skip
_FORMATS = frozenset(
    {
        "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6",
        "uuid",
    }
)  # fmt: skip
_ONE = ("items",)
_MANY = ("anyOf", "allOf")
_NAMED = ("properties", "$defs", "definitions")
_DEEPEST = 64


def gaps(schema: Any) -> list[str]:
    """Return what Anthropic cannot enforce of a schema, in words; none if it holds it whole."""
    return [text for _, text in _gaps(schema, (), 0)]


def enforced(schema: Json, path: Path) -> Json:
    """Return a schema that Anthropic enforces and that is at least as narrow.

    Raises BadRequest, naming `path`, where there is none.
    """
    for place, text in _gaps(schema, path, 0):
        raise bad(place, f"this provider cannot enforce {text}; remove it or `strict`")
    closed: Json = _closed(schema)
    return closed


def _gaps(schema: Any, path: Path, depth: int) -> Iterator[tuple[Path, str]]:
    if not isinstance(schema, dict):
        return
    if depth > _DEEPEST:
        yield path, f"more than {_DEEPEST} levels"
        return
    for name in sorted(_UNENFORCED & schema.keys()):
        yield (*path, name), shown(name)
    yield from _value_gaps(schema, path)
    for step, part in _parts(schema):
        yield from _gaps(part, (*path, *step), depth + 1)


def _value_gaps(schema: Json, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield keywords that are enforced with some values only."""
    said = schema.get("format")
    if said is not None and not (isinstance(said, str) and said in _FORMATS):
        yield (*path, "format"), f"format {shown(said)}"
    least = schema.get("minItems", 0)
    if least not in (0, 1):
        yield (*path, "minItems"), f"minItems {shown(least)}"
    if schema.get("additionalProperties", _named_only(schema)) is not False:
        yield (*path, "additionalProperties"), "properties without a name of their own"
    reference = schema.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        yield (*path, "$ref"), "a schema from elsewhere"


def _named_only(schema: Json) -> bool | None:
    """Return False for a schema that closing would not empty, None for one that it would."""
    return None if schema.get("type") == "object" and "properties" not in schema else False


def _parts(schema: Json) -> Iterator[tuple[Path, Any]]:
    for name in _ONE:
        if name in schema:
            yield (name,), schema[name]
    for name in _MANY:
        if isinstance(schema.get(name), list):
            yield from (((name, index), part) for index, part in enumerate(schema[name]))
    for name in _NAMED:
        if isinstance(schema.get(name), dict):
            yield from (((name, key), part) for key, part in schema[name].items())


def _closed(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    closed = {name: _inside(name, value) for name, value in schema.items()}
    if "properties" in schema or schema.get("type") == "object":
        closed["additionalProperties"] = False
    return closed


def _inside(name: str, value: Any) -> Any:
    if name in _ONE:
        return _closed(value)
    if name in _MANY and isinstance(value, list):
        return [_closed(part) for part in value]
    if name in _NAMED and isinstance(value, dict):
        return {key: _closed(part) for key, part in value.items()}
    return value
