"""Heads that come again: taken without the parser only where the parser would say the same."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from standpipe.server.head import Head
from standpipe.server.repeated import Repeated

HEAD = (
    b"POST /v1 HTTP/1.1\r\nHost: a\r\nX-A: content-length: 7\r\nContent-Length: %b\r\n"
    b"Authorization: Bearer k\r\nExpect:x\r\n\r\n"
)
Header = tuple[bytes, bytes]


def request(body: bytes, length: bytes | None = None) -> bytes:
    return HEAD % (str(len(body)).encode() if length is None else length) + body


class Parsed:
    """What the parser makes of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[Header] = []
        self.bodies: list[bytes] = []
        self.ended = 0
        self.is_broken = False
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            self.is_broken = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.bodies.append(body)

    def on_message_complete(self) -> None:
        self.ended += 1

    @property
    def others(self) -> list[Header]:
        return [header for header in self.headers if header[0] != b"content-length"]


FIRST = request(b"abc")


def known() -> Repeated:
    repeated = Repeated.of(FIRST, 3, Head(Parsed(FIRST).headers))
    assert repeated is not None
    return repeated


@pytest.mark.parametrize("body", [b"", b"a", b"\r\n\r\n", b"0" * 70_000])
def test_head_is_known_again_with_another_length(body: bytes) -> None:
    assert known().body(request(body)) == body


