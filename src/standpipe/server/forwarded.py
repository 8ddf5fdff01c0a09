"""What proxies say of the client behind them (RFC 7239, and the older X-Forwarded headers).

Pure. It is believed from the proxies that the operator names, and decides nothing of who may call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from itertools import zip_longest
from typing import NamedTuple

from starlette.types import Scope

from standpipe.server.head import Header

Address = IPv4Address | IPv6Address

#: A comma or semicolon outside of quotes.
_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
_SEMICOLON = re.compile(r';(?=(?:[^"]*"[^"]*")*[^"]*$)')
_SCHEMES = frozenset({"http", "https"})


class Hop(NamedTuple):
    """What one proxy says of who has asked it."""

    address: Address | None
    scheme: str | None


class Proxies:
    """The networks of the proxies in front."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(map(ip_network, networks))

    def trusts(self, host: str) -> bool:
        """Tell whether a peer is one of them."""
        address = _address(host)
        return address is not None and self._has(address)

    def put_client(self, scope: Scope) -> None:
        """Put who asked the proxy, and how, into a scope, as far as it says."""
        address, scheme = self.client(scope["headers"])
        if address is not None:
            scope["client"] = (str(address), 0)
        if scheme is not None:
            scope["scheme"] = scheme

    def client(self, headers: Sequence[Header]) -> Hop:
        """Return the right-most that is none of them; None for what no proxy has said."""
        found = Hop(None, None)
        for hop in reversed(_hops(headers)):
            found = Hop(hop.address or found.address, hop.scheme or found.scheme)
            if hop.address is None or not self._has(hop.address):
                break
        return found

    def _has(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _hops(headers: Sequence[Header]) -> list[Hop]:
    forwarded = _joined(headers, b"forwarded")
    if forwarded:
        return [_element(each) for each in _COMMA.split(forwarded)]
    addresses = [_address(each) for each in _listed(_joined(headers, b"x-forwarded-for"))]
    schemes = [_scheme(each) for each in _listed(_joined(headers, b"x-forwarded-proto"))]
    # Most proxies send one scheme, whatever the length of the way: both are read from the near end.
    pairs = zip_longest(reversed(addresses), reversed(schemes))
    return [Hop(address, scheme) for address, scheme in pairs][::-1]


def _joined(headers: Sequence[Header], wanted: bytes) -> str:
    return ",".join(value.decode("latin-1") for name, value in headers if name == wanted)


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")] if text else []


def _element(text: str) -> Hop:
    pairs = (each.partition("=") for each in _SEMICOLON.split(text))
    found = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    return Hop(_address(found.get("for", "")), _scheme(found.get("proto", "")))


def _scheme(text: str) -> str | None:
    return text.lower() if text.lower() in _SCHEMES else None


def _address(text: str) -> Address | None:
    """Return an address as proxies write it, with a port or without; None if it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
