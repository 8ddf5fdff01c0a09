"""Asking the server that runs here, with the key of the environment."""

from __future__ import annotations

import http.client
import ssl
from typing import Any

import msgspec

from standpipe.config import Settings
from standpipe.errors import ConfigError

#: A judge may think for minutes.
_PATIENCE_S = 600


def post(settings: Settings, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return what the server at the configured address answers to a POST.

    Raises ConfigError without a key, without a server, and with the message of its error.
    """
    if settings.first_key is None:
        raise ConfigError("this asks the running server: give a key of it as STANDPIPE_API_KEY")
    connection = _connection(settings)
    headers = {
        "authorization": f"Bearer {settings.first_key.reveal()}",
        "content-type": "application/json",
    }
    try:
        connection.request("POST", path, msgspec.json.encode(body), headers)
        answer = connection.getresponse()
        said = msgspec.json.decode(answer.read(), type=dict[str, Any])
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        place = f"{connection.host}:{connection.port}"
        message = f"no Standpipe answers at {place}: {error}; start one by `standpipe serve`"
        raise ConfigError(message) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise ConfigError(str(said.get("message")))
    return said


def _connection(settings: Settings) -> http.client.HTTPConnection:
    server = settings.server
    loopback = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
    host = loopback.get(server.host, server.host)
    if not server.tls_certificate:
        return http.client.HTTPConnection(host, server.port, timeout=_PATIENCE_S)
    # The key goes to who has the certificate that is configured, by whatever name it is asked.
    context = ssl.create_default_context(cafile=server.tls_certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return http.client.HTTPSConnection(host, server.port, timeout=_PATIENCE_S, context=context)
