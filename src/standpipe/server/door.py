"""What stands between the socket and the requests: TLS, proxies, pages in browsers."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from standpipe.config import Server
from standpipe.server import tls
from standpipe.server.cors import Cors
from standpipe.server.forwarded import Proxies
from standpipe.server.refusals import Refusals


@dataclass(frozen=True)
class Door:
    """How clients come in; None for what is not set up."""

    tls: ssl.SSLContext | None = None
    cors: Cors | None = None
    proxies: Proxies | None = None
    #: Requests that were refused here, before anybody looked at what they ask, are counted there.
    refusals: Refusals = field(default_factory=Refusals)


def door(server: Server, refusals: Refusals | None = None) -> Door:
    """Return the door as it is configured. Raises ConfigError if its files cannot be used."""
    return Door(
        tls.context(server.tls_certificate, server.tls_key) if server.tls_certificate else None,
        Cors(server.cors_origins) if server.cors_origins else None,
        Proxies(server.trusted_proxies) if server.trusted_proxies else None,
        refusals or Refusals(),
    )
