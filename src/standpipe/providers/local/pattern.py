"""Which patterns of a JSON Schema a grammar can be made of, and patterns for the formats. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_HOUR = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_DAY = "[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
_LABEL = "[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?"
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_HEX = "[0-9a-f]"
#: A pattern for each format, narrower than the format where that keeps it short.
FORMATS: Mapping[str, str] = {
    "date": f"^{_DAY}$",
    "time": f"^{_HOUR}Z$",
    "date-time": f"^{_DAY}T{_HOUR}Z$",
    "duration": "^P([1-9][0-9]{0,2}[DWMY]|T[1-9][0-9]{0,2}[HMS])$",
    "email": f"^[a-z0-9]{{1,16}}([._-][a-z0-9]{{1,16}})?@({_LABEL}\\.){{1,2}}[a-z]{{2,6}}$",
    "hostname": f"^({_LABEL}\\.){{1,2}}[a-z]{{2,6}}$",
    "ipv4": f"^{_BYTE}(\\.{_BYTE}){{3}}$",
    "ipv6": f"^({_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}$",
    "uuid": f"^{_HEX}{{8}}-{_HEX}{{4}}-4{_HEX}{{3}}-[89ab]{_HEX}{{3}}-{_HEX}{{12}}$",
    "uri": f"^https://({_LABEL}\\.){{1,2}}[a-z]{{2,6}}(/[a-z0-9_-]{{1,16}}){{0,3}}$",
}

#: The longest that each can be.
LENGTHS: Mapping[str, int] = {
    "date": 10,
    "time": 9,
    "date-time": 20,
    "duration": 7,
    "email": 72,
    "hostname": 36,
    "ipv4": 15,
    "ipv6": 39,
    "uuid": 36,
    "uri": 96,
}

# What may be left out, over and over, takes its time: (a?){0,20} and the like.
MAX_COST = 40
MAX_COUNT = 2000
# Forms of Python's, JavaScript's or Perl's that LLGuidance's patterns lack, and the other way.
_FOREIGN = re.compile(r"\(\?(?!:)|[*+?}]\+|\[\[|&&|--|~~")
_FOREIGN_ESCAPE = re.compile(r"\\[0-9bBAZzGkKpPXuUQE]")
_ESCAPE = re.compile(r"\\.", re.DOTALL)
_QUANTIFIER = re.compile(r"[?*{]")
_GROUP_COUNT = re.compile(r"\)\{(\d{0,9}),?(\d{0,9})")
_GROUP_LEAST = re.compile(r"\)\{(\d{1,9})")
_LEAST = re.compile(r"(?<!\))\{(\d{1,9})")
_COUNT = re.compile(r"\{(\d{0,9}),?(\d{0,9})")
# Narrower than Unicode's, which JSON Schema does not mean.
_CLASSES = {r"\d": "0-9", r"\w": "A-Za-z0-9_", r"\s": " "}
_PIECE = re.compile(r"\\.|[\[\]]|[^\\\[\]]+", re.DOTALL)


def fault(pattern: str) -> str | None:
    """Say why a pattern cannot be enforced, None if it can."""
    try:
        re.compile(pattern)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        return f"is not a pattern ({error})"
    bare = _ESCAPE.sub("x", pattern)
    if _FOREIGN.search(bare) or any(map(_FOREIGN_ESCAPE.match, _ESCAPE.findall(pattern))):
        return "has a form that the local model cannot enforce"
    if _cost(bare) > MAX_COST or _most_counted(bare) > MAX_COUNT:
        return "repeats too much"
    return None


def plain(pattern: str) -> str:
    """Return the pattern with its classes of characters written out in ASCII."""
    written: list[str] = []
    inside = False
    for piece in _PIECE.findall(pattern):
        named = _CLASSES.get(piece, piece)
        if piece in "[]":
            inside = piece == "["
        elif named is not piece and not inside:
            named = f"[{named}]"
        written.append(named)
    return "".join(written)


def longest_least(pattern: str) -> int:
    """Return a length that the pattern's shortest match is not over."""
    bare = _ESCAPE.sub("x", pattern)
    groups = math.prod(max(1, int(count)) for count in _GROUP_LEAST.findall(bare))
    others = sum(int(count) for count in _LEAST.findall(bare))
    return min((len(bare) + others) * groups, MAX_COUNT)


def _cost(pattern: str) -> int:
    counts = (max(int(n or 1) for n in bounds) for bounds in _GROUP_COUNT.findall(pattern))
    return len(_QUANTIFIER.findall(pattern)) * math.prod(counts)


def _most_counted(pattern: str) -> int:
    counts = (int(n or 0) for bounds in _COUNT.findall(pattern) for n in bounds)
    return max(counts, default=0)
