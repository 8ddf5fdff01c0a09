"""Tags: the deprecated `op-tags` header and `/report`'s `tags`, as a map of strings (spec 1.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from standpipe.errors import BadRequest

# As in JavaScript, where 1.0 is "1" and 1e21 is "1e+21".
_WRITTEN_OUT = 1e21
_UNSAFE = re.compile(r"[^A-Za-z0-9_$.]")


def parse_tags(header: bytes) -> dict[str, str]:
    """Return the tags of an `op-tags` header, {} for an empty one.

    UTF-8 is read as such, anything else as Latin-1, which is what the npm client sends.
    BadRequest, its message starting `Failed to parse tags: `, if it is no JSON object of tags.
    """
    if not header.strip():
        return {}
    try:
        return clean(msgspec.json.decode(_text_of(header)))
    except (msgspec.DecodeError, RecursionError, BadRequest) as error:
        raise BadRequest(f"Failed to parse tags: {error}") from None


def clean(tags: Mapping[str, object] | object) -> dict[str, str]:
    """Return the tags as strings, without those that are empty or null.

    Numbers and booleans are written as JSON writes them; in a name, what is not a letter, a
    digit, `_`, `$` or `.` becomes `_`. BadRequest for any other value, or if it is no map.
    """
    if tags is None:
        return {}
    if not isinstance(tags, Mapping):
        raise BadRequest("Tags must be an object", param="tags")
    texts = {_UNSAFE.sub("_", name): _value(name, tag) for name, tag in tags.items()}
    return {name: text for name, text in texts.items() if text}


def _text_of(header: bytes) -> str:
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _value(name: str, tag: object) -> str:
    match tag:
        case None:
            return ""
        case bool():
            return "true" if tag else "false"
        case float() if tag.is_integer() and abs(tag) < _WRITTEN_OUT:
            return str(int(tag))
        case int() | float():
            return str(tag)
        case str() if "\x00" not in tag:  # which no text column of PostgreSQL takes
            return tag
        case _:
            fault = f"Tag {name} must be a string, number, boolean, or null"
            raise BadRequest(fault, param=f"tags.{name}")
