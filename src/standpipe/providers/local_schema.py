"""Which `response_format` the local model can hold to.

llama.cpp turns a schema into a grammar, ignores the keywords it does not know, and lets every
other call wait while it works on a large one (a thousand enum values: 2 s). Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from standpipe.errors import BadRequest

MAX_BYTES = 64 * 1024
MAX_CHOICES = 1000  # enum values, constants, properties and alternatives, together
NOTE = (
    f"a schema up to {MAX_BYTES // 1024} KiB and {MAX_CHOICES} values; with strict, "
    "keywords that cannot be enforced are refused, without it they are left unenforced"
)
_KINDS = ("text", "json_object", "json_schema")
_SCHEMA = "response_format.json_schema.schema"
_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_UNENFORCED = frozenset(
    {
        *("not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames"),
        *("patternProperties", "minProperties", "maxProperties", "multipleOf", "uniqueItems"),
        *("dependencies", "dependentRequired", "dependentSchemas", "$dynamicRef"),
        *("unevaluatedProperties", "unevaluatedItems"),
    }
)
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_FORMATS = frozenset({"date", "time", "date-time", "uuid"})
# What may be left out, over and over: (a?){0,20} takes 0.4 s, (a?){0,100} 7 s, (a?){0,1000} hangs.
MAX_PATTERN_COST = 40
_QUANTIFIER = re.compile(r"[?*{]")
_GROUP_COUNT = re.compile(r"\)\{(\d{0,9}),?(\d{0,9})")


def check(param: str, value: Any) -> None:
    """Raise BadRequest if the format is a schema that cannot be held to, or would stall others."""
    kind = value.get("type")
    if kind not in _KINDS:
        raise BadRequest(
            f"{param}.type: must be one of {', '.join(_KINDS)} for the local model, "
            f"not {str(kind)[:60]!r}",
            param=f"{param}.type",
        )
    spec = value.get("json_schema") or {}
    schema = spec.get("schema")
    if kind == "json_schema" and schema is not None:
        _check_schema(schema, strict=spec.get("strict") is True)


def _check_schema(schema: Any, *, strict: bool) -> None:
    if len(msgspec.json.encode(schema)) > MAX_BYTES:
        raise _bad(f"the schema is over {MAX_BYTES} bytes", "make it smaller")
    parts = list(_walk(schema))
    choices = sum(map(_choices, parts))
    if choices > MAX_CHOICES:
        raise _bad(
            f"{choices} values, properties and alternatives are over {MAX_CHOICES}", "use fewer"
        )
    for part in parts:
        _check_pattern(part)
        if strict:
            _check_enforced(part)


def _bad(what: str, remedy: str) -> BadRequest:
    return BadRequest(
        f"{_SCHEMA}: {what}; {remedy} or route the call to another provider", param=_SCHEMA
    )


def _walk(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every schema inside a schema; a value that only looks like one is not entered."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, dict):
            continue
        yield part
        waiting += [part.get(name) for name in _ONE]
        for name in _MANY:
            waiting += part[name] if isinstance(part.get(name), list) else ()
        for name in _NAMED:
            waiting += part[name].values() if isinstance(part.get(name), dict) else ()


def _choices(part: Mapping[str, Any]) -> int:
    sized = (part.get(name) for name in ("enum", "properties", *_MANY))
    return sum(len(value) for value in sized if isinstance(value, list | dict)) + ("const" in part)


def _check_pattern(part: Mapping[str, Any]) -> None:
    pattern = part.get("pattern")
    if isinstance(pattern, str) and _pattern_cost(pattern) > MAX_PATTERN_COST:
        raise _bad(f"pattern {pattern[:60]!r} repeats too much", "use a simpler one")


def _pattern_cost(pattern: str) -> int:
    counts = (max(int(n or 1) for n in bounds) for bounds in _GROUP_COUNT.findall(pattern))
    return len(_QUANTIFIER.findall(pattern)) * math.prod(counts)


def _check_enforced(part: Mapping[str, Any]) -> None:
    for name in part:
        if name in _UNENFORCED or (name in _BOUNDS and part.get("type") != "integer"):
            raise _bad(f"the local model cannot enforce {name!r}", "remove it or strict")
    pattern = part.get("pattern")
    if isinstance(pattern, str) and not (pattern.startswith("^") and pattern.endswith("$")):
        raise _bad(
            f"the local model cannot enforce pattern {pattern[:60]!r}", "anchor it with ^ and $"
        )
    if isinstance(part.get("format"), str) and part["format"] not in _FORMATS:
        raise _bad(
            f"the local model cannot enforce format {part['format'][:60]!r}", "remove it or strict"
        )
