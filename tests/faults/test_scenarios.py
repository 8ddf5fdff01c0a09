"""One call, one row: what clients saw and what the store holds are the same, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest
from faults.playing import play
from faults.scenarios import LEDGER, SCENARIOS, Scenario
from faults.scene import DURABILITIES, Scale

#: `make faults` does more of each, everywhere.
SHORT = Scale(answers=100, away=2.0, calls=1_000)


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """A PostgreSQL of this module's own, since it is stopped and killed."""
    with postgres.running(durable=True) as server:
        yield server


#: Each once, by turns on one database and the other, with one durability and the other.
TURNS = [
    pytest.param(scenario, turn, id=scenario.name)
    for turn, scenario in enumerate(scenario for scenario in SCENARIOS if scenario.short)
]


@pytest.mark.parametrize(("scenario", "turn"), TURNS)
def test_clients_and_store_agree(
    scenario: Scenario, turn: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    durability = DURABILITIES[turn % 2]
    database = scenario.databases[turn // 2 % len(scenario.databases)]
    server = request.getfixturevalue("server") if database == "PostgreSQL" else None
    parity = play(scenario, tmp_path / "home", SHORT, server=server, durability=durability)
    assert parity.wrong == []
    assert parity.is_exact, parity


def test_spend_is_the_sum_of_what_was_billed(tmp_path: Path) -> None:
    parity = play(LEDGER, tmp_path / "home", SHORT)
    assert parity.wrong == []
    assert parity.is_exact, parity
    assert parity.rows >= SHORT.calls
    assert parity.cost == parity.cost_by_hour == parity.cost_due > 0
