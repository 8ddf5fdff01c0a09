"""TLS to providers: verified, and HTTP/1.1 only."""

from __future__ import annotations

import ssl
from pathlib import Path

from standpipe.errors import ConfigError


def context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities, or those of `ca_file` only.

    Raises ConfigError if the file cannot be read or has no certificate.
    """
    try:
        made = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"ca_file {ca_file}: {error.strerror or error}") from error
    made.set_alpn_protocols(["http/1.1"])
    return made
