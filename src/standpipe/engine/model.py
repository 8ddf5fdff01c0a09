"""One model over time: loaded for its first call, unloaded when idle, swapped under running calls.

A call holds what it was given until it has ended. Loading and freeing take up to seconds and run
in a thread; those who come meanwhile wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping

from standpipe.engine.llama import Config, Llama

logger = logging.getLogger("standpipe.engine")


class Model:
    """A model of which at most one version is loaded for new calls."""

    def __init__(self, config: Config, loaded: Llama | None = None) -> None:
        self._config = config
        self._adapters: Mapping[str, str] = dict(config.adapters)
        self._current = loaded
        self._calls: dict[Llama, int] = {}
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._freeing: set[asyncio.Task[None]] = set()

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters that a call may ask for."""
        return tuple(self._adapters)

    @property
    def is_loaded(self) -> bool:
        """Whether a call that comes now is answered without loading."""
        return self._current is not None

    @property
    def calls(self) -> int:
        """Calls that run now."""
        return sum(self._calls.values())

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[Llama]:
        """Lend the loaded model for one call; raises LoadFailed."""
        llama = await self._loaded()
        try:
            yield llama
        finally:
            self._give_back(llama)

    async def swap(self, adapters: Mapping[str, str]) -> None:
        """Serve these adapters from now on; calls that run end with those they began with.

        Raises LoadFailed, and changes nothing, if one cannot be loaded.
        """
        async with self._lock:
            llama = await asyncio.to_thread(Llama, self._config, adapters)
            former, self._current = self._current, llama
            self._adapters = dict(adapters)
            if former is not None and former not in self._calls:
                self._free(former)
        self._wait_for_calls()

    async def _loaded(self) -> Llama:
        async with self._lock:
            if self._current is None:
                self._current = await asyncio.to_thread(Llama, self._config, self._adapters)
            llama = self._current
            self._calls[llama] = self._calls.get(llama, 0) + 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return llama

    def _give_back(self, llama: Llama) -> None:
        self._calls[llama] -= 1
        if self._calls[llama] == 0:
            del self._calls[llama]
            if llama is not self._current:
                self._free(llama)
        self._wait_for_calls()

    def _wait_for_calls(self) -> None:
        """Begin to count the idle time where nothing runs."""
        if self._calls or not self._config.idle:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._config.idle, self._unload)

    def _unload(self) -> None:
        self._timer = None
        if self._calls or self._lock.locked() or self._current is None:
            return
        logger.info("%s was idle and is unloaded", self._config.name)
        llama, self._current = self._current, None
        self._free(llama)

    def _free(self, llama: Llama) -> None:
        task = asyncio.create_task(asyncio.to_thread(llama.free))
        self._freeing.add(task)
        task.add_done_callback(self._freeing.discard)
