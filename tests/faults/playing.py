"""Plays one scenario on one kind of database with one durability, and tells what became of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import postgres
from faults.parity import Parity, Told, compare
from faults.scenarios import LOCAL, Scenario
from faults.scene import Durability, Scale, Scene, SmallDisk, set_up
from local_engine import gguf
from misbehaving import running
from serving import PATIENCE, Standpipe

from standpipe.spool import names
from standpipe.store.rows import Row, now_us
from standpipe.store.store import Store
from standpipe.store.usage import HOUR_US, Sums, UsageQuery


def play(
    scenario: Scenario,
    home: Path,
    scale: Scale,
    *,
    server: postgres.Server | None = None,
    durability: Durability = "process",
) -> Parity:
    """Play a scenario in a new home; with a PostgreSQL server, on a new database of it."""
    local = LOCAL in scenario.mix.models
    models = ["local:" + LOCAL] if local else scenario.mix.models
    settings = {"LOCAL_GGUF": str(gguf())} if local else {}
    within = SmallDisk(home / "spool").within if scenario.small_disk else ()
    with (
        running() as upstream,
        set_up(
            home,
            upstream,
            scale,
            plan=scenario.mix,
            models=models,
            server=server,
            durability=durability,
            within=within,
            settings={**settings, **scenario.settings},
        ) as scene,
    ):
        asyncio.run(_strike(scenario, scene))
        records = scene.records_in_the_end()
        status = scene.server.stop()
        parity = compare(scene.crowd.calls, told(scene, records), scenario.may_miss)
    parity.wrong += [*left_behind(scene, status), *scenario.strange(parity)]
    return parity


async def _strike(scenario: Scenario, scene: Scene) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.crowd.run(scenario.clients, seed=1))
        await scenario.blow(scene)
        scene.crowd.stopped = True


def left_behind(scene: Scene, status: int) -> list[str]:
    """Return what a server that has ended should not have left, a line each."""
    wrong = [] if status == 0 else [f"the server ended with {status}"]
    return wrong + [f"left in the spool: {name}" for name in segments(scene.server)]


def segments(server: Standpipe) -> list[str]:
    """Return what the drain has left in the spool."""
    return names.listed(server.home / "spool", names.SEGMENT)


def rows_of(server: Standpipe) -> list[Row]:
    """Return every row of a server's own store."""
    return _rows(f"sqlite:///{server.home / 'standpipe.db'}")


def _rows(url: str) -> list[Row]:
    with closing(Store.open(url)) as store:
        return list(store.each_log(None))


def told(scene: Scene, records: dict[str, int]) -> Told:
    """Return what store, provider and server tell."""
    ever = UsageQuery(since=0, until=now_us() + HOUR_US, by_model=True)
    with closing(Store.open(scene.url)) as store:
        rows = list(store.each_log(None))
        found = store.usage(None, ever, limit=1_000)
    usage: dict[str, Sums] = {}
    for each in found:  # a run may go on over midnight
        usage[each.model or ""] = usage.get(each.model or "", Sums()) + each.sums
    billed = scene.upstream.billed
    return Told(rows, usage, billed, records["lost"], records["without_text"])


def wait_until(is_so: Callable[[], bool], why: Callable[[], object] = lambda: "") -> None:
    """Return once it is so; a guard against hangs, not a goal."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)
