"""What nodes that are away hold of budgets, and how an operator lets go of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from standpipe.limits.nodes import Roll, is_over, node_of
from standpipe.limits.scripts import KEPT_S
from standpipe.limits.shared import roll_of
from standpipe.wire.ids import made_at

if TYPE_CHECKING:
    from redis import Redis

_AT_ONCE = 1000


class Absent(NamedTuple):
    """A node with calls of which nobody has told how they ended."""

    node: str
    calls: int
    #: What they may have cost, in 10^-12 dollars.
    held: int
    #: When the first of them came, in microseconds since the epoch.
    since: int


def absent(client: Redis) -> list[Absent]:
    """Return the nodes that hold something, by name."""
    by_holder: dict[str, dict[str, int]] = defaultdict(dict)
    for by, call, held in _lost(client):
        by_holder[by][call] = held
    rolls = _rolls(client, {node_of(by) for by in by_holder})
    by_node: dict[str, dict[str, int]] = defaultdict(dict)
    for by, calls in by_holder.items():
        if not is_over(by, rolls):
            by_node[node_of(by)] |= calls
    return [
        Absent(node, len(calls), sum(calls.values()), min(made_at(call) or 0 for call in calls))
        for node, calls in sorted(by_node.items())
    ]


def forget(client: Redis, node: str) -> None:
    """Let all know that nothing will ever come of a node; should it return, it says otherwise."""
    client.set(roll_of(node), msgspec.json.encode(Roll()), ex=KEPT_S)


def _lost(client: Redis) -> Iterator[tuple[str, str, int]]:
    """Yield who had each call that is lost, the call, and what it held; again for each budget."""
    for key in client.scan_iter("standpipe:*:spent:*", count=_AT_ONCE, _type="hash"):
        for call, cost in client.hscan_iter(key, count=_AT_ONCE):
            held, is_lost, by = cost.partition(":")
            if is_lost:
                yield by, call, int(held)


def _rolls(client: Redis, nodes: set[str]) -> dict[str, Roll]:
    told = {node: client.get(roll_of(node)) for node in nodes}
    return {node: msgspec.json.decode(str(text), type=Roll) for node, text in told.items() if text}