REFUSED = {
    "another head": request(b"abc").replace(b"Bearer k", b"Bearer l"),
    "another line": request(b"abc").replace(b"/v1", b"/v2"),
    "half a body": request(b"abc")[:-1],
    "half a head": request(b"abc")[:60],
    "no more than the head's begin": request(b"abc")[:20],
    "one behind it": request(b"abc") * 2,
    "a line behind it": request(b"abc") + b"\r\n",
    "no length": request(b"abc", b""),
    "a signed length": request(b"abc", b"+3"),
    "a spaced length": request(b"abc", b"3 "),
    "digits that are none": request(b"abc", b"\xb3"),
    "two lengths in one": request(b"abc", b"3, 3"),
    "a long length": request(b"abc", b"0" * 30 + b"3"),
    "a line more": request(b"abc", b"3\r\nContent-Length: 3"),
    "nothing": b"",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_differs_is_the_parsers(case: str) -> None:
    assert known().body(REFUSED[case]) is None


VARIED = {
    "another key": (b"Bearer k", b"Bearer other"),
    "another case and space": (b"Authorization: Bearer k", b"authorization:\t Bearer  l"),
    "another value and length": (
        b"X-A: content-length: 7\r\nContent-Length: 3",
        b"X-A: b\r\ncontent-length:3",
    ),
    "the same": (b"", b""),
}


@pytest.mark.parametrize("case", VARIED)
def test_values_may_be_others(case: str) -> None:
    was, now = VARIED[case]
    data = request(b"abc").replace(was, now, 1)
    found = known().varied(data)
    assert found is not None
    assert (found[0].headers, found[0].read, found[1]) == (Parsed(data).headers, None, b"abc")


NOT_VARIED = {
    **{name: data for name, data in REFUSED.items() if name != "another head"},
    "another host": request(b"abc").replace(b"Host: a", b"Host: b"),
    "a host in another case": request(b"abc").replace(b"Host: a", b"host: A"),
    "another expectation": request(b"abc").replace(b"Expect:x", b"Expect:100-continue"),
    "another name": request(b"abc").replace(b"Authorization", b"Authorisation"),
    "a name with a space": request(b"abc").replace(b"Authorization:", b"Authorization :"),
    "no value": request(b"abc").replace(b"Bearer k", b""),
    "a space behind a value": request(b"abc").replace(b"Bearer k", b"Bearer k "),
    "no colon": request(b"abc").replace(b"Authorization: Bearer k", b"Authorization"),
    "a line that goes on": request(b"abc").replace(b"Bearer k\r\nExpect:x", b"Bearer\r\n k"),
    "a line's end in a value": request(b"abc").replace(b"Bearer k", b"Bearer\nX: k"),
    "what is not ASCII": request(b"abc").replace(b"Bearer k", "Bearer é".encode()),
    "a header less": request(b"abc").replace(b"Expect:x\r\n", b""),
    "headers in another order": request(b"abc").replace(
        b"Authorization: Bearer k\r\nExpect:x", b"Expect:x\r\nAuthorization: Bearer k"
    ),
    "a head without an end, as long as it says": FIRST.replace(b"h: 3", b"h: 104")[:-7] + b"y",
    "another version": request(b"abc").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a long head": request(b"abc").replace(b"Bearer k", b"Bearer " + b"k" * 5000),
}


@pytest.mark.parametrize("case", NOT_VARIED)
def test_all_else_is_the_parsers(case: str) -> None:
    assert known().varied(NOT_VARIED[case]) is None


def test_what_follows_is_compared_with_what_is_remembered_and_not_with_the_last() -> None:
    repeated, other = known(), request(b"ab").replace(b"Bearer k", b"Bearer l")
    for data in (other, request(b"abcd").replace(b": 7", b": 8"), other):
        found = repeated.varied(data)
        assert found is not None
        assert found[0].headers == Parsed(data).headers
    assert repeated.head.headers == Parsed(request(b"abc")).headers


#: Heads in which the parser finds fewer headers than there are lines.
FEWER = {
    "one behind an empty line": b"\r\n" + FIRST,
    "one that offers another protocol": FIRST.replace(b"Expect:x", b"Upgrade: h2c"),
}


@pytest.mark.parametrize("case", FEWER)
def test_lines_are_compared_only_where_each_is_a_header(case: str) -> None:
    first = FEWER[case]
    headers = [each for each in Parsed(first).headers if each[0] != b"upgrade"]
    repeated = Repeated.of(first, 3, Head(headers))
    assert repeated is not None
    for data in (first.replace(b"Bearer k", b"Bearer l"), FIRST, first[:-3]):
        assert repeated.varied(data) is None


NOT_REMEMBERED = {
    "chunks": HEAD.replace(b"Content-Length: %b", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "a line behind it": request(b"abc") + b"\r\n",
    "one that begins with lines": b"\r\n\r\n" + request(b"abc"),
    "a long head": request(b"abc").replace(b"Bearer k", b"Bearer " + b"k" * 5000),
    "a spaced length": request(b"abc", b"3 "),
}


@pytest.mark.parametrize("case", NOT_REMEMBERED)
def test_what_is_not_plain_is_not_remembered(case: str) -> None:
    assert Repeated.of(NOT_REMEMBERED[case], 3, Head([])) is None


MANGLED = {
    "body": st.binary(max_size=12),
    "at": st.integers(0, 170),
    "cut": st.integers(0, 3),
    "put": st.sampled_from(
        [
            b"",
            b"\r",
            b"\n",
            b"\r\n",
            b"0",
            b"9",
            b" ",
            b"\t",
            b"\0",
            b"a",
            b":",
            b"\xe9",
            b"\r\n\r\n",
        ]
    ),
    "tail": st.sampled_from([b"", b"\r\n", b"a", b"\r\n\r\n"]),
}


def mangled(body: bytes, at: int, cut: int, put: bytes, tail: bytes) -> bytes:
    whole = request(body)
    return whole[:at] + put + whole[at + cut :] + tail


def one_request(data: bytes, body: bytes) -> Parsed:
    """Return what the parser makes of one request with this body, and of nothing else."""
    parsed = Parsed(data)
    assert not parsed.is_broken
    assert (parsed.ended, b"".join(parsed.bodies)) == (1, body)
    return parsed


@settings(max_examples=300, deadline=None)
@given(data=st.builds(mangled, **MANGLED))
def test_what_is_taken_is_one_request_of_the_parsers_with_that_body(data: bytes) -> None:
    taken = known().body(data)
    if taken is not None:
        assert one_request(data, taken).others == Parsed(FIRST).others


@settings(max_examples=500, deadline=None)
@given(data=st.builds(mangled, **MANGLED))
def test_what_is_taken_with_other_values_is_what_the_parser_says(data: bytes) -> None:
    taken = known().varied(data)
    if taken is not None:
        head, body = taken
        assert one_request(data, body).headers == head.headers


@settings(max_examples=200, deadline=None)
@given(
    body=st.sampled_from([b"", b"\r\n", b"\r\n\r\nab", b"{}", b"a\r\n\r\n"]),
    tail=st.binary(max_size=4),
)
def test_what_is_remembered_ends_where_its_head_does(body: bytes, tail: bytes) -> None:
    remembered = Repeated.of(request(body) + tail, len(body), Head([]))
    assert (remembered is None) == bool(tail)
    if remembered is not None:
        assert remembered.body(request(b"xyz")) == b"xyz"
