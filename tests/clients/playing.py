"""The inside of a client's program: it plays scenarios until its standard input ends.

Runs in the clients' environments, so it knows the standard library alone. A scenario is one `async`
function for the synchronous and the asynchronous client: what a call answers goes through `done`,
and what a stream is through `each`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

Scenario = Callable[..., Awaitable[Any]]


async def done(answer: Any) -> Any:
    """Return the answer of either client."""
    return await answer if inspect.isawaitable(answer) else answer


async def each(stream: Any) -> AsyncIterator[Any]:
    """Yield what is in the stream of either client."""
    if hasattr(stream, "__aiter__"):
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


async def error_of(answer: Callable[[], Any]) -> Exception:
    """Return what the call raises; AssertionError if it does not."""
    try:
        answered = await done(answer())
    except Exception as error:  # noqa: BLE001 (which it is is what the test is about)
        return error
    raise AssertionError(f"no error but {answered!r}")


def told(error: Any) -> dict[str, Any]:
    """Return what a client's error tells."""
    names = ("status_code", "message", "code", "type", "param", "request_id", "body")
    return {"class": type(error).__name__, **{n: getattr(error, n, None) for n in names}}


def main(prepare: Callable[[SimpleNamespace], Any], scenarios: Mapping[str, Scenario]) -> None:
    """Play what is asked for; `prepare` makes what scenarios get first out of the arguments."""
    # The clients print to standard output when they are in trouble: that is not an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    places = json.loads(sys.argv[1])
    # One loop for all: a client may keep its connections from one scenario to the next.
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            asked = json.loads(line)
            play = scenarios[asked.pop("scenario")]
            arguments = SimpleNamespace(**{**places, **asked})
            answers.write(json.dumps(runner.run(_played(prepare, play, arguments))) + "\n")
            answers.flush()


async def _played(
    prepare: Callable[[SimpleNamespace], Any], play: Scenario, arguments: SimpleNamespace
) -> dict[str, Any]:
    try:
        return {"saw": await play(prepare(arguments), arguments)}
    except Exception:  # noqa: BLE001 (the test shows it)
        return {"failed": traceback.format_exc()}
