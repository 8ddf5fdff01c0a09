"""Two nodes, two workers each, one PostgreSQL, one Redis: limits that hold across all of them.

What clients, provider and store must agree on is in `parity`; what must hold of limits is in
`standing`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import postgres
import redis_server
from faults import blows
from faults.clients import Call, together
from faults.parity import Parity, compare, cost
from faults.playing import left_behind, told
from faults.scenarios import LEDGER
from faults.scene import Durability, Scale, Scene, configuration
from faults.standing import ANSWER_TOKENS, Held, Standing, figures
from misbehaving import Misbehaving, bill, running
from serving import KEY, PATIENCE, Standpipe, kill_tree
from typing_extensions import override

from standpipe.limits import limits
from standpipe.limits.shared import LEASE_S
from standpipe.store import Store, new_token
from standpipe.store.rows import now_us
from standpipe.store.usage import HOUR_US, UsageQuery
from standpipe.wire.record import Usage

#: A model that answers at once.
WELL = "up:ok+bills"
#: One that takes its time.
SLOW = "up:slow:500+bills"
AT_ONCE = 2
#: What the calls of all who are held to limits say.
_MORE = {"max_tokens": ANSWER_TOKENS}
#: Seconds that Redis has to see the end of a lease.
_AFTER_S = 1.0
#: One that is answered while its node is told to be silent, and one that is never.
SLOWER = "patient:slow:5000+bills"
SILENT = "patient:silent+bills"
#: Who is told to be silent with so many calls, each of which costs so many US dollars or more.
AWAY = "away"
_AWAY_CALLS = 8
_DEAR = Decimal("0.0045")


def everyone(scale: Scale) -> list[Held]:
    """Return who is held to what: so little that all of it is soon used up."""
    most = scale.calls // 40
    dollars = str(scale.calls * Decimal("0.00014"))
    return [
        Held("requests", {"requests_per_minute": most}),
        Held("concurrent", {"concurrent_calls": AT_ONCE}),
        Held("day", {"dollars_per_day": dollars}),
        Held("project", {"dollars_per_day": dollars, "concurrent_calls": 4}, "project"),
    ]


def everyone_and_one(scale: Scale) -> list[Held]:
    """Return these, and one whose calls are those of a node that stays away."""
    return [*everyone(scale), Held(AWAY, {"dollars_per_day": "0.06"})]


@dataclass
class KeyedCall(Call):
    """A call with a key of its own."""

    token: str = KEY

    @override
    def request(self, server: Standpipe) -> bytes:
        return super().request(Standpipe(server.home, server.port, server.process, self.token))


@dataclass(frozen=True)
class Plan:
    """Calls of a ledger, half of them with keys that have limits."""

    held: Sequence[Held]

    def __call__(self, chance: random.Random) -> Call:
        found = LEDGER.mix(chance)
        token = KEY
        if chance.random() < 0.5:
            token = chance.choice(chance.choice(self.held).tokens)
            found.more |= _MORE
        return KeyedCall(found.model, found.stream, found.leave, more=found.more, token=token)


@dataclass
class Pair:
    """Two nodes and what they share."""

    nodes: list[Scene]
    redis: redis_server.Server
    scale: Scale
    held: list[Held]
    #: When a node was killed last, in seconds since the epoch; 0 for never.
    killed_at: float = 0.0
    #: How often Redis has lost its memory.
    forgotten: int = 0

    @property
    def calls(self) -> list[Call]:
        """All calls; both nodes' clients write into one list."""
        return self.nodes[0].crowd.calls

    @property
    def seen(self) -> int:
        """How many calls were answered or refused; 503 is the answer of no limit."""
        return sum(call.status not in (None, 503) for call in self.calls)

    async def until_seen(self, count: int) -> None:
        """Return once there are so many of these."""
        async with asyncio.timeout(10 * PATIENCE):
            while self.seen < count:  # noqa: ASYNC110  # no event says it
                await asyncio.sleep(0.05)

    async def kill(self, node: Scene) -> None:
        """Kill every process of a node at once, while clients call; start it again."""
        await node.answered()
        await self.crash(node)
        await node.start_again()
        await node.answered()

    async def crash(self, node: Scene) -> None:
        """Kill every process of a node at once."""
        await blows.crash(node)
        self.killed_at = time.time()

    async def until_leases_are_over(self) -> None:
        """Return once Redis takes calls of a node that was killed for gone."""
        over = self.killed_at + LEASE_S + _AFTER_S
        await asyncio.sleep(max(0.0, over - time.time()))

    async def place(self, node: Scene, calls: Sequence[Call]) -> None:
        """Let calls of no crowd be placed all at once, and remembered."""
        self.calls.extend(calls)
        await together(node.server, calls)


