"""Every error that a caller can be answered with, provoked for real: its status, body, headers."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import serving
from asking import CHAT, HI
from laws.writing import request
from misbehaving import Misbehaving
from raw_http import Answer, ask, listening, parse, run
from serving import Standpipe
from typing_extensions import override

from standpipe import app, config, errors
from standpipe.engine.address import Engines
from standpipe.errors import ApiError, Refused
from standpipe.spool import names
from standpipe.spool.writer import Spool
from standpipe.store import Store
from standpipe.store.rows import Key

PATH = f"/v1{CHAT}"
AUTH = b"Authorization: Bearer " + serving.KEY.encode()
JSON = b"Content-Type: application/json"
READER = "reader-key-0123456789"
LIMITED, BROKE = "limited-key-0123456789", "broke-key-0123456789"
LIMIT = 4096


@dataclass(frozen=True)
class Expected:
    """How to provoke an error, and what it is answered with."""

    raw: bytes
    status: int
    code: str
    type: str
    openai_code: str
    #: In the message.
    says: str
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def post(body: bytes, *headers: bytes, key: bytes = AUTH) -> bytes:
    return request("POST", PATH, body, key, *(headers or (JSON,)))


def chat(model: str, **fields: Any) -> bytes:
    return post(json.dumps({"model": model, "messages": HI, **fields}).encode())


INVALID = "invalid_request_error"
SPENT = {"x-should-retry": "false"}

#: One row for each class; Refused has more, for it is as the provider sent it.
ERRORS: dict[type[ApiError], list[Expected]] = {
    errors.Unparsable: [
        Expected(post(b"{"), 400, "PARSE_ERROR", INVALID, "PARSE_ERROR", "Failed to parse"),
        Expected(b"nonsense\r\n\r\n", 400, "PARSE_ERROR", INVALID, "PARSE_ERROR", "not HTTP"),
    ],
    errors.BadRequest: [
        Expected(
            chat("ok", n=0),
            400,
            "BAD_REQUEST",
            INVALID,
            "BAD_REQUEST",
            "Input validation failed: n: must be a whole number",
            param="n",
        ),
        Expected(
            chat("anthropic:claude-3-opus"),
            400,
            "BAD_REQUEST",
            INVALID,
            "BAD_REQUEST",
            "no provider 'anthropic' is configured",
            param="model",
        ),
    ],
    errors.Unauthorized: [
        Expected(
            post(b"{}", JSON, key=b"Authorization: Bearer wrong"),
            401,
            "UNAUTHORIZED",
            INVALID,
            "invalid_api_key",
            "UNAUTHORIZED",
        ),
    ],
    errors.PaymentRequired: [
        Expected(
            chat("ok").replace(serving.KEY.encode(), BROKE.encode()),
            402,
            "PAYMENT_REQUIRED",
            "insufficient_quota",
            "insufficient_quota",
            "This key has spent its budget of 0 dollars a day (UTC)",
        ),
    ],
    errors.RateLimited: [
        Expected(
            chat("ok").replace(serving.KEY.encode(), LIMITED.encode()),
            429,
            "TOO_MANY_REQUESTS",
            "requests",
            "rate_limit_exceeded",
            "this key may make 0 requests a minute",
            headers={"x-should-retry": "false"},
        ),
    ],
    errors.Forbidden: [
        Expected(
            chat("ok").replace(serving.KEY.encode(), READER.encode()),
            403,
            "FORBIDDEN",
            "permission_error",
            "FORBIDDEN",
            "Read-only OpenPipe API keys cannot access the base OpenAI API",
        ),
    ],
    errors.NotFound: [
        Expected(
            chat("openpipe:x"),
            404,
            "NOT_FOUND",
            INVALID,
            "model_not_found",
            "The model `openpipe:x` does not exist",
            param="model",
        ),
        Expected(
            request("GET", "/v1/x", None, AUTH), 404, "NOT_FOUND", INVALID, "NOT_FOUND", "Not found"
        ),
    ],
    errors.MethodNotAllowed: [
        Expected(
            request("PUT", PATH, b"{}", AUTH, JSON),
            405,
            "METHOD_NOT_SUPPORTED",
            INVALID,
            "METHOD_NOT_SUPPORTED",
            "PUT is not offered here",
            headers={"allow": "GET, HEAD, POST"},
        ),
    ],
    errors.BodyTimeout: [
        Expected(
            post(b"{}")[:-1],
            408,
            "TIMEOUT",
            INVALID,
            "TIMEOUT",
            "the request's body stopped coming",
        ),
    ],
    errors.BodyTooLarge: [
        Expected(
            post(b" " * (LIMIT + 1)),
            413,
            "PAYLOAD_TOO_LARGE",
            INVALID,
            "PAYLOAD_TOO_LARGE",
            f"over {LIMIT} bytes",
        ),
    ],
    errors.WrongMediaType: [
        Expected(
            post(b"{}", b"Content-Type: text/plain"),
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            INVALID,
            "UNSUPPORTED_MEDIA_TYPE",
            "must be application/json, not 'text/plain'",
        ),
    ],
    errors.HeadersTooLarge: [
        Expected(
            post(b"{}", JSON, *[b"X: a"] * 200),
            431,
            "HEADERS_TOO_LARGE",
            INVALID,
            "HEADERS_TOO_LARGE",
            "over 200 headers",
        ),
    ],
    errors.Refused: [
        Expected(
            chat("status:402"),
            402,
            "PAYMENT_REQUIRED",
            INVALID,
            "PAYMENT_REQUIRED",
            "The provider answered 402 as it was asked to",
        ),
        Expected(
            chat("status:429"),
            429,
            "TOO_MANY_REQUESTS",
            INVALID,
            "rate_limit_exceeded",
            "The provider answered 429",
            headers={"retry-after": "2"} | SPENT,
        ),
        Expected(
            chat("status:500"),
            500,
            "INTERNAL_SERVER_ERROR",
            "server_error",
            "INTERNAL_SERVER_ERROR",
            "The provider answered 500",
            headers=SPENT,
        ),
    ],
    errors.KeyRefused: [
        Expected(
            chat("status:401"),
            502,
            "BAD_GATEWAY",
            "api_error",
            "BAD_GATEWAY",
            "provider 'openai' refused its key with status 401",
        ),
    ],
    errors.Unreachable: [
        Expected(
            chat("away:any"),
            502,
            "BAD_GATEWAY",
            "api_error",
            "BAD_GATEWAY",
            "cannot reach 127.0.0.1:",
            headers=SPENT,
        ),
    ],
    errors.NotACompletion: [
        Expected(
            chat("not-json"),
            502,
            "BAD_GATEWAY",
            "api_error",
            "BAD_GATEWAY",
            "answered 200 with something that is not JSON",
        ),
        Expected(
            chat("redirect"), 502, "BAD_GATEWAY", "api_error", "BAD_GATEWAY", "status 307, not 200"
        ),
    ],
    errors.Cut: [
        Expected(
            chat("cut"), 502, "BAD_GATEWAY", "api_error", "BAD_GATEWAY", "ended before its end"
        ),
    ],
    errors.Silent: [
        Expected(
            chat("silent"),
            504,
            "GATEWAY_TIMEOUT",
            "api_error",
            "GATEWAY_TIMEOUT",
            "within timeouts.first_byte, 0.3 seconds",
            headers=SPENT,
        ),
    ],
    errors.Unavailable: [
        Expected(
            chat("smollm2-135m-instruct"),
            503,
            "SERVICE_UNAVAILABLE",
            "server_error",
            "SERVICE_UNAVAILABLE",
            "/nowhere.gguf",
            headers={"retry-after": "60"},
        ),
    ],
}
#: Needs a bug; see below.
BY_A_BUG = errors.InternalError

ROWS = [(kind, row) for kind, rows in ERRORS.items() for row in rows]


def leaves(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for each in below:
        yield from leaves(each)


def test_every_error_has_a_row() -> None:
    assert {*ERRORS, BY_A_BUG} == set(leaves(ApiError))


def test_row_says_what_its_class_says() -> None:
    for kind, row in ROWS:
        if kind is not Refused:
            assert (row.status, row.code, row.type) == (kind.status, kind.code, kind.openai_type)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Misbehaving) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("errors") / "home"
    openai = serving.provider("openai", upstream.url, api_key='"sk-upstream"')
    openai += "timeouts = { first_byte = 0.3 }\n"
    away = serving.provider("away", f"http://127.0.0.1:{serving.free_port()}/v1")
    local = '[local]\nenabled = true\ngguf = "/nowhere.gguf"\n'
    chosen = {"SERVER_BODY_TIMEOUT": "0.3", "SERVER_MAX_BODY_BYTES": str(LIMIT)}
    with serving.serving(home, openai + away + local, LOCAL_ENABLED="true", **chosen) as running:
        with closing(Store.open(f"sqlite:///{home / 'standpipe.db'}")) as store:
            owner = store.projects()[0].id
            store.add_key(owner, name="reader", read_only=True, token=READER)
            for token, limits in (
                (LIMITED, '{"requests_per_minute": 0}'),
                (BROKE, '{"dollars_per_day": "0"}'),
            ):
                store.add_key(owner, name=token, read_only=False, token=token, limits=limits)
        yield running


def assert_is(answer: Answer, expected: Expected) -> None:
    assert answer.status == expected.status, answer.body
    body = answer.json
    assert body["code"] == expected.code
    assert expected.says in body["message"]
    issues = body.pop("issues", None)
    assert body == {
        "message": body["message"],
        "code": expected.code,
        "error": {
            "message": body["message"],
            "type": expected.type,
            "param": expected.param,
            "code": expected.openai_code,
        },
    }
    if issues is not None:
        assert body["message"] == f"Input validation failed: {issues[0]['message']}"
    assert answer.headers["content-type"] == "application/json"
    assert uuid.UUID(answer.headers["x-request-id"]).version == 7
    told = {name: answer.headers.get(name) for name in ("retry-after", "x-should-retry", "allow")}
    assert {name: value for name, value in told.items() if value is not None} == expected.headers


@pytest.mark.parametrize(
    ("kind", "expected"), ROWS, ids=[f"{n}-{kind.__name__}" for n, (kind, _) in enumerate(ROWS)]
)
def test_error_is_answered_with_its_status_and_body(
    server: Standpipe, kind: type[ApiError], expected: Expected
) -> None:
    (answer,) = parse(asyncio.run(ask(server.port, expected.raw)))
    assert_is(answer, expected)


def test_failed_stream_ends_with_the_error_and_no_done(server: Standpipe) -> None:
    body = {"model": "cut", "messages": HI, "stream": True}
    answer = serving.call(server, "POST", CHAT, body)
    assert answer.status == 200
    *_, last, rest = answer.body.split(b"\n\n")
    assert rest == b""
    assert b"[DONE]" not in answer.body
    told = json.loads(last.removeprefix(b"data: "))
    assert told.keys() == {"error"}
    assert told["error"].pop("message")
    assert told["error"] == {"type": "api_error", "param": None, "code": "BAD_GATEWAY"}


# --- our own trouble -----------------------------------------------------------------------------


class BrokenKeys(Store):
    """A store with a bug in its look-up of keys."""

    @override
    def key_by_hash(self, token_hash: bytes) -> Key | None:
        raise ValueError("a bug")


class BrokenReading(Store):
    """A store with a bug in what it reads."""

    @override
    def completion(self, project_id: str, name: str) -> Any:
        raise ValueError("a bug")


@contextmanager
def built(home: Path, store: Store) -> Iterator[app.App]:
    """Build the application on a store."""
    environ = {"STANDPIPE_HOME": str(home), "STANDPIPE_LOCAL_ENABLED": "false"}
    settings = config.load(None, environ)
    with closing(store):
        spool = Spool(settings.spool_dir, boot=names.new_boot(), worker=0, segment_bytes=1 << 20)
        with closing(spool):
            yield app.build(settings, store=store, spool=spool, engines=Engines())


def with_key(store: Store) -> Store:
    """Return the store with one project and the tests' key in it."""
    store.migrate()
    owner = store.add_project("default")
    store.add_key(owner.id, name="", read_only=False, token=serving.KEY)
    return store


