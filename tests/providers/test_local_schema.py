from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schema_shapes import PERSON, SHAPES, record

from standpipe.errors import BadRequest
from standpipe.providers.local import pattern as local_pattern
from standpipe.providers.local.check import fits
from standpipe.providers.local.grammar import END, grammar
from standpipe.providers.local.keywords import UNENFORCED
from standpipe.providers.local.schema import MAX_CHOICES, bounded
from standpipe.wire import chat

Json = dict[str, Any]


def narrowed(schema: Any, *, strict: bool = False, room: int = 2048) -> Json:
    return bounded(schema, param="p", strict=strict, room=room)


def refused(schema: Any, *, strict: bool = False) -> str:
    with pytest.raises(BadRequest) as caught:
        narrowed(schema, strict=strict)
    assert caught.value.param == "p"
    return caught.value.message


LARGE = [
    {"enum": list(range(1001))},
    {"enum": [f"value {i}" for i in range(20_000)]},
    {"description": "x" * 65536},
    {"anyOf": [{"const": i} for i in range(501)]},
    {"properties": {f"p{i}": {} for i in range(1001)}},
    {"items": {"$defs": {"a": {"enum": list(range(1001))}}}},
    {"pattern": "^((a?){0,10}){0,10}$"},
    {"pattern": "^(a?){0,1000}$"},
    {"pattern": "^(a?b?c?d?){0,20}$"},
    {"pattern": f"^(a){{{'9' * 5000}}}$"},
    {"pattern": f"^{'a?' * 100}$"},
    {"type": "string", "minLength": 100_000},
    {"type": "array", "minItems": 100_000},
]


@pytest.mark.parametrize("schema", LARGE, ids=lambda schema: str(schema)[:40])
def test_schema_that_would_stall_other_calls_is_refused(schema: Json) -> None:
    refused(schema)


BROKEN = [
    [],
    "text",
    {"type": "frobnicate"},
    {"type": []},
    {"$ref": "#/$defs/missing"},
    {"$ref": "https://x.test/schema"},
    {"type": "string", "pattern": "^(abc$"},
    {"type": "string", "minLength": -1},
    {"type": "string", "minLength": 9, "maxLength": 3},
    {"type": "integer", "minimum": 2, "maximum": 1},
    {"properties": []},
    {"required": "a"},
    {"enum": []},
    {"anyOf": {}},
    {"type": "object", "properties": {"a": False}, "required": ["a"]},
    {"type": "string", "enum": [1, 2]},
    {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"$defs": {"a": record(a={"$ref": "#/$defs/a"})}, "$ref": "#/$defs/a"},
    {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {}]}}, "$ref": "#/$defs/a"},
]


@pytest.mark.parametrize("schema", BROKEN, ids=str)
def test_schema_that_no_answer_can_be_valid_against_is_refused(schema: Any) -> None:
    refused(schema)


UNENFORCEABLE = [
    {"not": {"type": "string"}},
    {"type": "array", "uniqueItems": True},
    {"type": "string", "format": "iri"},
    {"properties": {"a": {"items": {"contains": {}}}}},
]


@pytest.mark.parametrize("schema", UNENFORCEABLE, ids=str)
def test_keyword_that_cannot_be_enforced_is_refused_when_strict(schema: Json) -> None:
    assert narrowed(schema)
    assert "cannot enforce" in refused(schema, strict=True)


@pytest.mark.parametrize("pattern", [r"^(?=a)a$", r"^\bfoo$", r"(a)\1", "a++", r"^(?i:a)$"])
def test_pattern_that_the_engine_would_ignore_is_refused(pattern: str) -> None:
    refused({"type": "string", "pattern": pattern})


ORDINARY = [r"^(\d{3}-){2}\d{4}$", r"^[a-z]+@[a-z]+\.(?:com|org)$", r"^\(?\d{3}\)?[\s.-]\d{3}$"]


@pytest.mark.parametrize("pattern", ORDINARY)
def test_ordinary_pattern_passes_with_its_classes_written_out(pattern: str) -> None:
    made = narrowed({"type": "string", "pattern": pattern}, strict=True)
    assert "\\d" not in made["pattern"]
    assert local_pattern.fault(pattern) is None


def test_largest_schema_passes() -> None:
    assert narrowed({"enum": [f"value {i}" for i in range(MAX_CHOICES)]})


@pytest.mark.parametrize("format_", local_pattern.FORMATS)
def test_format_s_pattern_is_well_formed_and_enforced(format_: str) -> None:
    made = narrowed({"type": "string", "format": format_}, strict=True)
    assert local_pattern.fault(made["pattern"]) is None
    assert made["maxLength"] == local_pattern.LENGTHS[format_]


