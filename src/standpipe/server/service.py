"""What all connections of one server share: the application, the limits, the door."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from starlette.types import ASGIApp

from standpipe.outbox import Outbox
from standpipe.server.direct import Route
from standpipe.server.door import Door

if TYPE_CHECKING:
    from standpipe.server.protocol import HardenedProtocol


class Limits(msgspec.Struct, frozen=True):
    """What a client may take of us. Times in seconds, sizes in bytes."""

    #: The request line and all headers.
    header_bytes: int = 65536
    #: How many headers.
    headers: int = 200
    #: From the connection's or the request's first byte to the end of its head.
    header_timeout: float = 10.0
    #: From one piece of a body to the next.
    body_timeout: float = 30.0
    #: From the end of a head to the end of its body.
    body_total: float = 600.0
    body_bytes: int = 33554432
    #: From an answer to the next request.
    keep_alive: float = 75.0
    #: For a refused client to read its answer while it is still sending.
    linger: float = 1.0


@dataclass(frozen=True, slots=True)
class Service:
    """What a connection serves, and what it is held to."""

    app: ASGIApp
    #: What answers a POST of a target, compared byte by byte, without ASGI.
    routes: Mapping[bytes, Route]
    limits: Limits
    door: Door
    #: Those that are open.
    connections: set[HardenedProtocol] = field(default_factory=set)
    #: Those that are answering requests.
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    #: What they send.
    outbox: Outbox = field(default_factory=Outbox)
