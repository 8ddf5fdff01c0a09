"""Origins, requests and their heads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.upstream import Origin, Request
from standpipe.upstream.transport import head_of, lines_of


@pytest.mark.parametrize(
    ("url", "origin", "authority", "address"),
    [
        ("https://a.test/v1", Origin("https", "a.test", 443, "/v1"), "a.test", "a.test:443"),
        ("HTTP://A.test", Origin("http", "a.test", 80), "a.test", "a.test:80"),
        ("http://a.test:8080/", Origin("http", "a.test", 8080), "a.test:8080", "a.test:8080"),
        ("https://a.test:80/x//", Origin("https", "a.test", 80, "/x"), "a.test:80", "a.test:80"),
        ("http://[::1]:80/v1/", Origin("http", "::1", 80, "/v1"), "[::1]", "[::1]:80"),
        ("http://[::1]:81", Origin("http", "::1", 81), "[::1]:81", "[::1]:81"),
    ],
)  # fmt: skip
def test_base_url_is_taken_apart(url: str, origin: Origin, authority: str, address: str) -> None:
    parsed = Origin.parse(url)
    assert parsed == origin
    assert (parsed.authority, parsed.address) == (authority, address)


@pytest.mark.parametrize(
    "url",
    [
        "", "api.openai.com", "ftp://a.test", "//a.test", "http://", "http:///v1", "http://:80",
        "http://user:secret@a.test", "http://secret@a.test", "http://a.test/?key=secret", "http://a.test/?",
        "http://a.test/#secret", "http://a.test:99999", "http://a.test:x", "http://a.test/a b",
        "http://a.test\n/", "http://a.test/\r\nX: y", "http://exämple.test", "http://[::1", " http://a.test",
    ],
)  # fmt: skip
def test_useless_base_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as raised:
        Origin.parse(url)
    assert "secret" not in str(raised.value)


def test_request_hides_its_headers() -> None:
    request = Request("POST", "/x", ((b"authorization", b"Bearer secret"),), b"{}")
    assert repr(request) == "Request(POST /x, 2 bytes)"


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nInjected: 1"), (b"x", b"a\nb"), (b"x", b"a\0"), (b"x y", b"a"), (b"", b"a"),
        (b"x:", b"a"), (b"Host", b"a"), (b"CONTENT-LENGTH", b"1"),
        (b"transfer-encoding", b"chunked"), (b"x\n", b"a"), (b"x", b"a\n"),
    ],
)  # fmt: skip
def test_header_that_would_break_the_request_is_refused(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="header"):
        lines_of((header,))


@pytest.mark.parametrize("path", ["", "x", "/a b", "/a\r\nb", "/ä", "/x\n"])
def test_path_that_would_break_the_request_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        head_of(Origin.parse("http://a.test"), "GET", path, ())


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=4))
def test_headers_never_add_lines(pairs: list[tuple[bytes, bytes]]) -> None:
    try:
        lines = lines_of(tuple(pairs))
    except ValueError:
        return
    assert lines.count(b"\n") == lines.count(b"\r") == len(pairs)


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "http://[", "http://a:"]))
def test_base_url_is_parsed_or_refused(text: str, start: str) -> None:
    try:
        origin = Origin.parse(start + text)
    except ValueError:
        return
    assert origin.host
    assert head_of(origin, "GET", "/", ()).count(b"\r\n") == 3
