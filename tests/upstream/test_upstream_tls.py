"""TLS, with certificates made by tls/make.sh."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from misbehaving import Misbehaving, body_for, running, serving

from standpipe.config import Timeouts
from standpipe.errors import ConfigError, Cut, Unreachable
from standpipe.upstream import Origin, Pool, Request

Run = Callable[[Coroutine[Any, Any, None]], None]

HERE = Path(__file__).parent / "tls"


def ask(model: str, **fields: Any) -> Request:
    return Request("POST", "/chat/completions", (), body_for(model, **fields))


@pytest.fixture
def secure() -> Iterator[Misbehaving]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(HERE / "server.pem", HERE / "server.key")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with running(tls=context) as state:
        yield state


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_trusted_authority_is_enough(run: Run, secure: Misbehaving, host: str) -> None:
    async def main() -> None:
        url = secure.url.replace("127.0.0.1", host)
        pool = Pool(Origin.parse(url), ca_file=HERE / "ca.pem")
        for stream in (False, True, False):
            with await pool.send(ask("ok", stream=stream)) as answer:
                assert b"Hello" in await answer.body(1_000_000)
        assert secure.connections == 1
        await pool.close()
        await secure.until(lambda: secure.open_connections == 0)

    run(main())


def test_unknown_authority_is_refused(run: Run, secure: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(secure.url))
        with pytest.raises(Unreachable, match=r"its certificate cannot be trusted: .*issuer"):
            await pool.send(ask("ok"))
        assert (pool.open_connections, pool._taken) == (0, 0)
        await pool.close()

    run(main())


def test_plain_server_fails_the_handshake(run: Run, upstream: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(
            Origin.parse(upstream.url.replace("http:", "https:")), timeouts=Timeouts(connect=1)
        )
        with pytest.raises(Unreachable, match=f"cannot reach 127.0.0.1:{upstream.port}: "):
            await pool.send(ask("ok"))
        assert pool._taken == 0
        await pool.close()
        await upstream.until(lambda: upstream.open_connections == 0)

    run(main())


def test_server_that_never_shakes_hands_is_unreachable(run: Run) -> None:
    async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with serving(say_nothing) as port:
            origin = Origin.parse(f"https://127.0.0.1:{port}")
            pool = Pool(origin, timeouts=Timeouts(connect=0.3))
            with pytest.raises(Unreachable, match=r"within timeouts\.connect, 0\.3 seconds"):
                await pool.send(ask("ok"))
            assert pool._taken == 0
            await pool.close()

    run(main())


def test_caller_who_leaves_during_the_handshake_leaves_nothing(run: Run) -> None:
    closed = asyncio.Event()
    greeted = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)
        greeted.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        closed.set()

    async def main() -> None:
        async with serving(say_nothing) as port:
            pool = Pool(Origin.parse(f"https://127.0.0.1:{port}"))
            task = asyncio.create_task(pool.send(ask("ok")))
            await greeted.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await closed.wait()
            assert pool._taken == 0
            await pool.close()

    run(main())


def test_cancel_closes_at_once(run: Run, secure: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(secure.url), ca_file=HERE / "ca.pem")
        answer = await pool.send(ask("drip:60000", stream=True))
        answer.close()
        await secure.until(lambda: secure.disconnects == 1)
        assert pool.open_connections == 0
        await pool.close()

    run(main())


def test_cut_is_seen(run: Run, secure: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(secure.url), ca_file=HERE / "ca.pem")
        for model in ("cut", "reset"):
            with await pool.send(ask(model, stream=True)) as answer, pytest.raises(Cut):
                await answer.body(1_000_000)
        await pool.close()

    run(main())


def test_slow_reader_slows_the_provider_down(run: Run, secure: Misbehaving) -> None:
    async def main() -> None:
        pool = Pool(Origin.parse(secure.url), ca_file=HERE / "ca.pem")
        answer = await pool.send(ask("huge:20000000", stream=True))
        await asyncio.sleep(0.3)
        assert answer.unread < 4_000_000
        assert len(await answer.body(100_000_000)) > 20_000_000
        await pool.close()

    run(main())


@pytest.mark.parametrize("name", ["absent.pem", "make.sh", "server.key"])
def test_useless_ca_file_is_named_at_start(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Pool(Origin.parse("https://localhost"), ca_file=HERE / name)
