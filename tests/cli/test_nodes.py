"""Nodes that are away, from the command line."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import redis_server
from command_line import CommandLine
from limits.limiting import wants
from msgspec.structs import replace

from standpipe.limits.ledger import spans
from standpipe.limits.limits import Limits
from standpipe.limits.nodes import Roll, holder
from standpipe.limits.shared import Shared
from standpipe.wire.ids import new_id

DOLLAR = 10**12


def lose(url: str, node: str, count: int) -> None:
    """Let calls be lost of which each holds a quarter of a dollar of two budgets."""
    limits = Limits(dollars_per_day=Decimal(9), dollars_per_month=Decimal(9))
    calls = wants(limits, cost=DOLLAR // 4, by=holder(node, "worker"))

    async def scene() -> None:
        shared = Shared(url)
        for _ in range(count):
            want = replace(next(calls), has_begun=True)
            await shared.begin(want)
            await shared.lose(want)
            assert await shared.ended(next(spans(want)))
        await shared.close()

    asyncio.run(scene())


def roll(url: str, node: str) -> Roll:
    async def scene() -> Roll:
        shared = Shared(url)
        found = await shared.rolls([node])
        await shared.close()
        return found[node]

    return asyncio.run(scene())


def test_node_that_is_away_is_listed_until_it_is_forgotten(
    cli: CommandLine, redis_run: redis_server.Server
) -> None:
    settings = {"STANDPIPE_LIMITS_REDIS": redis_run.url}
    gone, other = f"gone-{new_id()}", f"other-{new_id()}"
    lose(redis_run.url, gone, 3)
    lose(redis_run.url, other, 1)
    listed = map(json.loads, cli("nodes", "list", "--json", **settings).splitlines())
    found = {each["node"]: each for each in listed}
    assert (found[gone]["calls"], found[gone]["dollars"]) == (3, "0.75")
    assert (found[other]["calls"], found[other]["dollars"]) == (1, "0.25")
    assert gone in cli("nodes", "list", **settings)
    cli("nodes", "forget", gone, **settings)
    assert roll(redis_run.url, gone).is_over("worker")
    shown = cli("nodes", "list", **settings)
    assert gone not in shown
    assert other in shown
    assert "nodes list" in cli.fails("nodes", "forget", gone, **settings)


def test_nodes_are_those_of_a_redis_that_answers(cli: CommandLine) -> None:
    assert "limits.redis is not set" in cli.fails("nodes", "list")
    url = f"redis://:{redis_server.PASSWORD}@127.0.0.1:1/0"
    told = cli.fails("nodes", "list", STANDPIPE_LIMITS_REDIS=url)
    assert "limits.redis" in told
    assert redis_server.PASSWORD not in told