BUG = Expected(
    b"",
    500,
    "INTERNAL_SERVER_ERROR",
    "server_error",
    "INTERNAL_SERVER_ERROR",
    "internal",
)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (BrokenKeys, post(b"{}")),
        (BrokenKeys, request("GET", "/v1/models", None, AUTH)),
        (BrokenReading, request("GET", f"{PATH}/a", None, AUTH)),
    ],
    ids=["chat", "key", "read"],
)
def test_bug_is_answered_500_and_found_in_the_log_by_its_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: type[Store], raw: bytes
) -> None:
    async def scenario() -> None:
        store = with_key(kind.open(f"sqlite:///{tmp_path}/standpipe.db"))
        with built(tmp_path, store) as application:
            async with listening(application) as running:
                (answer,) = parse(await ask(running.port, raw))
        assert_is(answer, BUG)
        assert b"a bug" not in answer.body
        logged = [each for each in caplog.records if each.exc_info]
        assert len(logged) == 1
        assert answer.headers["x-request-id"] in logged[0].getMessage()

    run(scenario())


@pytest.mark.parametrize(
    "raw",
    [post(b"{}"), request("GET", PATH, None, AUTH), request("GET", "/v1/models", None, AUTH)],
    ids=["chat", "list", "models"],
)
def test_store_that_is_away_is_503_and_never_401(tmp_path: Path, raw: bytes) -> None:
    async def scenario() -> None:
        store = Store.open(f"sqlite:///{tmp_path}/nowhere/standpipe.db")
        with built(tmp_path, store) as application:
            async with listening(application) as running:
                (answer,) = parse(await ask(running.port, raw))
        assert answer.status == 503, answer.body
        assert answer.json["code"] == "SERVICE_UNAVAILABLE"
        assert answer.headers["retry-after"] == "1"

    run(scenario())
