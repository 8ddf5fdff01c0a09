"""Asking the store from an event loop: in threads of its own, and never for longer than so long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from standpipe.errors import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")

#: Questions of one lane under way or waiting, at most.
MOST = 512


class Lane:
    """The threads for one kind of question, so that no kind takes the threads of another.

    A database that hangs holds each of them until the driver gives up. Whoever waits is answered
    before that: after `patience` seconds, or at once where too many wait already.
    """

    def __init__(self, name: str, *, threads: int, patience: float) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"store-{name}")
        self._patience = patience
        self._asked = 0

    async def ask(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a verb of the store returns; StoreUnavailable if it takes too long.

        What the verb changes may still be changed after that.
        """
        if self._asked >= MOST:
            raise StoreUnavailable("too many wait for the store", "too many wait for it")
        loop = asyncio.get_running_loop()
        self._asked += 1
        try:
            async with asyncio.timeout(self._patience):
                return await loop.run_in_executor(self._threads, partial(verb, *args, **kwargs))
        except TimeoutError as error:
            message = f"the store did not answer in {self._patience:g} seconds"
            raise StoreUnavailable(message, "it does not answer in time") from error
        finally:
            self._asked -= 1
