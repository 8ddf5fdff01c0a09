"""The faults themselves: each a function of the scene that it strikes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable

import psutil
from faults.scene import Scene, SmallDisk
from serving import PATIENCE

Blow = Callable[[Scene], Awaitable[None]]


def nothing() -> Blow:
    """Leave the server alone: the clients or the provider are fault enough."""

    async def blow(scene: Scene) -> None:
        await scene.answered()

    return blow


def kill(*modules: str) -> Blow:
    """Kill the processes that run these modules, one after the other."""

    async def blow(scene: Scene) -> None:
        for module in modules:
            await scene.answered()
            await scene.kill(module)
        await scene.answered()

    return blow


async def kill_engine(scene: Scene) -> None:
    """Kill the local model's process twice, each time until somebody has felt it."""
    few = 8  # the local model takes its time
    for _ in range(2):
        await scene.answered(few)
        await scene.kill("standpipe.engine.process")
        await scene.until(lambda calls: any(call.status == 503 for call in calls))
    await scene.answered(few)


async def kill_supervisor(scene: Scene) -> None:
    """Kill the supervisor alone: the others end by themselves; then start again."""
    await scene.answered()
    children = scene.family()[1:]
    scene.server.process.kill()
    _, left = await asyncio.to_thread(psutil.wait_procs, children, PATIENCE)
    assert left == []
    await scene.start_again()
    await scene.answered()


async def kill_everything(scene: Scene) -> None:
    """Kill every process of the server at once, as a machine that fails does; start again."""
    await scene.answered()
    family = scene.family()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    await asyncio.to_thread(psutil.wait_procs, family[1:], PATIENCE)
    scene.server.process.wait()
    await scene.start_again()
    await scene.answered()


async def fill_disk(scene: Scene) -> None:
    """Fill the spool's disk until calls are refused, then give the room back."""
    disk = SmallDisk(scene.home / "spool")
    await scene.answered()
    await asyncio.to_thread(disk.fill, scene.server)
    await scene.until(lambda calls: any(call.status == 503 for call in calls))
    await asyncio.to_thread(disk.free, scene.server)
    await scene.answered()


async def stop_database(scene: Scene) -> None:
    """Stop the database as an operator does, and start it again after a while."""
    assert scene.postgres is not None
    await _away(scene, scene.postgres.stop, scene.postgres.start)


async def kill_database(scene: Scene) -> None:
    """Kill the database, which recovers when it is started again after a while."""
    assert scene.postgres is not None
    await _away(scene, scene.postgres.kill, scene.postgres.start)


async def hold_database(scene: Scene) -> None:
    """Let the database take connections and not answer for a while."""
    assert scene.postgres is not None
    await _away(scene, scene.postgres.pause, scene.postgres.go_on)


async def lock_file(scene: Scene) -> None:
    """Lock the database's file against everybody else for a while."""
    file = scene.home / "standpipe.db"
    with contextlib.closing(
        sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    ) as connection:
        connection.execute("PRAGMA busy_timeout = 60000")
        await _away(
            scene,
            lambda: connection.execute("BEGIN EXCLUSIVE"),
            lambda: connection.execute("ROLLBACK"),
        )


async def kill_without_database(scene: Scene) -> None:
    """Kill worker and drain while the database is stopped: the new ones find nobody to ask."""
    assert scene.postgres is not None
    await scene.answered()
    await asyncio.to_thread(scene.postgres.stop)
    await scene.kill("standpipe.drain")
    await scene.kill("standpipe.worker")
    await scene.until(lambda calls: any(call.status == 503 for call in calls))
    await asyncio.to_thread(scene.postgres.start)
    await scene.answered()


async def _away(scene: Scene, go: Callable[[], object], come: Callable[[], object]) -> None:
    """Take the database away, see that calls go on, and bring it back."""
    await scene.answered()
    await asyncio.to_thread(go)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(scene.scale.away))
        group.create_task(scene.answered())
    await asyncio.to_thread(come)
    await scene.answered()
