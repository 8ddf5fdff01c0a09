"""`n` where a provider gives one choice: parallel tries, told as one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from standpipe.calls.emulation.source import Emit, Make
from standpipe.errors import ApiError

Json = dict[str, Any]
_Pieces = tuple[int, list[Json]]

#: Tries under way at a time.
PARALLEL = 8
#: Pieces that may wait for a slow client.
WAITING = 16


class Several:
    """As many choices as were asked for, each from a source of its own.

    The first failure is the answer's: the other tries are cancelled.
    """

    def __init__(self, make: Make, body: Json) -> None:
        self._make = make
        self._bodies = [_alone(body, index) for index in range(int(body["n"]))]

    async def whole(self) -> Json:
        """Return one completion of all choices."""
        found: dict[int, Json] = {}

        async def one(index: int) -> None:
            found[index] = await self._make(self._bodies[index]).whole()

        await self._together(one)
        choices = [_placed(found[index], index) for index in sorted(found)]
        return {**found[0], "choices": [choice for some in choices for choice in some]}

    async def stream(self, emit: Emit) -> None:
        """Emit the chunks of all choices as they come, under one id."""
        pieces: asyncio.Queue[_Pieces | None] = asyncio.Queue(WAITING)

        async def one(index: int) -> None:
            async def put(chunks: list[Json]) -> None:
                await pieces.put((index, chunks))

            await self._make(self._bodies[index]).stream(put)

        async def all_of_them() -> None:
            await self._together(one)
            await pieces.put(None)

        async def tell() -> None:
            frame: Json = {}
            while (item := await pieces.get()) is not None:
                index, chunks = item
                frame = frame or {name: chunks[0].get(name) for name in ("id", "created")}
                await emit(
                    [{**chunk, **frame, "choices": _placed(chunk, index)} for chunk in chunks]
                )

        await _all([all_of_them, tell])

    async def _together(self, one: Callable[[int], Awaitable[None]]) -> None:
        left = iter(range(len(self._bodies)))
        workers = [lambda: _work(left, one)] * min(PARALLEL, len(self._bodies))
        await _all(workers)


async def _work(left: Iterator[int], one: Callable[[int], Awaitable[None]]) -> None:
    for index in left:
        await one(index)


async def _all(jobs: list[Callable[[], Any]]) -> None:
    """Run jobs together; the first error, once the others are cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job())
    except BaseExceptionGroup as failed:
        raise _first(failed) from None


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return an error that a caller can be told, else any."""
    told, _ = failed.split(ApiError)
    error: BaseException = (told or failed).exceptions[0]
    return error


def _alone(body: Json, index: int) -> Json:
    """Return the request of one choice; with one seed for all they would be the same."""
    alone = {name: body[name] for name in body if name != "n"}
    if index and body.get("seed") is not None:
        alone["seed"] = body["seed"] + index
    return alone


def _placed(answer: Json, index: int) -> list[Json]:
    return [{**choice, "index": index} for choice in answer.get("choices") or ()]
