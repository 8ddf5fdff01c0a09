"""Which proxy is taken, and going through it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from misbehaving import Misbehaving, body_for, running, serving

from standpipe.errors import Unreachable
from standpipe.upstream import Origin, Pool, Request, proxy_for
from standpipe.upstream.proxy import Proxy

Run = Callable[[Coroutine[Any, Any, None]], None]

TLS = Path(__file__).parent / "tls"
ENVIRONMENT = {"HTTPS_PROXY": "http://secure:1", "http_proxy": "http://plain:2"}


def ask(model: str) -> Request:
    return Request("POST", "/chat/completions", (), body_for(model))


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://api.openai.com/v1", {}, None),
        ("https://api.openai.com/v1", ENVIRONMENT, "http://secure:1"),
        ("http://api.openai.com/v1", ENVIRONMENT, "http://plain:2"),
        ("http://a.test", {"ALL_PROXY": "http://all:3"}, "http://all:3"),
        (
            "http://a.test",
            {"http_proxy": "http://low:1", "HTTP_PROXY": "http://up:2"},
            "http://low:1",
        ),
        ("http://a.test", {"http_proxy": " "}, None),
        ("http://127.0.0.1:8000", ENVIRONMENT, None),
        ("http://localhost:8000", ENVIRONMENT, None),
        ("http://[::1]:8000", ENVIRONMENT, None),
    ],
)
def test_proxy_follows_the_scheme(url: str, environ: dict[str, str], expected: str | None) -> None:
    assert proxy_for(url, environ) == expected


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("*", "https://api.test", True),
        ("api.test", "https://api.test", True),
        ("API.TEST", "https://api.test", True),
        (" other.test , api.test ", "https://api.test", True),
        ("test", "https://api.test", True),
        (".test", "https://api.test", True),
        ("*.test", "https://api.test", True),
        ("pi.test", "https://api.test", False),
        ("api.test.example", "https://api.test", False),
        ("api.test:443", "https://api.test", True),
        ("api.test:8443", "https://api.test", False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("10.1.2.3:443", "https://10.1.2.3", True),
        ("10.1.2.3:80", "https://10.1.2.3", False),
        ("fd00::/8", "https://[fd00::1]", True),
        ("fd00::1", "https://[fd00::1]", True),
        ("[fd00::1]:443", "https://[fd00::1]", True),
        ("not/a/network", "https://10.1.2.3", False),
        ("10.0.0.0/8", "https://api.test", False),
        (",,", "https://api.test", False),
        ("", "https://api.test", False),
    ],
)
def test_no_proxy_exempts(no_proxy: str, url: str, direct: bool) -> None:
    chosen = proxy_for(url, {"https_proxy": "http://proxy:1", "no_proxy": no_proxy})
    assert (chosen is None) == direct


def test_proxy_hides_its_password() -> None:
    proxy = Proxy.parse("http://user:p%40ss@proxy:3128")
    assert repr(proxy) == "Proxy(proxy:3128)"
    assert proxy.authorization == b"Basic dXNlcjpwQHNz"
    assert Proxy.parse("proxy:3128") == Proxy("proxy", 3128)
    assert Proxy.parse("http://proxy") == Proxy("proxy", 80)


@pytest.mark.parametrize("url", ["socks5://user:secret@proxy:1", "http://", "https://proxy:1"])
def test_useless_proxy_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="proxy's URL") as raised:
        Pool(Origin.parse("https://api.test"), proxy=url)
    assert "secret" not in str(raised.value)


@contextlib.asynccontextmanager
async def proxying(seen: list[bytes], refusal: bytes = b"") -> AsyncIterator[int]:
    """A CONNECT proxy; everything goes to 127.0.0.1, and `seen` gets the requests' heads."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        if refusal:
            writer.write(refusal)
            return
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\nX-Proxy: 1\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(copy(reader, back))
            group.create_task(copy(there, writer))

    async with serving(serve) as port:
        yield port


def test_plain_call_goes_through_the_proxy(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        seen: list[bytes] = []
        async with proxying(seen) as port:
            origin = Origin.parse(f"http://api.test:{upstream.port}/v1")
            pool = Pool(origin, proxy=f"http://user:pass@127.0.0.1:{port}")
            for _ in range(3):
                with await pool.send(ask("ok")) as answer:
                    assert b"Hello" in await answer.body(1_000_000)
            await pool.close()
            await upstream.until(lambda: upstream.open_connections == 0)
        target = f"api.test:{upstream.port}"
        assert seen == [
            f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
            "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n".encode()
        ]
        assert upstream.last.headers["host"] == target
        assert "proxy-authorization" not in upstream.last.headers

    run(main())


def test_tls_goes_through_the_proxy_to_the_provider(run: Run) -> None:
    async def main() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
        with running(tls=context) as secure:
            async with proxying([]) as port:
                way: dict[str, Any] = {"proxy": f"127.0.0.1:{port}", "ca_file": TLS / "ca.pem"}
                pool = Pool(Origin.parse(f"https://localhost:{secure.port}/v1"), **way)
                with await pool.send(ask("ok")) as answer:
                    assert b"Hello" in await answer.body(1_000_000)
                await pool.close()
                # The certificate is for `localhost`, and the proxy leads there all the same.
                pool = Pool(Origin.parse(f"https://api.test:{secure.port}/v1"), **way)
                with pytest.raises(Unreachable, match="cannot be trusted: Hostname mismatch"):
                    await pool.send(ask("ok"))
                assert pool._taken == 0
                await secure.until(lambda: secure.open_connections == 0)

    run(main())


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "answered CONNECT with 407"),
        (b"SSH-2.0\r\n\r\n", "something that is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "did not answer CONNECT"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "spoke before it was asked"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "did not answer CONNECT"),
    ],
)
def test_refusing_proxy_is_named(run: Run, refusal: bytes, message: str) -> None:
    async def main() -> None:
        async with proxying([], refusal) as port:
            origin = Origin.parse("http://api.test/v1")
            pool = Pool(origin, proxy=f"http://user:pass@127.0.0.1:{port}")
            with pytest.raises(Unreachable) as raised:
                await pool.send(ask("ok"))
            assert message in raised.value.message
            assert f"cannot reach api.test:80 by the proxy 127.0.0.1:{port}" in raised.value.message
            assert "pass" not in raised.value.message
            assert pool._taken == 0
            await pool.close()

    run(main())
