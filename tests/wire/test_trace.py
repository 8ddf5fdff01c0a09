"""Trace context as the W3C has it, read and passed on."""

from __future__ import annotations

import pytest

from standpipe.wire.trace import Parent, headers, own_trace, parent_of

TRACE, SPAN, OWN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("traceparent", "flags"),
    [
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-03", 3),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
    ],
)
def test_parent_is_read(traceparent: str, flags: int) -> None:
    assert parent_of(traceparent) == Parent(TRACE, SPAN, flags)


MALFORMED = (
    "",
    "not one at all",
    f"ff-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE}-{SPAN}-01-more",
    f"cc-{TRACE}-{SPAN}-01.more",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}",
    f" 00-{TRACE}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-01\n",
    f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-0\u0661",
)


@pytest.mark.parametrize("traceparent", MALFORMED)
def test_malformed_parent_is_none_and_nothing_is_passed_on(traceparent: str) -> None:
    assert parent_of(traceparent) is None
    sent = traceparent.encode("latin-1", "replace")
    assert headers(sent, b"a=1", call="c", span=OWN) == ()


def test_provider_is_told_of_our_span_in_the_callers_trace() -> None:
    sent = f"cc-{TRACE}-{SPAN}-ff-x".encode()
    assert headers(sent, b"", call="c", span=OWN) == (
        (b"traceparent", f"00-{TRACE}-{OWN}-03".encode()),
    )


def test_trace_of_a_call_that_came_without_one_begins_here() -> None:
    ((name, value),) = headers(None, b"a=1", call="c", span=OWN)
    assert (name, value.decode()) == (b"traceparent", f"00-{own_trace('c')}-{OWN}-01")


@pytest.mark.parametrize(
    ("state", "is_passed"),
    [
        (b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", True),
        (b"fw529a3039@dt=FfC, 1a-_*/b@b = x", False),
        (b"fw529a3039@dt=FfC,\t1a-_*/b@b=x y ,,", True),
        (b",".join(b"a%d=1" % n for n in range(32)), True),
        (b",".join(b"a%d=1" % n for n in range(33)), False),
        (b"a=" + b"x" * 256, True),
        (b"a=" + b"x" * 257, False),
        (b"", False),
        (b" ", False),
        (b"a", False),
        (b"A=1", False),
        (b"a=1=2", False),
        (b"a=\xe9", False),
        (b"a=\x07", False),
    ],
)
def test_state_goes_along_where_it_is_one(state: bytes, is_passed: bool) -> None:
    told = dict(headers(f"00-{TRACE}-{SPAN}-01".encode(), state, call="c", span=OWN))
    assert told.get(b"tracestate") == (state if is_passed else None)
