"""Which workers of a node live, and what that says of calls of those that do not."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from limits import worker_process
from limits.limiting import Process, wants
from limits.test_process import asking, begins, ended, process, row, spec, until
from msgspec.structs import replace

from standpipe.limits import nodes
from standpipe.limits.client import Limiter
from standpipe.limits.limits import Limits
from standpipe.limits.messages import Want
from standpipe.limits.nodes import Node, Roll
from standpipe.limits.service import SETTLE_S
from standpipe.spool import Spool, names, new_boot
from standpipe.store import Store
from standpipe.store.rows import Batch, Row

__all__ = ["process", "spec"]


def test_node_keeps_its_name(tmp_path: Path) -> None:
    first, other = Node(tmp_path / "spool"), Node(tmp_path / "other")
    assert first.name == Node(tmp_path / "spool").name
    assert first.name != other.name


def test_node_whose_spool_cannot_be_written_has_a_name_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no directory")
    assert Node(tmp_path / "spool").name


def test_worker_is_over_once_it_is_dead_and_its_segments_are_gone(tmp_path: Path) -> None:
    node, living, dead = (
        Node(tmp_path),
        Spool(tmp_path, boot=new_boot(), worker=0),
        Spool(tmp_path, boot=new_boot(), worker=1),
    )
    for spool in (living, dead):
        spool.append(b"a record")
    roll = node.roll()
    assert roll is not None
    assert {*roll.alive} == {living.writer, dead.writer}
    dead.close()
    assert node.roll() is None
    (tmp_path / names.segment_name(dead.writer, 0)).unlink()
    roll = node.roll()
    assert roll is not None
    assert roll.alive == (living.writer,)
    living.close()


def test_roll_says_nothing_of_workers_that_began_after_it_or_are_none() -> None:
    early, late = f"{1_000:013x}abcdef-0", f"{3_000:013x}abcdef-0"
    roll = Roll(2_000)
    assert roll.is_over(early)
    assert not roll.is_over(late)
    assert not roll.is_over("")
    assert not Roll(2_000, (early,)).is_over(early)
    rolls = {"here": roll, "forgotten": Roll()}
    assert nodes.is_over(nodes.holder("here", early), rolls)
    assert not nodes.is_over(nodes.holder("there", early), rolls)
    assert nodes.is_over(nodes.holder("forgotten", late), rolls)
    assert nodes.is_over(nodes.holder("forgotten", ""), rolls)


@contextlib.contextmanager
def worker(
    process: Process, like: Want, calls: int
) -> Iterator[tuple[subprocess.Popen[bytes], list[str]]]:
    """Run a worker that has begun calls and noted something; it waits to be killed.

    The second is the ids of its calls.
    """
    hexed = msgspec.msgpack.encode(like).hex()
    argv = [sys.executable, worker_process.__file__, str(process.socket), str(calls), hexed]
    with subprocess.Popen([*argv, str(process.spool)], stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == b"%d\n" % calls
            yield running, running.stdout.readline().decode().split()
        finally:
            running.kill()


def drain(process: Process, rows: list[Row]) -> None:
    """Do what the drain does."""
    with closing(Store.open(process.store_url)) as store:
        store.add(Batch(rows=rows))
    for segment in names.listed(process.spool, names.SEGMENT):
        (process.spool / segment).unlink()


@pytest.mark.parametrize("noted", [0, 2])
def test_money_of_a_killed_worker_comes_back_once_it_is_known_what_it_spent(
    process: Process, noted: int
) -> None:
    process.make_store()
    calls = wants(
        Limits(dollars_per_day=Decimal(1)),
        prompt_tokens=100,
        answer_tokens=400,
        targets=(("there", "model"),),
    )

    async def ask(limiter: Limiter) -> None:
        # What was spent is asked before anything waits to be stored.
        like = next(calls)
        await until(lambda: begins(limiter, like))
        limiter.end(ended(like))
        # Half a dollar each.
        with worker(process, like, 2) as (running, ids):
            assert not await begins(limiter, next(calls))
            running.kill()

        async def is_spent() -> bool:
            return (await limiter.begin(next(calls))).reason == "day"

        await until(is_spent)
        await asyncio.sleep(SETTLE_S)
        assert await is_spent()
        drain(process, [row(replace(like, call=each), Decimal("0.25")) for each in ids[:noted]])
        await until(lambda: begins(limiter, next(calls)))
        # What was not noted was never spent: there is room for two of half a dollar, or for one.
        assert await begins(limiter, next(calls)) == (not noted)

    asking(process, ask)
