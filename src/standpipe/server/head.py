"""What a request's head must be before anything acts on it, and the scope made from it.

Pure: it knows no connection. What it raises is what the caller is answered with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from string import ascii_letters, digits
from typing import Any
from urllib.parse import unquote

import httptools

from standpipe.errors import BadRequest, BodyTooLarge, MethodNotAllowed, Unparsable, WrongMediaType

Header = tuple[bytes, bytes]


class Head:
    """The headers of a call, names in lower case, and what its route has read of them.

    A head that comes again is the same object, so that nothing of it need be read again.
    """

    __slots__ = ("headers", "read")

    def __init__(self, headers: list[Header]) -> None:
        self.headers = headers
        #: The route's to set and to know; None before.
        self.read: object = None


#: RFC 3986's host and port, loosely: enough to keep spaces, paths and lists of hosts out.
_HOST = (ascii_letters + digits + "._~!$&'()*+,;=%:[]-").encode()
_VERSIONS = frozenset({"1.0", "1.1"})


def check(method: bytes, version: str, headers: Iterable[Header], *, longest_body: int) -> bool:
    """Refuse a head that is not HTTP/1.x as we accept it; `longest_body` is in bytes.

    Returns whether the client waits for a word from us before it sends the body.
    """
    if version not in _VERSIONS:
        raise Unparsable(f"HTTP/{version} is not spoken here, HTTP/1.1 is")
    if method == b"CONNECT":
        raise MethodNotAllowed("CONNECT is not supported: this server is no proxy")
    ruled = []
    for name, value in headers:
        rule = _RULES.get(name)
        if rule is not None:
            rule(value, version, longest_body)
            ruled.append(name)
    hosts = ruled.count(b"host")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise BadRequest("a request needs exactly one Host header")
    if version == "1.0" or b"expect" not in ruled:
        return False
    return dict(headers)[b"expect"].lower() == b"100-continue"


def _check_host(value: bytes, _version: str, _longest: int) -> None:
    if value.translate(None, _HOST):
        raise BadRequest("the Host header is not a host")


def _check_length(value: bytes, _version: str, longest: int) -> None:
    if int(value) > longest:
        raise BodyTooLarge(f"the request body is over {longest} bytes")


def _check_encoding(value: bytes, _version: str, _longest: int) -> None:
    if value.strip().lower() not in {b"", b"identity"}:
        raise WrongMediaType("a compressed request body is not accepted: send it as it is")


def _check_transfer(value: bytes, version: str, _longest: int) -> None:
    if version == "1.0" or value.strip().lower() != b"chunked":
        raise Unparsable("the only Transfer-Encoding accepted is chunked, in HTTP/1.1")


def _check_nothing(_value: bytes, _version: str, _longest: int) -> None:
    """Take any value: an expectation we don't know is one we don't disappoint."""


_RULES: dict[bytes, Callable[[bytes, str, int], None]] = {
    b"host": _check_host,
    b"expect": _check_nothing,
    b"content-length": _check_length,
    b"content-encoding": _check_encoding,
    b"transfer-encoding": _check_transfer,
}


def target(url: bytes) -> dict[str, Any]:
    """Return the scope's `path`, `raw_path` and `query_string` of a request target."""
    try:
        parsed = httptools.parse_url(url)
        raw_path = parsed.path or b"/"
        path = raw_path.decode("ascii")
    except (httptools.HttpParserInvalidURLError, UnicodeDecodeError) as failure:
        raise Unparsable("the request target is not a URL that can be read") from failure
    if "%" in path:
        path = unquote(path)
    return {"path": path, "raw_path": raw_path, "query_string": parsed.query or b""}


def without_upgrade(method: bytes, url: bytes, version: str, headers: Iterable[Header]) -> bytes:
    """Return the head of a request again, as it reads without its Upgrade header."""
    lines = [b"%b %b HTTP/%b\r\n" % (method, url, version.encode())]
    lines += [b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade"]
    return b"".join(lines) + b"\r\n"
