"""What the protocol answers by itself: raw bytes in, a status and a JSON body out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_http import DEADLINE, Answer, Echo, ask, hang_up, listening, parse, run
from typing_extensions import override

from standpipe.server.service import Limits

POST = b"POST /v1 HTTP/1.1\r\nHost: a\r\n"
SMALL = Limits(header_bytes=1000, headers=10, body_bytes=100)

REFUSED: dict[str, tuple[bytes, int, str]] = {
    "no method": (b"\x16\x03\x01\x02\x00", 400, "PARSE_ERROR"),
    "unknown method": (b"FETCH / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "http 2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "PARSE_ERROR"),
    "http 0.9": (b"GET / HTTP/0.9\r\n\r\n", 400, "PARSE_ERROR"),
    "http 1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", 400, "PARSE_ERROR"),
    "space in target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "raw bytes in target": (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "target is no url": (
        b"GET http://u:p@h:99999/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "PARSE_ERROR",
    ),
    "folded header": (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400, "PARSE_ERROR"),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "PARSE_ERROR"),
    "nul in header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400, "PARSE_ERROR"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"),
    "two hosts in http 1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "BAD_REQUEST"),
    "list of hosts": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "BAD_REQUEST"),
    "connect": (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, "METHOD_NOT_SUPPORTED"),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "PARSE_ERROR"),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", 400, "PARSE_ERROR"),
    "signed length": (POST + b"Content-Length: +1\r\n\r\na", 400, "PARSE_ERROR"),
    "endless length": (POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n", 400, "PARSE_ERROR"),
    "length and chunks": (
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "PARSE_ERROR",
    ),
    "chunks and length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        400,
        "PARSE_ERROR",
    ),
    "other transfer encoding": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400, "PARSE_ERROR"),
    "two transfer encodings": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        400,
        "PARSE_ERROR",
    ),
    "chunks in http 1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "PARSE_ERROR",
    ),
    "bad chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "PARSE_ERROR"),
    "compressed body": (
        POST + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\na",
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "long body": (POST + b"Content-Length: 101\r\n\r\n", 413, "PAYLOAD_TOO_LARGE"),
    "long chunked body": (
        POST
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"20\r\n"
        + b"a" * 32
        + b"\r\n"
        + b"50\r\n"
        + b"a" * 80,
        413,
        "PAYLOAD_TOO_LARGE",
    ),
    "long body announced": (
        POST + b"Expect: 100-continue\r\nContent-Length: 101\r\n\r\n",
        413,
        "PAYLOAD_TOO_LARGE",
    ),
    "long header": (POST + b"X: " + b"a" * 1000 + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
    "long target": (b"GET /" + b"a" * 1000 + b" HTTP/1.1\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
    "many headers": (POST + b"X: a\r\n" * 10 + b"\r\n", 431, "HEADERS_TOO_LARGE"),
}


def assert_refusal(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.json["message"] == answer.json["error"]["message"]
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["connection"] == "close"
    assert uuid.UUID(answer.headers["x-request-id"]).version == 7


async def refusal(limits: Limits, *pieces: bytes) -> Answer:
    async with listening(Echo(), limits) as server:
        (answer,) = parse(await ask(server.port, *pieces))
        return answer


@pytest.mark.parametrize("case", REFUSED)
def test_bad_request_is_refused(case: str) -> None:
    raw, status, code = REFUSED[case]

    async def scenario() -> None:
        assert_refusal(await refusal(SMALL, raw), status, code)

    run(scenario())


@pytest.mark.parametrize("case", REFUSED)
def test_bad_request_is_refused_however_it_is_cut(case: str) -> None:
    raw, status, code = REFUSED[case]

    async def scenario() -> None:
        async with listening(Echo(), SMALL) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            answered = asyncio.create_task(reader.read())
            for at in range(len(raw)):
                if answered.done():
                    break
                writer.write(raw[at : at + 1])
                await asyncio.sleep(0)
            (answer,) = parse(await asyncio.wait_for(answered, DEADLINE))
            await hang_up(writer)
            assert_refusal(answer, status, code)

    run(scenario())


def test_header_that_never_ends_is_refused_before_it_does() -> None:
    async def scenario() -> None:
        pieces = [b"a" * 400] * 4
        answer = await refusal(SMALL, POST + b"X: ", *pieces)
        assert_refusal(answer, 431, "HEADERS_TOO_LARGE")

    run(scenario())


def test_trailer_that_never_ends_is_refused_before_it_does() -> None:
    async def scenario() -> None:
        head = POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
        answer = await refusal(SMALL, head + b"X: ", *[b"a" * 400] * 4)
        assert_refusal(answer, 431, "HEADERS_TOO_LARGE")

    run(scenario())


def test_headers_within_the_limits_pass() -> None:
    async def scenario() -> None:
        last = b"Connection: close\r\nX: %b\r\n\r\n"
        room = SMALL.header_bytes - len(POST + last)
        async with listening(Echo(), SMALL) as server:
            raw = await ask(server.port, POST + last % (b"a" * room))
            assert parse(raw)[0].status == 200
            raw = await ask(server.port, POST + b"X: a\r\n" * 7 + last % b"")
            assert parse(raw)[0].status == 200

    run(scenario())


def test_half_a_head_is_answered_408() -> None:
    async def scenario() -> None:
        answer = await refusal(Limits(header_timeout=0.1), b"POST /v1 HTTP/1.1\r\nHo")
        assert_refusal(answer, 408, "TIMEOUT")

    run(scenario())


def test_head_that_trickles_in_is_answered_408() -> None:
    async def scenario() -> None:
        async with listening(Echo(), Limits(header_timeout=0.3)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            answered = asyncio.create_task(reader.read())
            writer.write(POST)
            while not answered.done():
                writer.write(b"X: a\r\n")
                await asyncio.sleep(0.02)
            assert_refusal(parse(answered.result())[0], 408, "TIMEOUT")
            await hang_up(writer)

    run(scenario())


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
def test_connection_without_a_request_is_closed_in_silence(sent: bytes) -> None:
    async def scenario() -> None:
        async with listening(Echo(), Limits(header_timeout=0.1)) as server:
            assert await ask(server.port, sent) == b""

    run(scenario())


def test_half_a_body_is_answered_408_and_frees_the_application() -> None:
    async def scenario() -> None:
        app = Echo()
        async with listening(app, Limits(body_timeout=0.1)) as server:
            raw = await ask(server.port, POST + b"Content-Length: 5\r\n\r\n", b"ab")
            assert_refusal(parse(raw)[0], 408, "TIMEOUT")
        assert app.disconnects == 1

    run(scenario())


def test_client_that_is_still_sending_reads_its_refusal() -> None:
    async def scenario() -> None:
        length = 4_000_000
        head = POST + b"Content-Length: %d\r\n\r\n" % length
        answer = await refusal(SMALL, head, *[b"a" * 100_000] * (length // 100_000))
        assert_refusal(answer, 413, "PAYLOAD_TOO_LARGE")

    run(scenario())


def test_client_that_stays_after_its_refusal_is_hung_up_on() -> None:
    async def scenario() -> None:
        async with listening(Echo(), Limits(linger=0.1)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"nonsense\r\n\r\n")
            (answer,) = parse(await reader.read())
            assert answer.status == 400
            # We keep our side open: the server's end of it must not wait for us.
            await asyncio.wait_for(until_hung_up(writer), DEADLINE)

    run(scenario())


async def until_hung_up(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"more")
            await writer.drain()
            await asyncio.sleep(0.01)
    await hang_up(writer)


def test_refusal_waits_for_the_answers_before_it() -> None:
    async def scenario() -> None:
        async with listening(Echo(), SMALL) as server:
            good = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
            raw = await ask(server.port, good % 1 + good % 2 + b"nonsense\r\n\r\n" + good % 3)
            first, second, refused = parse(raw)
            assert [first.json["path"], second.json["path"]] == ["/1", "/2"]
            assert_refusal(refused, 400, "PARSE_ERROR")

    run(scenario())


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=80), st.sampled_from([b"", b"GET ", b"GET /", POST]))
def test_noise_is_refused_and_breaks_nothing(noise: bytes, start: bytes) -> None:
    troubles = Troubles()

    async def scenario() -> None:
        limits = Limits(header_timeout=0.02, body_timeout=0.02, keep_alive=0.02, linger=0.02)
        async with listening(Echo(), limits) as server:
            for answer in parse(await ask(server.port, start + noise)):
                assert answer.status in {200, 400, 405, 408, 413, 415, 431}

    logging.getLogger().addHandler(troubles)
    try:
        run(scenario())
    finally:
        logging.getLogger().removeHandler(troubles)
    assert not troubles.records


class Troubles(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