def test_property_named_like_a_keyword_is_no_keyword() -> None:
    schema = record(**{"not": {"const": {"uniqueItems": 1}}, "format": {"type": "string"}})
    assert narrowed(schema, strict=True)["properties"].keys() == {"not", "format"}


def _parts(schema: Any) -> list[Json]:
    inner = schema.values() if isinstance(schema, dict) else schema
    below = [part for each in inner if isinstance(each, dict | list) for part in _parts(each)]
    return [schema, *below] if isinstance(schema, dict) else below


@pytest.mark.parametrize("room", [100, 2048])
@pytest.mark.parametrize("shape", SHAPES)
def test_everything_free_is_bounded(shape: str, room: int) -> None:
    for part in _parts(narrowed(SHAPES[shape], room=room)):
        if part.get("type") == "string":
            assert part["maxLength"] <= 2 * room
        if part.get("type") == "array":
            assert part["maxItems"] <= 32
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert "patternProperties" not in part or part["maxProperties"] <= 33
        assert not UNENFORCED - {"patternProperties"} & part.keys()


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=9) | st.floats(-9, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=60)
@given(_values, st.sampled_from(list(SHAPES.values())))
def test_what_is_valid_against_the_narrowed_schema_is_valid_against_the_caller_s(
    value: Any, schema: Json
) -> None:
    made = narrowed(schema)
    if fits(value, made, made):
        jsonschema.Draft202012Validator(schema).validate(value)


SUITE: list[tuple[Json, list[Any], list[Any]]] = [
    ({"type": "integer"}, [1, 2.0], [True, 1.5, "1"]),
    ({"enum": [1, None, {"a": [1]}]}, [1.0, None, {"a": [1]}], [True, {"a": []}]),
    ({"type": ["string", "null"]}, ["a", None], [0]),
    (PERSON, [{"name": "A", "age": 1}], [{}, {"name": "A", "age": 1, "x": 0}]),
    ({"prefixItems": [{"type": "null"}], "items": False}, [[], [None]], [[1], [None, None]]),
    ({"uniqueItems": True}, [[1, True], []], [[1, 1.0]]),
    ({"not": {"type": "string"}}, [1], ["a"]),
    ({"oneOf": [{"type": "integer"}, {"minimum": 3}]}, [1, 3.5], [4, 1.5]),
    ({"if": {"type": "string"}, "then": {"minLength": 2}}, ["ab", 1], ["a"]),
    ({"contains": {"const": 1}, "maxContains": 1}, [[1, 2]], [[], [1, 1]]),
    ({"patternProperties": {"^a": {"type": "null"}}}, [{"b": 1, "ab": None}], [{"a": 1}]),
    ({"propertyNames": {"maxLength": 1}}, [{"a": 1}], [{"ab": 1}]),
    ({"dependentRequired": {"a": ["b"]}}, [{"b": 1}, {"a": 1, "b": 1}], [{"a": 1}]),
    ({"multipleOf": 0.25}, [0.5, 1], [0.3]),
    ({"$defs": {"n": {"items": {"$ref": "#/$defs/n"}, "type": "array"}}, "$ref": "#/$defs/n"},
     [[], [[], [[]]]], [[1]]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "right", "wrong"), SUITE, ids=str)
def test_value_is_valid_as_json_schema_says(
    schema: Json, right: list[Any], wrong: list[Any]
) -> None:
    checker = jsonschema.Draft202012Validator(schema)
    for value in right:
        assert fits(value, schema, schema)
        checker.validate(value)
    for value in wrong:
        assert not fits(value, schema, schema)
        assert not checker.is_valid(value)


def written(**fields: Any) -> str | None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return grammar(chat.parse(json.dumps(body).encode()), 2048)


TOOL = {"type": "function", "function": {"name": "f", "parameters": PERSON}}


def test_grammar_ends_with_the_token_that_the_engine_puts_in() -> None:
    forms: list[Json] = [
        {"tools": [TOOL]},
        {"tools": [TOOL], "tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_object"}, "tools": [TOOL]},
    ]
    for fields in forms:
        text = written(**fields)
        assert text is not None
        assert text.startswith("%llguidance {}\nstart: ")
        assert text.endswith(END)


def test_grammar_is_only_there_where_it_is_needed() -> None:
    assert written() is None
    assert written(tools=[TOOL], tool_choice="none") is None


def test_large_tools_are_refused_together() -> None:
    tools = [
        {"type": "function", "function": {"name": f"f{n}", "parameters": {"enum": list(range(99))}}}
        for n in range(11)
    ]
    with pytest.raises(BadRequest, match=r"^tools: "):
        written(tools=tools)


def test_broken_tool_is_named() -> None:
    broken = {"type": "function", "function": {"name": "g", "parameters": {"type": "x"}}}
    with pytest.raises(BadRequest) as caught:
        written(tools=[TOOL, broken])
    assert caught.value.param == "tools[1].function.parameters"
