"""JSON Schemas of many shapes, as callers write them, by what is special in each."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def record(**properties: Any) -> Json:
    """Return an object all of whose properties are required, and that has no others."""
    made = {"type": "object", "properties": properties, "required": list(properties)}
    return {**made, "additionalProperties": False}


PERSON = record(name={"type": "string"}, age={"type": "integer"})
_TEXT = {"type": "string"}
_NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer", "minimum": 0, "maximum": 99},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
    "required": ["value", "children"],
    "additionalProperties": False,
}
_LINK = record(
    word={"type": "string", "maxLength": 12},
    next={"anyOf": [{"$ref": "#/$defs/link"}, {"type": "null"}]},
)

SHAPES: dict[str, Json] = {
    "a record": PERSON,
    "properties that may be left out": {
        "type": "object",
        "properties": {"title": _TEXT, "score": {"type": "number"}, "done": {"type": "boolean"}},
    },
    "an enum": record(colour={"enum": ["red", "green", "blue"]}),
    "values of any type": {"enum": ["low", 3, None, True, {"deep": [1]}]},
    "a constant": record(kind={"const": "invoice"}, total={"type": "number", "minimum": 0}),
    "null or something": record(
        name={"type": ["string", "null"]}, age={"anyOf": [{"type": "integer"}, {"type": "null"}]}
    ),
    "records in records": record(
        owner=PERSON, place=record(city=_TEXT, country={"enum": ["NO", "SE", "DK"]})
    ),
    "a list of records": record(people={"type": "array", "items": PERSON}),
    "a list with bounds": record(
        points={"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4}
    ),
    "a tuple": record(
        pair={"type": "array", "prefixItems": [_TEXT, {"type": "integer"}], "minItems": 2}
        | {"items": False}
    ),
    "a list at the root": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 1},
    "a text at the root": {"type": "string", "maxLength": 40},
    "a truth at the root": {"type": "boolean"},
    "texts with bounds": record(
        code={"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"},
        short={"type": "string", "minLength": 3, "maxLength": 8},
        holds={"type": "string", "pattern": "foo", "maxLength": 20},
    ),
    "formats": record(
        day={"type": "string", "format": "date"},
        at={"type": "string", "format": "date-time"},
        mail={"type": "string", "format": "email"},
        key={"type": "string", "format": "uuid"},
    ),
    "numbers with bounds": record(
        share={"type": "number", "minimum": 0, "maximum": 1},
        above={"type": "number", "exclusiveMinimum": 10},
        below={"type": "number", "maximum": -5},
        quarter={"type": "number", "multipleOf": 0.25, "minimum": 0, "maximum": 10},
        small={"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 9},
    ),
    "definitions": {
        "$defs": {"person": PERSON},
        **record(boss={"$ref": "#/$defs/person"}, deputy={"$ref": "#/$defs/person"}),
    },
    "a tree": {"$defs": {"node": _NODE}, "$ref": "#/$defs/node"},
    "a chain": {"$defs": {"link": _LINK}, "$ref": "#/$defs/link"},
    "one of two kinds": {
        "anyOf": [
            record(kind={"const": "circle"}, radius={"type": "number", "minimum": 0}),
            record(kind={"const": "square"}, side={"type": "number", "minimum": 0}),
        ]
    },
    "exactly one of two kinds": {
        "oneOf": [
            record(kind={"const": "dog"}, barks={"type": "boolean"}),
            record(kind={"const": "cat"}, lives={"type": "integer", "minimum": 1, "maximum": 9}),
        ]
    },
    "all of two": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"a": {"minimum": 3, "maximum": 5}, "b": _TEXT}, "required": ["b"]},
        ]
    },
    "a map": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
    "an object of any form": {"type": "object"},
    "names that are no words": record(**{"naïve “ключ”": _TEXT, 'a"b\\c': {"type": "integer"}}),
}
