"""Small checks of decoded JSON, made to be put together in tables.

A check is given a value and where it stands, and adds what is wrong to the issues. It never
raises, and it says what was found and what would do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from standpipe.errors import BadRequest

#: Where a value stands; a path is written out only where something is wrong.
Path = tuple[str | int, ...]
Check = Callable[[Any, Path, "Issues"], None]

_MOST_ISSUES = 20
_SHOWN_CHARS = 60


class Issues:
    """What is wrong with a body, in the order it was found; the first twenty."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def add(self, path: Path, text: str) -> None:
        """Note what is wrong with the value at a path."""
        if len(self.found) < _MOST_ISSUES:
            where = written(path)
            self.found.append((where, f"{where}: {text}"))

    def error(self) -> BadRequest:
        """Return the error that tells the caller of all issues, the first one foremost."""
        param, first = self.found[0]
        texts = [text for _, text in self.found]
        return BadRequest(f"Input validation failed: {first}", param=param, issues=texts)


def written(path: Path) -> str:
    """Return a path as OpenAI writes it in `param`: `messages[2].content[0].type`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{_short(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def shown(value: object) -> str:
    """Return a value for a message: a string or number as JSON, shortened; else its kind."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return msgspec.json.encode(_short(value)).decode()
        case int() | float():
            return _short(repr(value))
        case list():
            return "an array"
        case _:
            return "an object"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def flag(value: Any, path: Path, issues: Issues) -> None:
    """Want a boolean."""
    if not isinstance(value, bool):
        issues.add(path, f"must be true or false, not {shown(value)}")


def mapping(value: Any, path: Path, issues: Issues) -> None:
    """Want an object, of any content."""
    if not isinstance(value, dict):
        issues.add(path, f"must be an object, not {shown(value)}")


def text(value: Any, path: Path, issues: Issues) -> None:
    """Want a string."""
    if not isinstance(value, str):
        issues.add(path, f"must be a string, not {shown(value)}")


def filled(value: Any, path: Path, issues: Issues) -> None:
    """Want a string that is not empty."""
    if not isinstance(value, str) or not value:
        issues.add(path, f"must be a string that is not empty, not {shown(value)}")


def matching(pattern: str, wanted: str) -> Check:
    """Want a string of a form; `wanted` says it in words."""
    form = re.compile(pattern)

    def check(value: Any, path: Path, issues: Issues) -> None:
        if not isinstance(value, str) or form.fullmatch(value) is None:
            issues.add(path, f"must be {wanted}, not {shown(value)}")

    return check


def one_of(*allowed: str) -> Check:
    """Want one of a closed set of strings."""
    known = frozenset(allowed)
    words = ", ".join(f'"{word}"' for word in allowed)

    def check(value: Any, path: Path, issues: Issues) -> None:
        if not isinstance(value, str) or value not in known:
            issues.add(path, f"unknown value {shown(value)}; allowed: {words}")

    return check


def number(low: float, high: float) -> Check:
    """Want a number from `low` to `high`, both included."""

    def check(value: Any, path: Path, issues: Issues) -> None:
        if type(value) not in {int, float} or not low <= value <= high:
            issues.add(path, f"must be a number from {low} to {high}, not {shown(value)}")

    return check


def whole(low: int, high: int) -> Check:
    """Want a whole number from `low` to `high`, both included; `2.0` is one."""

    def check(value: Any, path: Path, issues: Issues) -> None:
        integral = type(value) is int or (type(value) is float and value.is_integer())
        if not integral or not low <= value <= high:
            issues.add(path, f"must be a whole number from {low} to {high}, not {shown(value)}")

    return check


def array(item: Check, *, most: int) -> Check:
    """Want an array of at most so many items, each as `item` wants it."""

    def check(value: Any, path: Path, issues: Issues) -> None:
        if not isinstance(value, list):
            issues.add(path, f"must be an array, not {shown(value)}")
        elif len(value) > most:
            issues.add(path, f"must have at most {most} items, not {len(value)}")
        else:
            for index, part in enumerate(value):
                item(part, (*path, index), issues)

    return check


def fields(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    """Want an object with these fields; others may be there, and an optional one may be null."""

    def check(value: Any, path: Path, issues: Issues) -> None:
        if not isinstance(value, dict):
            issues.add(path, f"must be an object, not {shown(value)}")
            return
        for name, wanted in required.items():
            if name in value:
                wanted(value[name], (*path, name), issues)
            else:
                issues.add((*path, name), "is required")
        for name, wanted in optional.items():
            if value.get(name) is not None:
                wanted(value[name], (*path, name), issues)

    return check


def entries(value: Check, *, most: int, name_chars: int) -> Check:
    """Want an object as a map: at most so many names of at most so many characters, no NUL."""

    def check(found: Any, path: Path, issues: Issues) -> None:
        if not isinstance(found, dict):
            issues.add(path, f"must be an object, not {shown(found)}")
            return
        if len(found) > most:
            issues.add(path, f"must have at most {most} names, not {len(found)}")
        for name, entry in found.items():
            if len(name) > name_chars or "\0" in name:
                issues.add((*path, name), f"a name has at most {name_chars} characters, no NUL")
            value(entry, (*path, name), issues)

    return check


def by_kind(kinds: Mapping[type, Check], wanted: str) -> Check:
    """Want what the value's kind (str, list, dict) wants; `wanted` says the kinds in words."""

    def check(value: Any, path: Path, issues: Issues) -> None:
        found = kinds.get(type(value))
        if found is None:
            issues.add(path, f"must be {wanted}, not {shown(value)}")
        else:
            found(value, path, issues)

    return check


def by_type(known: Mapping[str, Check], *, default: str | None = None) -> Check:
    """Want an object whose `type` names its check; a type that is not known passes as it is."""

    def check(value: Any, path: Path, issues: Issues) -> None:
        if not isinstance(value, dict):
            issues.add(path, f"must be an object, not {shown(value)}")
            return
        kind = value.get("type", default)
        if not isinstance(kind, str) or not kind:
            missing = "type" not in value
            fault = "is required" if missing else f"must be a string, not {shown(kind)}"
            issues.add((*path, "type"), fault)
        elif kind in known:
            known[kind](value, path, issues)

    return check
