"""Writing TOML, which Python only reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def written(tree: Mapping[str, Any]) -> str:
    """Return a tree of tables as TOML: tables and lists of tables get heads of their own.

    TOML has no null: a None is left out.
    """
    return "\n".join(_table(tree, ())).strip("\n") + "\n"


def _table(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    below = {str(name): value for name, value in tree.items() if _has_head(value)}
    for name, value in tree.items():
        if str(name) not in below and value is not None:
            yield f"{_key(str(name))} = {_value(value)}"
    for name, value in below.items():
        inner = (*path, name)
        head = ".".join(map(_key, inner))
        if isinstance(value, list):
            for each in value:
                yield from ("", f"[[{head}]]", *_table(each, inner))
        elif all(_has_head(each) for each in value.values()) and value:
            yield from _table(value, inner)  # its tables' heads say it
        else:
            yield from ("", f"[{head}]", *_table(value, inner))


def _has_head(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, dict) for each in value)
    return isinstance(value, dict)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL and the halves of pairs that JSON may write.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(_value(each) for each in value if each is not None)}]"
        case dict():
            there = {str(name): each for name, each in value.items() if each is not None}
            pairs = (f"{_key(name)} = {_value(each)}" for name, each in there.items())
            return f"{{ {', '.join(pairs)} }}"
        case str() if "\n" in value:
            return _lines(value)
        case _:
            return _text(str(value))


def _lines(text: str) -> str:
    """Return a text of several lines as one reads it."""
    return '"""\n' + "\n".join(_text(line)[1:-1] for line in text.split("\n")) + '"""'
