"""Requests signed for AWS: as AWS computes it, over a real socket, and never twice the same way."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest
from typing_extensions import override

from standpipe.upstream import Origin, Pool, Request
from standpipe.upstream.signing import Credentials, Signed, region_of, signer

TOKEN = "a/session+token=="
KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", TOKEN)
PATH = "/model/us.amazon.nova-2-lite-v1%3A0/converse"
BODY = '{"messages":"é"}'.encode()
REGION = "eu-west-1"


def chain(*parts: str) -> bytes:
    key = parts[0].encode()
    for part in parts[1:]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def signature(secret: str, path: str, headers: dict[str, str], names: str, body: bytes) -> str:
    """Return the signature by AWS's description of it, written here apart from botocore.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    digest = hashlib.sha256(body).hexdigest()
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names.split(";"))
    canonical = f"POST\n{quote(path, safe='/~')}\n\n{lines}\n{names}\n{digest}"
    moment = headers["x-amz-date"]
    scope = f"{moment[:8]}/{REGION}/bedrock/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}"
    return chain(f"AWS4{secret}", moment[:8], REGION, "bedrock", "aws4_request", text).hex()


class Verifier(ThreadingHTTPServer):
    """Refuses what is not signed as AWS wants it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.seen: list[dict[str, str]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Verifier

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append(headers)
        status = 200 if self._is_signed(headers, body) else 403
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        scheme, _, rest = headers["authorization"].partition(" ")
        told = dict(part.split("=", 1) for part in rest.split(", "))
        names = told["SignedHeaders"]
        wanted = signature(KEYS.secret_access_key, self.path, headers, names, body)
        moment = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%S%z")
        age = datetime.now(UTC) - moment
        return (
            scheme == "AWS4-HMAC-SHA256"
            and told["Credential"].startswith(f"AKIDEXAMPLE/{headers['x-amz-date'][:8]}/{REGION}/")
            and {"host", "x-amz-date", "x-amz-security-token"} <= set(names.split(";"))
            and headers["x-amz-security-token"] == TOKEN
            and hmac.compare_digest(told["Signature"], wanted)
            and abs(age.total_seconds()) < 300
        )

    @override
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    with Verifier() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def request(body: bytes = BODY, path: str = PATH) -> Request:
    headers = ((b"content-type", b"application/json"), (b"user-agent", b"standpipe"))
    return Request("POST", path, headers, body, ((b"x-trace", b"1"),))


def statuses(url: str, keys: Credentials, *requests: Request) -> list[int]:
    async def send() -> list[int]:
        origin = Origin.parse(url)
        way = Signed(Pool(origin), origin, signer(keys, REGION))
        found = []
        for each in requests:
            with await way.send(each) as answer:
                await answer.body(1000)
                found.append(answer.status)
        await way.close()
        return found

    return asyncio.run(send())


def test_signed_request_is_taken_by_who_verifies_it(verifier: Verifier) -> None:
    arn = "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fabc/converse-stream"
    bodies = [request(), request(b""), request(b"\x00" * 300_000, arn)]
    assert statuses(verifier.url, KEYS, *bodies) == [200, 200, 200]
    assert all(headers["x-trace"] == "1" for headers in verifier.seen)
    assert len({headers["authorization"] for headers in verifier.seen}) == 3


def test_base_url_with_a_path_is_signed_with_it(verifier: Verifier) -> None:
    assert statuses(f"{verifier.url}/proxy", KEYS, request()) == [200]


def test_wrong_secret_is_refused_by_who_verifies_it(verifier: Verifier) -> None:
    assert statuses(verifier.url, Credentials("AKIDEXAMPLE", "wrong", TOKEN), request()) == [403]


@pytest.mark.parametrize(
    "moment",
    [datetime(2015, 8, 30, 12, 36, tzinfo=UTC), datetime(2026, 12, 31, 23, 59, tzinfo=UTC)],
)
@pytest.mark.parametrize("token", [TOKEN, None])
def test_signature_of_a_fixed_time_is_aws_own(
    monkeypatch: pytest.MonkeyPatch, moment: datetime, token: str | None
) -> None:
    auth = importlib.import_module("botocore.auth")
    monkeypatch.setattr(auth, "get_current_datetime", lambda: moment)
    keys = Credentials(KEYS.access_key_id, KEYS.secret_access_key, token)
    host = "bedrock-runtime.eu-west-1.amazonaws.com"
    made = signer(keys, REGION)(request(), f"https://{host}{PATH}")
    headers = {name.decode().lower(): value.decode() for name, value in made} | {"host": host}
    names = ";".join(sorted(headers.keys() - {"authorization"}))
    wanted = signature(KEYS.secret_access_key, PATH, headers, names, BODY)
    scope = f"{moment:%Y%m%d}/{REGION}/bedrock/aws4_request"
    assert headers["x-amz-date"] == f"{moment:%Y%m%dT%H%M%SZ}"
    assert headers["x-amz-content-sha256"] == hashlib.sha256(BODY).hexdigest()
    assert ("x-amz-security-token" in headers) == (token is not None)
    assert headers["authorization"] == (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, "
        f"Signature={wanted}"
    )


def test_secrets_are_in_no_repr_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = signer(KEYS, REGION)
    made(request(), f"https://bedrock-runtime.eu-west-1.amazonaws.com{PATH}")
    origin = Origin.parse("http://127.0.0.1:1")
    shown = caplog.text + repr(KEYS) + repr(made) + repr(Signed(Pool.__new__(Pool), origin, made))
    assert TOKEN not in shown
    assert KEYS.secret_access_key not in shown


def test_missing_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['botocore'] = None\n"
        "from standpipe.errors import ConfigError\n"
        "from standpipe.upstream.signing import Credentials, signer\n"
        "try: signer(Credentials('a', 'b'), 'eu-west-1')\n"
        "except ConfigError as error: print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "standpipe[bedrock]" in said.stdout


def test_botocore_is_not_imported_before_it_is_needed() -> None:
    program = (
        "import sys, standpipe.upstream.signing, standpipe.providers.bedrock\n"
        "print([name for name in sys.modules if name.startswith('botocore')])\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("vpce-1-2.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com", "ap-southeast-2"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("proxy.example.org", None),
        ("127.0.0.1", None),
    ],
)
def test_region_is_read_from_the_hosts_name(host: str, region: str | None) -> None:
    assert region_of(host) == region
