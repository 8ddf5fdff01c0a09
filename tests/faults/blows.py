"""The faults themselves: each a function of the scene that it strikes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import psutil
from faults.clients import Call
from faults.scene import Scene, SmallDisk
from serving import PATIENCE

Blow = Callable[[Scene], Awaitable[None]]


async def nothing(scene: Scene) -> None:
    """Leave the server alone: the clients or the provider are fault enough."""
    await scene.answered()


def kill(*modules: str) -> Blow:
    """Kill the processes that run these modules, one after the other."""

    async def blow(scene: Scene) -> None:
        for module in modules:
            await scene.answered()
            await scene.kill(module)
        await scene.answered()

    return blow


async def kill_engine(scene: Scene) -> None:
    """Kill the local model's process, and wait until somebody has felt it."""
    few = 8  # the local model takes its time
    await scene.answered(few)
    await scene.kill("standpipe.engine.process")
    await scene.until(lambda calls: any(call.status == 503 for call in calls))
    await scene.answered(few)


async def kill_now_and_then(scene: Scene) -> None:
    """Kill worker and drain by turns until clients have seen the calls of a ledger."""
    for victim in itertools.cycle(("worker", "drain")):
        await scene.until(lambda calls: _seen(calls) >= scene.scale.calls // 8)
        if _seen(scene.crowd.calls) >= scene.scale.calls:
            return
        await scene.kill(f"standpipe.{victim}")


def _seen(calls: Sequence[Call]) -> int:
    return sum(call.id is not None for call in calls)


async def kill_supervisor(scene: Scene) -> None:
    """Kill the supervisor alone: the others end by themselves; then start again."""
    await scene.answered()
    children = scene.family()[1:]
    scene.server.process.kill()
    scene.server.process.wait()
    _, left = await asyncio.to_thread(psutil.wait_procs, children, PATIENCE)
    assert left == []
    await scene.start_again()
    await scene.answered()


async def kill_everything(scene: Scene) -> None:
    """Kill every process of the server at once, as a machine that fails does; start again."""
    await scene.answered()
    await crash(scene)
    await scene.start_again()
    await scene.answered()


async def crash(scene: Scene) -> None:
    """Kill every process of the server at once; return when none is left."""
    family = scene.family()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    await asyncio.to_thread(psutil.wait_procs, family[1:], PATIENCE)
    scene.server.process.wait()


async def fill_disk(scene: Scene) -> None:
    """Keep the spool's disk full until calls were refused, then give the room back."""
    calls = scene.crowd.calls
    await _full_until(scene, lambda: sum(call.status == 503 for call in calls) >= _FELT)


async def fill_disk_of_who_counts(scene: Scene) -> None:
    """Do so to a server that answers nevertheless, until it has lost records."""
    await _full_until(scene, lambda: scene.records()["lost"] >= _FELT)


#: Calls that have to feel a full disk.
_FELT = 20


async def _full_until(scene: Scene, is_enough: Callable[[], bool]) -> None:
    disk = SmallDisk(scene.home / "spool")
    await scene.answered()
    while not await asyncio.to_thread(is_enough):
        # Again and again, since every segment that is drained leaves room.
        await asyncio.to_thread(disk.fill, scene.server)
        await asyncio.sleep(0.02)
    await asyncio.to_thread(disk.free, scene.server)
    await scene.answered()


async def stop_database(scene: Scene) -> None:
    """Stop the database as an operator does, and start it again after a while."""
    assert scene.postgres is not None
    await _calls_go_on(scene, scene.postgres.stop, scene.postgres.start)


async def kill_database(scene: Scene) -> None:
    """Kill the database, which recovers when it is started again after a while."""
    assert scene.postgres is not None
    await _calls_go_on(scene, scene.postgres.kill, scene.postgres.start)


async def hold_database(scene: Scene) -> None:
    """Let the database take connections and not answer for a while."""
    assert scene.postgres is not None
    await _calls_go_on(scene, scene.postgres.pause, scene.postgres.go_on)


async def lock_file(scene: Scene) -> None:
    """Lock the database's file against everybody else for a while."""
    file = scene.home / "standpipe.db"
    with contextlib.closing(
        sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    ) as connection:
        connection.execute("PRAGMA busy_timeout = 60000")
        await _calls_go_on(
            scene,
            lambda: connection.execute("BEGIN EXCLUSIVE"),
            lambda: connection.execute("ROLLBACK"),
        )


async def kill_without_database(scene: Scene) -> None:
    """Kill worker and drain while the database is stopped: the new ones find nobody to ask."""
    assert scene.postgres is not None
    await scene.answered()
    async with _away(scene.postgres.stop, scene.postgres.start):
        await scene.kill("standpipe.drain")
        await scene.kill("standpipe.worker")
        await scene.until(lambda calls: any(call.status == 503 for call in calls))
    await scene.answered()


async def _calls_go_on(scene: Scene, go: Callable[[], object], come: Callable[[], object]) -> None:
    """Take the database away for a while, in which calls are answered, and bring it back."""
    await scene.answered()
    async with _away(go, come), asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(scene.scale.away))
        group.create_task(scene.answered())
    await scene.answered()


@contextlib.asynccontextmanager
async def _away(go: Callable[[], object], come: Callable[[], object]) -> AsyncIterator[None]:
    await asyncio.to_thread(go)
    try:
        yield
    finally:
        await asyncio.to_thread(come)
