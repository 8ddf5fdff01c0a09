"""TLS at the door, beside the limits of the protocol behind it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from raw_http import DEADLINE, Echo, Running, ask, hang_up, listening, parse, read_answer, run

from standpipe.config import Server
from standpipe.errors import ConfigError
from standpipe.server.door import Door, door
from standpipe.server.service import Limits

FILES = Path(__file__).parents[1] / "upstream" / "tls"
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def behind_tls() -> Door:
    return door(
        Server(tls_certificate=str(FILES / "server.pem"), tls_key=str(FILES / "server.key"))
    )


@asynccontextmanager
async def connected(
    server: Running, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    trusting = context or ssl.create_default_context(cafile=FILES / "ca.pem")
    reader, writer = await asyncio.open_connection("localhost", server.port, ssl=trusting)
    try:
        yield reader, writer
    finally:
        await hang_up(writer)


def test_requests_are_answered_and_the_connection_kept() -> None:
    async def scenario() -> None:
        app = Echo()
        context = ssl.create_default_context(cafile=FILES / "ca.pem")
        context.set_alpn_protocols(["h2", "http/1.1"])
        async with (
            listening(app, door=behind_tls()) as server,
            connected(server, context) as (reader, writer),
        ):
            for _ in range(2):
                writer.write(GET)
                assert (await read_answer(reader)).json["path"] == "/a"
            spoken = writer.get_extra_info("ssl_object")
            assert spoken.selected_alpn_protocol() == "http/1.1"
            assert spoken.version() in {"TLSv1.2", "TLSv1.3"}
        assert app.asked[0]["scheme"] == "https"

    run(scenario())


def test_last_answer_of_a_connection_is_whole_and_ends_it() -> None:
    async def scenario() -> None:
        body = b"x" * 3_000_000
        head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n"
        async with (
            listening(Echo(), door=behind_tls()) as server,
            connected(server) as (reader, writer),
        ):
            writer.write(head + body)
            (answer,) = parse(await asyncio.wait_for(reader.read(), DEADLINE))
        assert len(answer.json["body"]) == len(body)

    run(scenario())


def handshake(server: Running, receive_buffer: int = 0) -> ssl.SSLSocket:
    """Return a connection that does nothing by itself; call it in a thread."""
    raw = socket.socket()
    if receive_buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.settimeout(DEADLINE)
    raw.connect(("127.0.0.1", server.port))
    trusting = ssl.create_default_context(cafile=FILES / "ca.pem")
    return trusting.wrap_socket(raw, server_hostname="localhost")


def test_last_answer_is_whole_for_a_client_that_reads_late() -> None:
    size = 6_000_000  # more than the kernel takes of us

    def late(server: Running) -> bytes:
        head = f"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
        with handshake(server, receive_buffer=65536) as wire:
            wire.sendall(head.encode() + b"x" * size)
            pieces: list[bytes] = []
            time.sleep(1.0)  # five times the linger
            while piece := wire.recv(65536):
                pieces.append(piece)
            return b"".join(pieces)

    async def scenario() -> None:
        async with listening(Echo(), Limits(linger=0.2), door=behind_tls()) as server:
            (answer,) = parse(await asyncio.to_thread(late, server))
        assert len(answer.json["body"]) == size

    run(scenario())


def test_client_that_does_not_say_goodbye_holds_up_no_stop() -> None:
    def idle(server: Running) -> ssl.SSLSocket:
        kept = handshake(server)
        kept.sendall(GET)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200")
        return kept

    async def scenario() -> None:
        async with listening(Echo(), door=behind_tls(), grace=3 * DEADLINE) as server:
            kept = await asyncio.to_thread(idle, server)
        kept.close()

    run(scenario())


def test_limits_hold_behind_tls() -> None:
    async def scenario() -> None:
        small = Limits(header_timeout=0.2, body_bytes=10)
        async with listening(Echo(), small, door=behind_tls()) as server:
            for raw, status in (
                (b"GET / HTTP/1.1\r\n", 408),
                (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413),
            ):
                async with connected(server) as (reader, writer):
                    writer.write(raw)
                    (answer,) = parse(await asyncio.wait_for(reader.read(), DEADLINE))
                    assert answer.status == status

    run(scenario())


def test_plain_http_gets_no_http_and_a_clean_close() -> None:
    async def scenario() -> None:
        app = Echo()
        async with listening(app, door=behind_tls()) as server:
            answer = await ask(server.port, GET)
            assert b"HTTP" not in answer
            async with connected(server) as (reader, writer):
                writer.write(GET)
                assert (await read_answer(reader)).status == 200
        assert len(app.asked) == 1

    run(scenario())


def test_slow_handshake_holds_up_nobody_and_ends_in_time() -> None:
    async def scenario() -> None:
        async with listening(Echo(), Limits(header_timeout=0.5), door=behind_tls()) as server:
            slow_reader, slow = await asyncio.open_connection("localhost", server.port)
            slow.write(b"\x16\x03\x01")
            async with connected(server) as (reader, writer):
                writer.write(GET)
                assert (await read_answer(reader)).status == 200
            assert b"HTTP" not in await asyncio.wait_for(slow_reader.read(), DEADLINE)
            await hang_up(slow)

    run(scenario())


def test_handshake_that_has_begun_when_the_server_is_replaced_gets_its_answer() -> None:
    async def scenario() -> None:
        async with listening(Echo(), door=behind_tls()) as server:
            raw = socket.create_connection(("localhost", server.port), DEADLINE)
            raw.setblocking(False)
            await asyncio.sleep(0.05)  # until it is accepted
            server.replace()
            await asyncio.sleep(0.05)
            context = ssl.create_default_context(cafile=FILES / "ca.pem")
            reader, writer = await asyncio.open_connection(
                sock=raw, ssl=context, server_hostname="localhost"
            )
            writer.write(GET)
            assert (await read_answer(reader)).status == 200
            await hang_up(writer)

    run(scenario())


def test_old_tls_is_refused() -> None:
    async def scenario() -> None:
        context = ssl.create_default_context(cafile=FILES / "ca.pem")
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with listening(Echo(), door=behind_tls()) as server:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                async with connected(server, context):
                    pass

    run(scenario())


@pytest.mark.parametrize(
    ("certificate", "key", "says"),
    [
        ("gone.pem", "server.key", r"server\.tls_certificate = .*gone\.pem.*No such file"),
        ("server.pem", "gone.key", r"server\.tls_key = .*gone\.key.*No such file"),
        ("server.pem", "server.pem", "cannot be used together"),
        ("ca.pem", "server.key", "KEY_VALUES_MISMATCH"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    tmp_path: Path, certificate: str, key: str, says: str
) -> None:
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    with pytest.raises(ConfigError, match=says):
        door(Server(tls_certificate=str(tmp_path / certificate), tls_key=str(tmp_path / key)))


def test_total_time_of_a_body_is_limited_however_it_trickles() -> None:
    async def scenario() -> None:
        async with listening(Echo(), Limits(body_total=0.3)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
            answered = asyncio.create_task(reader.read())
            while not answered.done():
                writer.write(b"x")
                await asyncio.sleep(0.02)
            (answer,) = parse(answered.result())
            assert answer.status == 408
            assert "in time" in answer.json["message"]
            await hang_up(writer)

    run(scenario())
