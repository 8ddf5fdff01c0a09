"""Which proxy a URL goes through. Pure: the environment is handed in."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec
from typing_extensions import override

from standpipe.upstream.transport import Origin


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy that is asked to CONNECT."""

    host: str
    port: int
    #: Value of Proxy-Authorization, None without a user.
    authorization: bytes | None = None

    @override
    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Return the proxy of a URL such as `http://user:password@host:3128`, or `host:3128`.

        ValueError says what is wrong, without the password.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http":
            raise ValueError(f"a proxy's URL begins with http://, not {parts.scheme}://")
        if not parts.hostname:
            raise ValueError("a proxy's URL needs a host")
        return cls(parts.hostname, _port(parts), _basic(parts.username, parts.password))


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for a URL, None to go directly.

    Reads `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy` of the mapping, each in lower case
    or, failing that, in upper case. This machine itself is never reached by a proxy.
    """
    origin = Origin.parse(url)
    proxy = _variable(environ, f"{origin.scheme}_proxy") or _variable(environ, "all_proxy")
    if not proxy or _is_local(origin.host):
        return None
    rules = _variable(environ, "no_proxy").split(",")
    if any(_exempts(rule.strip().lower(), origin.host, origin.port) for rule in rules):
        return None
    return proxy


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or 80
    except ValueError:
        # What it takes for the port may be a password with a slash in it.
        raise ValueError("a proxy's URL has a port that is no number") from None


def _basic(user: str | None, password: str | None) -> bytes | None:
    if user is None:
        return None
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return b"Basic " + base64.b64encode(pair.encode())


def _variable(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _is_local(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address is not None else host == "localhost"


def _exempts(rule: str, host: str, port: int) -> bool:
    """Return whether one rule of NO_PROXY takes in a host.

    A rule is `*`, a domain with or without a dot in front (it takes in what is below it), an
    address, or a network such as `10.0.0.0/8`; `:port` at its end narrows it.
    """
    if rule in {"", "*"}:
        return rule == "*"
    address = _address(host)
    if address is not None and "/" in rule:
        return _holds(rule, address)
    name, _, rule_port = rule.rpartition(":")
    if name and rule_port.isdigit() and _address(rule) is None:
        if int(rule_port) != port:
            return False
        rule = name
    domain = rule.strip("[]").lstrip(".").removeprefix("*.")
    if address is not None:
        return _address(domain) == address
    return host == domain or host.endswith(f".{domain}")


def _holds(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