@dataclass(frozen=True)
class Nodes:
    """What goes wrong with two nodes."""

    name: str
    blow: Callable[[Pair], Awaitable[None]]
    #: Nodes die: see `Scenario`.
    breaks: bool
    databases: tuple[str, ...] = ("PostgreSQL",)
    #: Who is held to limits.
    held: Callable[[Scale], list[Held]] = everyone
    #: Clients of each node.
    clients: int = 10

    def may_miss(self, call: Call) -> bool:
        """Tell whether a call may be without a row."""
        if call.end == "left":
            return call.id is None
        return self.breaks and call.end == "none"


async def forget_and_kill(pair: Pair) -> None:
    """Let Redis lose its memory; then kill every process of one node at once, start it again."""
    await pair.until_seen(pair.scale.calls // 3)
    await asyncio.to_thread(pair.redis.forget)
    pair.forgotten += 1
    await pair.until_seen(2 * pair.scale.calls // 3)
    await pair.kill(pair.nodes[0])
    await pair.until_seen(pair.scale.calls)


async def kill_each(pair: Pair) -> None:
    """Kill one node, then the other."""
    for place, node in enumerate(pair.nodes, start=1):
        await pair.until_seen(place * pair.scale.calls // 3)
        await pair.kill(node)
    await pair.until_seen(pair.scale.calls)


async def redis_away(pair: Pair) -> None:
    """Stop Redis for a while, in which calls without limits are answered."""
    await pair.until_seen(pair.scale.calls // 3)
    await asyncio.to_thread(pair.redis.stop)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(pair.scale.away))
        group.create_task(pair.nodes[0].answered())
    await asyncio.to_thread(pair.redis.start)
    await pair.until_seen(pair.seen + pair.scale.calls)


async def kill_for_long(pair: Pair) -> None:
    """Kill a node that has answered calls and told nobody; start it after the end of its leases.

    Meanwhile the other one spends what is left of the same budget.
    """
    away, other = pair.nodes
    (held,) = (each for each in pair.held if each.name == AWAY)
    await pair.until_seen(pair.scale.calls // 3)
    await _until_known(pair, away, held)
    dear = [
        KeyedCall(SLOWER, name=name, more=_MORE, token=held.tokens[0]) for name in _dear_names()
    ]
    silent = KeyedCall(SILENT, name="silent", more=_MORE, token=held.tokens[0])
    async with asyncio.TaskGroup() as group:
        placed = group.create_task(pair.place(away, dear))
        group.create_task(pair.place(away, [silent]))
        await _until_open(pair, held, len(dear) + 1)
        for module in ("standpipe.drain", "standpipe.limits"):
            (await asyncio.to_thread(away.server.child, module)).suspend()
        await placed
        assert all(call.is_answered for call in dear), dear
        await pair.crash(away)
    await _spend(pair, other, held)
    await pair.until_leases_are_over()
    await _spend(pair, other, held)
    await away.start_again()
    await away.answered()
    await pair.until_seen(pair.scale.calls)


def _dear_names() -> list[str]:
    """Return names of calls that their provider bills more than others."""
    names = (f"dear-{number}" for number in itertools.count())
    dear = (name for name in names if _cost(name) >= _DEAR)
    return list(itertools.islice(dear, _AWAY_CALLS))


def _cost(name: str) -> Decimal:
    billed = bill(Call(WELL, name=name).said)
    cached = billed["prompt_tokens_details"]["cached_tokens"]
    tokens = billed["prompt_tokens"], billed["completion_tokens"]
    return cost(Usage(*tokens, cached_tokens=cached)) or Decimal(0)


async def _until_known(pair: Pair, node: Scene, held: Held) -> None:
    """Return once the store has told what was spent of a budget."""
    for number in range(40):
        one = KeyedCall(WELL, name=f"known-{number}", more=_MORE, token=held.tokens[0])
        await pair.place(node, [one])
        if one.is_answered:
            return
        await asyncio.sleep(0.5)
    raise AssertionError(f"nobody knows what was spent: {held}")


async def _until_open(pair: Pair, held: Held, count: int) -> None:
    with pair.redis.client() as client:
        async with asyncio.timeout(PATIENCE):
            while (await asyncio.to_thread(figures, client, held)).open < count:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def _spend(pair: Pair, node: Scene, held: Held) -> None:
    """Call until the budget is spent, or is held by others."""
    for _ in range(10 * _AWAY_CALLS):
        name = f"spent-{len(pair.calls)}"
        one = KeyedCall(WELL, name=name, more=_MORE, token=held.tokens[0])
        await pair.place(node, [one])
        if one.status in (402, 429):
            return
    raise AssertionError(f"{held} has no end")


FORGOTTEN = Nodes("two nodes, Redis emptied, one node killed", forget_and_kill, breaks=True)
LONG_AWAY = Nodes(
    "two nodes, one killed and away for long", kill_for_long, breaks=True, held=everyone_and_one
)
EACH_KILLED = Nodes("two nodes killed by turns, started again", kill_each, breaks=True)
REDIS_AWAY = Nodes("two nodes, Redis stopped, started", redis_away, breaks=False)


def play_nodes(
    nodes: Nodes,
    home: Path,
    scale: Scale,
    *,
    server: postgres.Server,
    durability: Durability = "process",
) -> Parity:
    """Play with two new nodes on a new database; what is wrong with limits is told as well."""
    with (
        running() as upstream,
        redis_server.running(durable=True) as redis,
        _pair(home, upstream, scale, server, redis, durability, nodes.held(scale)) as pair,
    ):
        asyncio.run(_strike(nodes, pair))
        for node in pair.nodes:
            node.records_in_the_end()
        standings = _standings(pair)
        again = asyncio.run(_at_once_again(pair))
        counts = [node.records_in_the_end() for node in pair.nodes]
        records = {name: sum(each[name] for each in counts) for name in ("lost", "without_text")}
        statuses = [node.server.stop() for node in pair.nodes]
        said = told(pair.nodes[0], records)
        parity = compare(pair.calls, said, nodes.may_miss)
        for node, status in zip(pair.nodes, statuses, strict=True):
            parity.wrong += left_behind(node, status)
        for standing in standings:
            standing.rows = [row for row in said.rows if standing.held.has(row)]
            parity.wrong += standing.wrong()
        parity.wrong += again
    return parity


@contextlib.contextmanager
def _pair(
    home: Path,
    upstream: Misbehaving,
    scale: Scale,
    server: postgres.Server,
    redis: redis_server.Server,
    durability: Durability,
    held: list[Held],
) -> Iterator[Pair]:
    url = server.create(uuid4().hex)
    _make_keys(url, held)
    settings = {
        "SERVER_WORKERS": "2",
        "LIMITS_REDIS": redis.url,
        "SPOOL_SEGMENT_BYTES": "65536",
        "SPOOL_DURABILITY": durability,
    }
    text = configuration(upstream, (*LEDGER.mix.models, SLOWER, SILENT))
    plan = Plan([each for each in held if each.name != AWAY])
    with contextlib.ExitStack() as running_nodes:
        pair = Pair([], redis, scale, held)
        for name in ("one", "two"):
            place = home / name
            place.mkdir(parents=True)
            node = Scene(place, upstream, scale, server, url, text, settings, plan)
            running_nodes.callback(_end, node)
            pair.nodes.append(node)
        # One list, so that names are those of one call each.
        pair.nodes[1].crowd.calls = pair.nodes[0].crowd.calls
        yield pair


def _end(node: Scene) -> None:
    if node.server.process.poll() is None:
        kill_tree(node.server.process.pid)
        node.server.process.kill()
        node.server.process.wait(PATIENCE)


def _make_keys(url: str, held: Sequence[Held]) -> None:
    with closing(Store.open(url)) as store:
        store.migrate()
        free = store.add_project("default")
        store.add_key(free.id, name="free", read_only=False, token=KEY)
        for each in held:
            text = limits.text_of(limits.checked(each.limits))
            of_project = each.of == "project"
            project = store.add_project(each.name, {"limits": text} if of_project else None)
            for _ in range(1 + of_project):
                _, token = new_token()
                own = None if of_project else text
                key = store.add_key(
                    project.id, name=each.name, read_only=False, token=token, limits=own
                )
                each.tokens.append(token)
                each.id = project.id if of_project else key.id


async def _strike(nodes: Nodes, pair: Pair) -> None:
    async with asyncio.TaskGroup() as group:
        for seed, node in enumerate(pair.nodes):
            group.create_task(node.crowd.run(nodes.clients, seed))
        await nodes.blow(pair)
        for node in pair.nodes:
            node.crowd.stopped = True
    # What a node held that died comes back with the end of its lease, and with the next call.
    await pair.until_leases_are_over()
    tokens = [token for each in pair.held for token in each.tokens]
    last: list[Call] = [
        KeyedCall(WELL, name=f"last-{number}", more=_MORE, token=token)
        for number, token in enumerate(tokens)
    ]
    await pair.place(pair.nodes[0], last)


async def _at_once_again(pair: Pair) -> list[str]:
    """Use all of a limit again, on both nodes; return what was refused."""
    tokens = [token for each in pair.held if "concurrent" in each.name for token in each.tokens]
    calls = [KeyedCall(SLOW, name=f"again-{n}", token=tokens[0]) for n in range(AT_ONCE)]
    pair.calls.extend(calls)
    turns = zip(pair.nodes, ([call] for call in calls), strict=True)
    await asyncio.gather(*(together(node.server, each) for node, each in turns))
    return [f"no room for {call}" for call in calls if not call.is_answered]


def _standings(pair: Pair) -> list[Standing]:
    """Return what Redis says once nothing is under way and all is settled, or after a while."""
    deadline = time.monotonic() + PATIENCE
    with pair.redis.client() as client, closing(Store.open(pair.nodes[0].url)) as store:
        while True:
            found = [
                Standing(each, figures(client, each), forgotten=pair.forgotten)
                for each in pair.held
            ]
            if all(_is_settled(store, each) for each in found) or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


def _is_settled(store: Store, standing: Standing) -> bool:
    counted = sum(standing.figures.spent.values())
    return not standing.figures.leaks and counted == _stored(store, standing.held)


def _stored(store: Store, held: Held) -> Decimal:
    """Return the US dollars that the store has of one with a budget, 0 of others."""
    if "dollars_per_day" not in held.limits:
        return Decimal(0)
    ever = UsageQuery(since=0, until=now_us() + HOUR_US, key=held.id if held.of == "key" else None)
    project = held.id if held.of == "project" else None
    return sum(
        (each.sums.cost or Decimal(0) for each in store.usage(project, ever, limit=9)), Decimal(0)
    )
