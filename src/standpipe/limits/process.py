"""The limiter as a process of its own: its socket, and when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from typing_extensions import override

from standpipe.config import Logging, Price
from standpipe.drain.prices import Prices
from standpipe.errors import ConfigError
from standpipe.limits.address import bind
from standpipe.limits.alerts import Alerts
from standpipe.limits.ledger import Ledger, Memory
from standpipe.limits.nodes import Node
from standpipe.limits.service import Service, Unpriced
from standpipe.limits.spent import Spent

_STDIN = 0


class LimiterSpec(msgspec.Struct, frozen=True):
    """What the supervisor says on standard input; URLs may hold passwords."""

    #: Path of the socket to listen on.
    socket: str
    store_url: str
    spool: str
    #: The operator's, by `provider/model`, and the providers' base URLs, by name.
    prices: dict[str, Price] = {}
    urls: dict[str, str] = {}
    #: Empty for counters in this process.
    redis: str = ""
    when_away: Literal["refuse", "local"] = "refuse"
    unpriced: Unpriced = "allow"
    #: Empty for nobody.
    webhook: str = ""
    webhook_secret: str = ""
    logging: Logging = Logging()

    @override
    def __repr__(self) -> str:
        return f"LimiterSpec({self.socket!r})"


async def run(spec: LimiterSpec, *, on_ready: Callable[[], None] = lambda: None) -> None:
    """Answer workers until SIGTERM, SIGINT or the end of stdin: the supervisor is gone."""
    stop = _stopping()
    spent = Spent(spec.store_url, Path(spec.spool))
    alerts = Alerts(spec.webhook, spec.webhook_secret, spent.name)
    ledger = _ledger(spec)
    prices = Prices(spec.prices, spec.urls)
    node = Node(Path(spec.spool))
    service = Service(ledger, prices, spent, alerts, node, unpriced=spec.unpriced)
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(service.link, sock=bind(Path(spec.socket)))
    every = service.keep_calls(), service.settle_spans(), service.call_roll()
    if spec.redis:  # it remembers calls from before our start
        service.gone()
    keeping = [asyncio.create_task(each) for each in every]
    try:
        on_ready()
        await stop.wait()
    finally:
        for task in keeping:
            task.cancel()
        server.close()
        await alerts.close()
        await ledger.close()
        spent.close()


def _ledger(spec: LimiterSpec) -> Ledger:
    if not spec.redis:
        return Memory()
    try:
        from standpipe.limits.shared import Shared

        shared = Shared(spec.redis)
    except ImportError as error:
        raise ConfigError("limits.redis: needs the extra `redis`: standpipe[redis]") from error
    except ValueError as error:  # its message may hold the password
        raise ConfigError("limits.redis: is no URL of a Redis") from error
    if spec.when_away == "refuse":
        return shared
    from standpipe.limits.either import Either

    return Either(shared, Memory())


def _stopping() -> asyncio.Event:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def on_input() -> None:
        if not os.read(_STDIN, 4096):
            loop.remove_reader(_STDIN)
            stop.set()

    loop.add_reader(_STDIN, on_input)
    return stop
