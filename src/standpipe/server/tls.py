"""TLS at our own door: 1.2 or newer, HTTP/1.1 only."""

from __future__ import annotations

import asyncio
import fcntl
import ssl
import struct
import termios

from standpipe.errors import ConfigError

_INT = struct.Struct("i")


def context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the context of a server with these PEM files.

    Raises ConfigError if one cannot be read, or the key is another certificate's.
    """
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    for setting, file in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            with open(file, "rb"):  # noqa: PTH123 (a Path would say the same)
                pass
        except OSError as error:
            raise ConfigError(f"server.{setting} = {file!r}: {error.strerror}") from error
    try:
        made.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or str(error)
        raise ConfigError(
            f"server.tls_certificate and server.tls_key: {certificate!r} and {key!r} cannot be "
            f"used together: {why}"
        ) from error
    return made


def in_kernel(transport: asyncio.BaseTransport) -> int:
    """Return how many bytes of a connection the kernel has not seen acknowledged; 0 if unknown."""
    wire = transport.get_extra_info("socket")
    try:
        told = fcntl.ioctl(wire.fileno(), termios.TIOCOUTQ, b"\0" * _INT.size)
    except OSError:  # not everywhere, and not once it is closed
        return 0
    return int(_INT.unpack(told)[0])


def _no_password() -> str:
    raise ValueError("the key has a password")
