"""What is read of a request's headers where one came more than once."""

from __future__ import annotations

from standpipe.calls.incoming import read


def test_trace_context_is_all_that_came_of_it() -> None:
    twice = [(b"tracestate", b"a=1"), (b"traceparent", b"x"), (b"tracestate", b"b=2")]
    incoming = read([*twice, (b"traceparent", b"y")])
    assert (incoming.tracestate, incoming.traceparent) == (b"a=1,b=2", b"x,y")


def test_of_the_client_and_its_tries_the_last_counts() -> None:
    incoming = read([(b"user-agent", b"a"), (b"user-agent", b"b")])
    assert incoming.user_agent == b"b"
