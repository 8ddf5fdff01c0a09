"""Words to write JSON Schema with: each returns a plain dictionary."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

NULL: Schema = {"type": "null"}
ANYTHING: Schema = {}


def ref(name: str, description: str = "") -> Schema:
    """Return a reference to a schema of the document's components."""
    return _with({"$ref": f"#/components/schemas/{name}"}, description)


def of(kind: str | list[str], description: str = "", **rules: Any) -> Schema:
    """Return the schema of a JSON type with its rules."""
    return _with({"type": kind, **rules}, description)


def text(description: str = "", **rules: Any) -> Schema:
    """Return the schema of a string."""
    return of("string", description, **rules)


def filled(description: str = "") -> Schema:
    """Return the schema of a string that is not empty."""
    return text(description, minLength=1)


def flag(description: str = "", **rules: Any) -> Schema:
    """Return the schema of a boolean."""
    return of("boolean", description, **rules)


def number(low: float, high: float, description: str = "") -> Schema:
    """Return the schema of a number from `low` to `high`."""
    return of("number", description, minimum=low, maximum=high)


def whole(low: int, high: int, description: str = "") -> Schema:
    """Return the schema of a whole number from `low` to `high`."""
    return of("integer", description, minimum=low, maximum=high)


def one_of(*words: str, description: str = "") -> Schema:
    """Return the schema of a closed set of strings."""
    return text(description, enum=list(words))


def array(items: Schema, description: str = "", **rules: Any) -> Schema:
    """Return the schema of an array."""
    return of("array", description, items=items, **rules)


def either(*choices: Schema, description: str = "") -> Schema:
    """Return the schema of what is any of these."""
    return _with({"anyOf": list(choices)}, description)


def mapping(values: Schema | None = None, description: str = "", **rules: Any) -> Schema:
    """Return the schema of an object as a map: any names, each value of one form."""
    return of("object", description, **rules, additionalProperties=values or True)


def record(
    required: dict[str, Schema],
    optional: dict[str, Schema] | None = None,
    *,
    description: str = "",
    closed: bool = False,
) -> Schema:
    """Return the schema of an object with named fields; `closed` refuses any other."""
    rules: Schema = {"properties": {**required, **(optional or {})}}
    if required:
        rules["required"] = list(required)
    return of("object", description, **rules, additionalProperties=not closed)


def nullable(schema: Schema) -> Schema:
    """Return a schema that null passes too."""
    kind, words = schema.get("type"), schema.get("enum")
    if isinstance(kind, str):
        null_word = {"enum": [*words, None]} if words else {}
        return {**schema, "type": [kind, "null"], **null_word}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], NULL]}
    described = {name: text for name, text in schema.items() if name == "description"}
    bare = {name: rule for name, rule in schema.items() if name != "description"}
    return {"anyOf": [bare, NULL], **described}


def nullables(schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Return optional fields, each of which may be null, which means absent."""
    return {name: nullable(schema) for name, schema in schemas.items()}


def _with(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description} if description else schema
