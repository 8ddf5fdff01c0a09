"""Requests that are wrong, each with the answer that it must get: data for `test_bad_input`.

Grouped by what is wrong with them. A chat request that is whole as HTTP and has a valid key is a
call and leaves a record, however wrong its body is.
"""

from __future__ import annotations

from laws import malformed_bodies, malformed_framing, malformed_heads
from laws.malformed_framing import UNANSWERED
from laws.writing import Malformed

__all__ = ["CASES", "UNANSWERED", "Malformed"]


def _all() -> dict[str, Malformed]:
    parts = (malformed_bodies, malformed_heads, malformed_framing)
    pairs = [pair for part in parts for pair in part.cases()]
    cases = dict(pairs)
    assert len(cases) == len(pairs), "two of them have one name"
    return cases


CASES = _all()
