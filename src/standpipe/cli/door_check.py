"""What stands at the door: address, TLS, proxies, pages; a look that changes nothing."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from standpipe.cli.checks import Finding, Patient
from standpipe.errors import ConfigError
from standpipe.server import tls

_DAY_S = 86400.0
#: Days before a certificate's end from which on it is worth a word.
_SOON = 14
_RENEW = "renew it, then send SIGHUP (`systemctl reload`)"


def exposure(patient: Patient) -> Iterator[Finding]:
    """Tell an operator that others can reach the server."""
    server = patient.settings.server
    if server.is_loopback:
        return
    told = f"server.host = {server.host!r} is open to the network"
    if server.tls_certificate or server.trusted_proxies:
        by = "with TLS" if server.tls_certificate else "behind proxies, whose TLS it is"
        yield Finding("ok", "Address", f"{told}, {by}")
    else:
        advice = "calls and keys travel unencrypted: set server.tls_certificate, or put a TLS proxy"
        yield Finding("note", "Address", told, f"{advice} in front")


def certificate(patient: Patient) -> Iterator[Finding]:
    """Check that certificate and key can be read, belong together and have not come to an end."""
    server = patient.settings.server
    if not server.tls_certificate:
        return
    try:
        presented = _presented(server.tls_certificate, server.tls_key)
    except ConfigError as error:
        yield Finding("wrong", "TLS", str(error), "`standpipe serve` does not start with it")
        return
    except ssl.SSLCertVerificationError as error:
        told = f"{server.tls_certificate}: {error.verify_message}"
        yield Finding("wrong", "TLS", told, _RENEW)
        return
    names = ", ".join(name for _, name in presented.get("subjectAltName", ()))
    yield ending(f"{names or 'no name'}", ssl.cert_time_to_seconds(presented["notAfter"]))
    if Path(server.tls_key).stat().st_mode & 0o007:
        told = f"{server.tls_key} may be read by everybody on this machine"
        yield Finding("note", "TLS", told, f"chmod 640 {server.tls_key}")


def ending(names: str, at: float) -> Finding:
    """Return what there is to say of a certificate that ends at a Unix time."""
    days = (at - time.time()) / _DAY_S
    told = f"the certificate of {names} ends {time.strftime('%Y-%m-%d', time.gmtime(at))}"
    if days <= 0:
        return Finding("wrong", "TLS", told, _RENEW)
    if days < _SOON:
        return Finding("note", "TLS", f"{told}, in {days:.0f} days", _RENEW)
    return Finding("ok", "TLS", told)


def proxies(patient: Patient) -> Iterator[Finding]:
    """Say whose word about clients is taken."""
    networks = patient.settings.server.trusted_proxies
    if not networks:
        return
    told = f"{', '.join(networks)} say who the client is"
    if any(ipaddress.ip_network(network).prefixlen == 0 for network in networks):
        advice = "name the networks of your proxies alone: this is everybody's word"
        yield Finding("note", "Proxies", told, advice)
    else:
        yield Finding("ok", "Proxies", told)


def pages(patient: Patient) -> Iterator[Finding]:
    """Say which pages a browser lets call."""
    origins = patient.settings.server.cors_origins
    if not origins:
        return
    advice = "name origins, if you know them: any page may call with a key that it has"
    state: Any = "note" if "*" in origins else "ok"
    told = f"pages of {', '.join(origins)} may call from a browser"
    yield Finding(state, "CORS", told, advice if state == "note" else "")


def _presented(certificate: str, key: str) -> dict[str, Any]:
    """Return the certificate as a client reads it that trusts it: a handshake in memory."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    ours = tls.context(certificate, key).wrap_bio(to_server, to_client, server_side=True)
    trusting.load_verify_locations(certificate)
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    theirs = trusting.wrap_bio(to_client, to_server)
    for side in (theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return theirs.getpeercert() or {}
