"""Reads JSON that came from elsewhere: what is not of the kind that is wanted counts as absent."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def text(value: object) -> str:
    """Return a string, empty for what is none."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> Json:
    """Return an object, empty for what is none."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[Json]:
    """Return the objects of an array, none for what is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
