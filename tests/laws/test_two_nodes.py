"""Several nodes are as one: limits hold across them, and either may die."""

from __future__ import annotations

from pathlib import Path

import postgres
from faults.nodes import FORGOTTEN, LONG_AWAY, Nodes, play_nodes
from faults.scene import Scale

#: `make faults` does more.
SHORT = Scale(answers=100, away=2.0, calls=1_000)
SHORTER = Scale(answers=20, away=2.0, calls=400)


def test_limits_hold_and_the_ledger_is_exact_though_redis_forgets_and_a_node_is_killed(
    tmp_path: Path, postgres_server: postgres.Server
) -> None:
    hold(FORGOTTEN, tmp_path / "home", SHORT, postgres_server)


def test_no_budget_is_exceeded_by_what_a_node_has_not_told_that_stays_away(
    tmp_path: Path, postgres_server: postgres.Server
) -> None:
    hold(LONG_AWAY, tmp_path / "home", SHORTER, postgres_server)


def hold(nodes: Nodes, home: Path, scale: Scale, server: postgres.Server) -> None:
    parity = play_nodes(nodes, home, scale, server=server)
    assert parity.wrong == []
    assert parity.is_exact, parity
    assert parity.rows >= scale.calls
