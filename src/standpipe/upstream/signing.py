"""Requests signed as AWS wants it (Signature Version 4), by botocore's signer.

botocore is the extra `bedrock`, imported only where there are credentials to sign with. It reads
neither the environment nor the network here: credentials are what the configuration says.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import re
from collections.abc import Callable
from typing import Any

import msgspec
from typing_extensions import override

from standpipe.errors import ConfigError
from standpipe.upstream.answer import Answer
from standpipe.upstream.transport import Headers, Origin, Request, Transport

#: Returns the headers that sign a request for a URL.
Sign = Callable[[Request, str], Headers]

SERVICE = "bedrock"
_REGION = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d+)\.")


class Credentials(msgspec.Struct, frozen=True):
    """Who signs."""

    access_key_id: str
    secret_access_key: str
    #: Of credentials that pass away; None for those that stay.
    session_token: str | None = None

    @override
    def __repr__(self) -> str:
        return "Credentials(***)"


class Signed(Transport):
    """A way to a provider on which every request is signed anew, each try of it too."""

    def __init__(self, transport: Transport, origin: Origin, sign: Sign) -> None:
        self.transport = transport
        self._base = f"{origin.scheme}://{origin.authority}{origin.prefix}"
        self._sign = sign

    @override
    async def send(self, request: Request) -> Answer:
        signature = self._sign(request, self._base + request.path)
        extra = (*request.extra, *signature)
        return await self.transport.send(msgspec.structs.replace(request, extra=extra))

    @override
    async def close(self) -> None:
        await self.transport.close()


def signer(credentials: Credentials, region: str) -> Sign:
    """Return what signs for Bedrock in a region; ConfigError names the extra if it is missing."""
    auth, awsrequest, botocore = _module("auth"), _module("awsrequest"), _module("credentials")
    keys = botocore.Credentials(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    )
    signing = auth.SigV4Auth(keys, SERVICE, region)
    # It logs what it signs, the session token among it, where someone turns on debugging.
    logging.getLogger(auth.__name__).setLevel(logging.WARNING)

    def sign(request: Request, url: str) -> Headers:
        digest = hashlib.sha256(request.body).hexdigest()
        headers = {"X-Amz-Content-SHA256": digest}
        unsigned = awsrequest.AWSRequest(request.method, url, headers, request.body)
        signing.add_auth(unsigned)
        return tuple((name.encode(), value.encode()) for name, value in unsigned.headers.items())

    return sign


def region_of(host: str) -> str | None:
    """Return the region that is in the name of an endpoint of AWS, None if there is none."""
    found = _REGION.search(f".{host}")
    return found[1] if found else None


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"botocore.{name}")
    except ImportError as error:
        raise ConfigError(
            "access_key_id needs the extra `bedrock`, which signs requests: "
            "pip install 'standpipe[bedrock]'; or set api_key to a key of Bedrock's own"
        ) from error
