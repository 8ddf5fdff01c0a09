"""The process that checks JSON against schemas and texts against patterns; `checker` starts it.

It says a line when it is ready, then reads JSON lines until stdin ends and answers each with one:
`{"schema", "text"?}` with `{"schema", "faults"}`, `{"pattern", "text"?}` with `{"fault", "found"}`.
It reads no file and opens no connection: a `$ref` leads into the schema itself or is a fault.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import resource
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any

from jsonschema import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

#: Faults that are named, and the characters of each.
MOST_FAULTS = 5
LONGEST_FAULT = 300
#: Memory of the process, in bytes.
MEMORY = 1024**3

#: A `message` for the model, which may quote it, and the `rule` that is broken, which does not.
Fault = dict[str, str]

_REFERENCES = ("$ref", "$dynamicRef")


def main(lines: Iterable[bytes], out: IO[str]) -> None:
    """Answer each line with one."""
    print("{}", file=out, flush=True)
    for line in lines:
        print(json.dumps(answer(json.loads(line))), file=out, flush=True)


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return what is wrong with the schema or pattern, and with the text if there is one."""
    if "pattern" in question:
        return match(question["pattern"], question.get("text"))
    fault = schema_fault(json.dumps(question["schema"]))
    if fault is not None or "text" not in question:
        return {"schema": fault, "faults": []}
    return {"schema": None, "faults": faults(question["schema"], question["text"])}


def match(pattern: str, text: str | None) -> dict[str, Any]:
    """Return why a pattern cannot be used, and whether it is found in a text, if there is one."""
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return {"fault": f"is no pattern: {error}"[:LONGEST_FAULT], "found": False}
    return {"fault": None, "found": text is not None and compiled.search(text) is not None}


@functools.lru_cache(maxsize=64)
def schema_fault(text: str) -> str | None:
    """Return why a schema cannot be used, None if it can."""
    schema = json.loads(text)
    try:
        _class_of(schema).check_schema(schema)
        _resolve(schema)
        # A schema that refers to itself in the same place would never come to an end.
        _validator(schema).is_valid(None)
    except SchemaError as error:
        return _shown(error, "is not valid JSON Schema: ")
    except Unresolvable as error:
        return f"$ref {str(error.ref)[:LONGEST_FAULT]!r} is not in the schema; none is fetched"
    except RecursionError:
        return "refers to itself without end, or is nested too deep"
    return None


def faults(schema: Any, text: str) -> list[Fault]:
    """Return the first faults of a text that is to be JSON and valid; [] for none."""
    if not text:
        return [_fault("it has no text")]
    try:
        value = json.loads(text, parse_constant=_no_json)
        found = list(itertools.islice(_validator(schema).iter_errors(value), MOST_FAULTS))
    except ValueError as error:
        return [_fault(f"it is not JSON: {error}")]
    except RecursionError:
        return [_fault("it is nested too deep")]
    return [_fault(_rule(error), _shown(error)) for error in found]


def _no_json(word: str) -> float:
    raise ValueError(f"{word} is no JSON value")


def _class_of(schema: Any) -> type[Validator]:
    return validator_for(schema, default=Draft202012Validator)


def _validator(schema: Any) -> Validator:
    kind = _class_of(schema)
    # An empty registry: nothing is fetched.
    return kind(schema, registry=Registry(), format_checker=kind.FORMAT_CHECKER)


def _resolve(schema: Any) -> None:
    resource = DRAFT202012.create_resource(schema)
    registry: Registry[Any] = Registry().with_resource("", resource)
    resolver = registry.resolver()
    for reference in _references(schema):
        resolver.lookup(reference)


def _references(part: Any) -> Iterator[str]:
    waiting = [part]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield from (part[name] for name in _REFERENCES if isinstance(part.get(name), str))
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _fault(rule: str, message: str = "") -> Fault:
    return {"rule": rule[:LONGEST_FAULT], "message": (message or rule)[:LONGEST_FAULT]}


def _rule(error: ValidationError) -> str:
    return f'{error.json_path} breaks "{error.validator}": {json.dumps(error.validator_value)}'


def _shown(error: ValidationError | SchemaError, before: str = "") -> str:
    return f"{before}{error.json_path}: {error.message}"[:LONGEST_FAULT]


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    main(sys.stdin.buffer, sys.stdout)
