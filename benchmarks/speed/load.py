"""Placing calls: the requests, and the client in C that times them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from bodies import question

from speed import machine

Json = dict[str, Any]
#: Bytes of a plain request's body.
PLAIN = 1434
#: What the client replaces by a number of as many digits, the next one for each call.
NUMBER = "########"


class Asked(NamedTuple):
    """How calls are placed."""

    connections: int
    #: Calls a second; 0 for the next as soon as the last is answered.
    rate: float = 0
    streamed: bool = False
    #: Bytes of a request's body.
    size: int = PLAIN
    #: How many numbers stand in turn where `NUMBER` is in a request.
    numbers: int = 1
    #: The first of them; over `numbers` it begins anew.
    first: int = 0

    @property
    def is_timed(self) -> bool:
        """Whether it is asked for how long calls take, and not for how many there can be."""
        return bool(self.rate) or self.connections == 1


class LoadFailed(RuntimeError):
    """The client could not go on: nobody listens, or nobody answers."""


def request(asked: Asked, *, model: str, headers: dict[str, str]) -> bytes:
    """Return the bytes of a whole request."""
    body = question(model, streamed=asked.streamed, size=asked.size)
    told = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode() + body


def place(
    load: Path,
    port: int,
    file: Path,
    asked: Asked,
    seconds: float,
    *,
    provider: Iterable[int] = (),
    on_begin: Callable[[], None] = lambda: None,
    on_end: Callable[[], None] = lambda: None,
) -> Json:
    """Place calls for so many seconds and return what the client saw.

    Where calls are timed, the client and the processes of the `provider` go before all else on
    their cores: in use they have machines of their own, and do not wait for Standpipe's drain.
    `on_begin` is called once its connections are open, `on_end` when the time is over and the last
    calls are still on their way. Raises LoadFailed.
    """
    words = [*machine.pinned(machine.OTHER_CORES), load, port, file]
    words += [asked.connections, seconds, asked.rate, asked.numbers, asked.first]
    pipe = subprocess.PIPE
    with subprocess.Popen([*map(str, words)], stdin=pipe, stdout=pipe, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        try:
            _expect(client.stdout.readline(), "ready")
            with machine.first((client.pid, *provider) if asked.is_timed else ()):
                on_begin()
                client.stdin.write("\n")
                client.stdin.flush()
                _expect(client.stdout.readline(), "end")
                on_end()
                found: Json = json.loads(client.stdout.readline())
        except (ValueError, BrokenPipeError) as error:
            raise LoadFailed(f"the client said nothing: {error}") from error
        finally:
            client.kill()
    return found


def _expect(line: str, word: str) -> None:
    if line.strip() != word:
        raise LoadFailed(f"the client said {line!r} and not {word!r}")
