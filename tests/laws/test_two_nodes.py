"""Several nodes are as one: limits hold across them, and either may die."""

from __future__ import annotations

from pathlib import Path

import postgres
from faults.nodes import FORGOTTEN, play_nodes
from faults.scene import Scale

#: `make faults` does more.
SHORT = Scale(answers=100, away=2.0, calls=1_000)


def test_limits_hold_and_the_ledger_is_exact_though_redis_forgets_and_a_node_is_killed(
    tmp_path: Path, postgres_server: postgres.Server
) -> None:
    parity = play_nodes(FORGOTTEN, tmp_path / "home", SHORT, server=postgres_server)
    assert parity.wrong == []
    assert parity.is_exact, parity
    assert parity.rows >= SHORT.calls
