"""Criteria that need no model: an answer's text is looked at, and scored at once.

A pattern or a schema may take minutes. They are tried in a process of their own that is killed
after some seconds; all else here takes time in proportion to the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from standpipe.calls.emulation.checker import CHECK_SECONDS, Checker
from standpipe.criteria.definition import (
    Contains,
    Definition,
    Equals,
    Fault,
    JsonSchema,
    Length,
    Regex,
    Similarity,
)
from standpipe.criteria.verdict import Failure, Success, Verdict

Check = Callable[[Any, str, Checker], Awaitable[Verdict]]

_TOO_SLOW = f"it takes more than {CHECK_SECONDS:.0f} s to check"


def is_check(definition: Definition) -> bool:
    """Tell a version that needs no model."""
    return type(definition) in _CHECKS


async def check(definition: Definition, text: str, checker: Checker) -> Verdict:
    """Return what a version that needs no model says of a text."""
    return await _CHECKS[type(definition)](definition, text, checker)


async def fault(definition: Definition, checker: Checker) -> Fault | None:
    """Return why a pattern or a schema cannot be used, None for one that can and for all else."""
    match definition:
        case JsonSchema():
            field, why = "schema", await checker.schema_fault(definition.schema)
        case Regex():
            field, why = "pattern", await checker.pattern_fault(definition.pattern)
        case _:
            return None
    return None if why is None else (field, why)


def _said(*, passed: bool, explanation: str) -> Success:
    return Success(1.0 if passed else 0.0, explanation)


async def _schema(definition: JsonSchema, text: str, checker: Checker) -> Verdict:
    faults = await checker.faults(definition.schema, text)
    return _said(
        passed=not faults, explanation="; ".join(each.message for each in faults) or "it is valid"
    )


async def _regex(definition: Regex, text: str, checker: Checker) -> Verdict:
    found = await checker.finds(definition.pattern, text)
    if found is None:
        return Failure(504, f"the pattern {definition.pattern[:80]!r}: {_TOO_SLOW}")
    return _said(passed=found, explanation=f"the pattern is {'' if found else 'not '}found")


async def _equals(definition: Equals, text: str, _: Checker) -> Verdict:
    said, wanted = (_cased(each.strip(), definition) for each in (text, definition.value))
    passed = said == wanted
    return _said(passed=passed, explanation="it is the same" if passed else "it is another text")


async def _contains(definition: Contains, text: str, _: Checker) -> Verdict:
    passed = _cased(definition.value, definition) in _cased(text, definition)
    return _said(passed=passed, explanation="it is there" if passed else "it is not there")


def _cased(text: str, definition: Equals | Contains) -> str:
    return text.casefold() if definition.ignore_case else text


async def _length(definition: Length, text: str, _: Checker) -> Verdict:
    length = len(text) if definition.unit == "characters" else len(text.split())
    passed = definition.min <= length and (definition.max is None or length <= definition.max)
    return _said(passed=passed, explanation=f"{length} {definition.unit}")


async def _similarity(definition: Similarity, text: str, _: Checker) -> Verdict:
    return Success(round(similarity(text, definition.value), 6))


def similarity(one: str, other: str) -> float:
    """Return how alike two texts are, from 0 to 1: Dice's coefficient of their letter triples.

    Case and white space do not count.
    """
    first, second = _triples(one), _triples(other)
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 1.0


def _triples(text: str) -> Counter[str]:
    words = " ".join(text.casefold().split())
    padded = f"  {words} " if words else ""
    return Counter(padded[at : at + 3] for at in range(len(padded) - 2))


_CHECKS: Mapping[type[Definition], Check] = {
    JsonSchema: _schema,
    Regex: _regex,
    Equals: _equals,
    Contains: _contains,
    Length: _length,
    Similarity: _similarity,
}
