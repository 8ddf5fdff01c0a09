"""Pages in browsers: preflights, and what every answer tells."""

from __future__ import annotations

import pytest
from raw_http import Echo, ask, listening, parse, run
from starlette.types import Receive, Scope, Send

from standpipe.server.cors import Cors
from standpipe.server.door import Door
from standpipe.server.service import Limits

PAGE = "https://app.example"
#: What OpenAI's client sends from a page.
ASKED = (
    "authorization,content-type,x-stainless-arch,x-stainless-helper-method,x-stainless-lang,"
    "x-stainless-os,x-stainless-package-version,x-stainless-retry-count,x-stainless-runtime,"
    "x-stainless-runtime-version,x-stainless-timeout,op-log-request,standpipe-fallback"
)


def request(method: str = "GET", origin: str | None = PAGE, **headers: str) -> bytes:
    lines = [f"{method} /v1/models HTTP/1.1", "Host: a", "Connection: close"]
    lines += [f"Origin: {origin}"] if origin else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def preflight(origin: str = PAGE, asked: str = ASKED) -> bytes:
    return request(
        "OPTIONS",
        origin,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers=asked,
    )


def door(*origins: str) -> Door:
    return Door(cors=Cors(origins or [PAGE]))


async def headers(port: int, raw: bytes) -> tuple[int, dict[str, str]]:
    (answer,) = parse(await ask(port, raw))
    return answer.status, answer.headers


def test_preflight_is_answered_without_asking_the_application() -> None:
    async def scenario() -> None:
        app = Echo()
        async with listening(app, door=door()) as server:
            status, told = await headers(server.port, preflight())
        assert status == 204
        assert told["access-control-allow-origin"] == PAGE
        assert told["access-control-allow-headers"].replace(" ", "") == ASKED
        assert "POST" in told["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in told
        assert app.asked == []

    run(scenario())


def test_header_that_no_client_sends_is_not_allowed() -> None:
    async def scenario() -> None:
        async with listening(Echo(), door=door()) as server:
            _, told = await headers(server.port, preflight(asked="content-type,x-evil,Cookie"))
        assert told["access-control-allow-headers"] == "content-type"

    run(scenario())


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil", "null"])
def test_other_pages_are_told_nothing(origin: str) -> None:
    async def scenario() -> None:
        app = Echo()
        async with listening(app, door=door()) as server:
            for raw in (preflight(origin), request(origin=origin)):
                _, told = await headers(server.port, raw)
                assert "access-control-allow-origin" not in told
                assert told["vary"] == "origin"
        assert len(app.asked) == 2

    run(scenario())


def test_star_is_every_page_and_asks_for_no_credentials() -> None:
    async def scenario() -> None:
        async with listening(Echo(), door=door("*")) as server:
            for raw in (preflight("null"), request(origin="https://any.example")):
                _, told = await headers(server.port, raw)
                assert told["access-control-allow-origin"] == "*"
                assert "access-control-allow-credentials" not in told

    run(scenario())


def test_off_by_default() -> None:
    async def scenario() -> None:
        async with listening(Echo()) as server:
            _, told = await headers(server.port, request())
        assert not [name for name in told if name.startswith("access-control") or name == "vary"]

    run(scenario())


async def stream(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
    await send({"type": "http.response.body"})


async def crash(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError


def test_streams_and_errors_tell_it_too(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        small = Limits(header_bytes=1000, body_bytes=10)
        for app, raw in (
            (stream, request()),
            (crash, request()),
            (Echo(), request("POST", Content_Length="11")),
            (Echo(), request(X="x" * 2000)),
        ):
            async with listening(app, small, door=door()) as server:
                answer = await ask(server.port, raw)
                assert b"access-control-allow-origin: https://app.example\r\n" in answer
                assert b"access-control-expose-headers: *\r\n" in answer

    run(scenario())
    assert "failed" in caplog.text
