"""W3C trace context: which trace a call is part of, and what the next one is told of it. Pure.

Source: https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

Headers = tuple[tuple[bytes, bytes], ...]

SAMPLED = 0x01
#: The flags that have a meaning: sampled, and that the trace's id is random.
_FLAGS = 0x03
# What a later version has behind its flags begins with another dash.
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_KEY = r"[a-z0-9][a-z0-9_*/@-]{0,255}"
_VALUE = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER = re.compile(f"[ \t]*(?:{_KEY}={_VALUE}[ \t]*)?")
#: Members that a list may have, and bytes of one that is passed on.
_MOST_MEMBERS = 32
_MOST_STATE = 8192


class Parent(NamedTuple):
    """The span that a call was made in."""

    trace: str
    span: str
    flags: int


def parent_of(traceparent: str | None) -> Parent | None:
    """Return the span in a `traceparent`, None if there is none or it is malformed."""
    found = _PARENT.fullmatch(traceparent or "")
    if not found or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    if not int(found[2], 16) or not int(found[3], 16):
        return None
    return Parent(found[2], found[3], int(found[4], 16))


def own_trace(call: str) -> str:
    """Return the id of the trace that begins with a call of this id."""
    return hashlib.sha256(f"trace {call}".encode()).hexdigest()[:32]


def headers(
    traceparent: bytes | None, tracestate: bytes | None, *, call: str, span: str
) -> Headers:
    """Return what tells a provider of `span`, in which it is asked; a call came with the others.

    Nothing where the call's own is malformed: then it is not known whose trace it is.
    """
    if traceparent is None:
        return (_header(own_trace(call), span, SAMPLED),)
    parent = parent_of(traceparent.decode("latin-1"))
    if parent is None:
        return ()
    told = _header(parent.trace, span, parent.flags & _FLAGS)
    state = (tracestate or b"").decode("latin-1")
    return (told, (b"tracestate", state.encode())) if _is_state(state) else (told,)


def _header(trace: str, span: str, flags: int) -> tuple[bytes, bytes]:
    return b"traceparent", f"00-{trace}-{span}-{flags:02x}".encode()


def _is_state(state: str) -> bool:
    """Tell a `tracestate` that says something, and is one."""
    members = state.split(",")
    if not state.strip() or len(members) > _MOST_MEMBERS or len(state) > _MOST_STATE:
        return False
    return all(_MEMBER.fullmatch(each) for each in members)
