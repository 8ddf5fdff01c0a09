"""Asking the server that runs here, with the key of the environment."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from standpipe.config import Settings
from standpipe.errors import ConfigError

#: A judge may think for minutes.
_PATIENCE_S = 600
_UNKNOWN_KEY = 401


class Answer(NamedTuple):
    """What the server said, an error too."""

    status: int
    #: By their names in lower case.
    headers: Mapping[str, str]
    said: dict[str, Any]


def post(settings: Settings, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return what the server at the configured address answers to a POST.

    Raises ConfigError without a key that it knows, without a server, and with the message of its
    error.
    """
    answer = ask(settings, path, body)
    if answer.status != 200:
        raise ConfigError(str(answer.said.get("message")))
    return answer.said


def ask(
    settings: Settings,
    path: str,
    body: dict[str, Any],
    more: Mapping[str, str] | None = None,
    *,
    patience: float = _PATIENCE_S,
) -> Answer:
    """Return what the server answers to a POST with `more` headers, an error of its own too.

    Raises ConfigError without a key that it knows, and without one that answers within `patience`
    seconds.
    """
    if settings.first_key is None:
        raise ConfigError("this asks the running server: give a key of it as STANDPIPE_API_KEY")
    connection = _connection(settings, patience)
    headers = {
        "authorization": f"Bearer {settings.first_key.reveal()}",
        "content-type": "application/json",
        **(more or {}),
    }
    place = f"{connection.host}:{connection.port}"
    try:
        connection.request("POST", path, msgspec.json.encode(body), headers)
        answer = connection.getresponse()
        said = msgspec.json.decode(answer.read(), type=dict[str, Any])
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        message = f"no Standpipe answers at {place}: {error}; start one by `standpipe serve`"
        raise ConfigError(message) from error
    finally:
        connection.close()
    if answer.status == _UNKNOWN_KEY:
        raise ConfigError(f"the server at {place} does not know the key in STANDPIPE_API_KEY")
    named = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, named, said)


def _connection(settings: Settings, patience: float) -> http.client.HTTPConnection:
    server = settings.server
    loopback = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
    host = loopback.get(server.host, server.host)
    if not server.tls_certificate:
        return http.client.HTTPConnection(host, server.port, timeout=patience)
    # The key goes to who has the certificate that is configured, by whatever name it is asked.
    context = ssl.create_default_context(cafile=server.tls_certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return http.client.HTTPSConnection(host, server.port, timeout=patience, context=context)
