"""What goes to a provider and where: `Origin`, `Request`, and the seam `Transport`.

Nothing here opens a socket. Whatever has `Transport`'s two methods can stand in for the pool.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

import msgspec
from typing_extensions import override

if TYPE_CHECKING:
    from standpipe.upstream.answer import Answer

Headers = tuple[tuple[bytes, bytes], ...]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_OUTSIDE_URL = re.compile(r"[\x00-\x20\x7f]")
_PATH = re.compile(r"/[!-~]*\Z")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
# A line break in a value would begin a header of the value's author.
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
_POOLS_OWN = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"accept-encoding", b"connection")
)


class Origin(msgspec.Struct, frozen=True):
    """A provider's base URL, taken apart."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    #: Path before every request's own: "" or "/v1", never with a slash at its end.
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> Origin:
        """Return the origin of a base URL; ValueError says what is wrong with it."""
        if _OUTSIDE_URL.search(url) or not url.isascii():
            raise ValueError("a base URL has only visible ASCII characters")
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS:
            raise ValueError(f"a base URL begins with http:// or https://, not {parts.scheme!r}")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a base URL has no user and no password in it; set the provider's key")
        if parts.query or parts.fragment or url.endswith(("?", "#")):
            raise ValueError("a base URL has no query and no fragment")
        if not parts.hostname:
            raise ValueError(f"the base URL {url!r} has no host")
        scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
        # `port` raises ValueError by itself if it is no port.
        port = parts.port if parts.port is not None else _DEFAULT_PORTS[scheme]
        return cls(scheme, parts.hostname, port, parts.path.rstrip("/"))

    @property
    def address(self) -> str:
        """Host and port, as CONNECT and messages name them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """What the Host header says."""
        if self.port == _DEFAULT_PORTS[self.scheme]:
            return self.address.rpartition(":")[0]
        return self.address


class Request(msgspec.Struct, frozen=True):
    """One request.

    `path` begins with a slash and is appended to the origin's prefix. `headers` are what stays the
    same from call to call (key, content type): the head made of them is kept and used again. What
    changes with each call (trace ids) goes into `extra`. Host, Content-Length, Accept-Encoding and
    Connection are the pool's and must not be in either.
    """

    method: str
    path: str
    headers: Headers
    body: bytes = b""
    extra: Headers = ()

    @override
    def __repr__(self) -> str:
        # The headers hold the provider's key.
        return f"Request({self.method} {self.path}, {len(self.body)} bytes)"


class Transport(Protocol):
    """The way to one provider."""

    async def send(self, request: Request) -> Answer:
        """Send the request and return the answer as soon as its head is here.

        Raises Unreachable, Silent, or NotACompletion for an encoding that was not asked for.
        """
        ...

    async def close(self) -> None:
        """Close every connection, also those in use."""
        ...


def head_of(origin: Origin, method: str, path: str, headers: Headers) -> bytes:
    """Return the head of a request up to, not including, Content-Length and `extra`.

    ValueError for a path or header that cannot be sent.
    """
    if not _PATH.match(path):
        raise ValueError(f"a path begins with a slash and is visible ASCII: {path!r}")
    first = f"{method} {origin.prefix}{path} HTTP/1.1\r\nHost: {origin.authority}\r\n"
    return first.encode("ascii") + b"Accept-Encoding: identity\r\n" + lines_of(headers)


def lines_of(headers: Headers) -> bytes:
    """Return header lines; ValueError names the header that cannot be sent."""
    for name, value in headers:
        if not _NAME.match(name) or name.lower() in _POOLS_OWN:
            raise ValueError(f"not a header for the caller to set: {name!r}")
        if not _VALUE.match(value):
            raise ValueError(f"the value of the header {name!r} cannot be sent")
    return b"".join(b"%b: %b\r\n" % header for header in headers)
