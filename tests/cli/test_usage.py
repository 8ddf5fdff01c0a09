"""`standpipe usage`, and what `standpipe logs` says of costs."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from command_line import CommandLine, RowAdder

from standpipe.store import Batch, Project, Store, now_us
from standpipe.wire.record import Attempt, Usage

HOUR = 3_600_000_000
DAY = 24 * HOUR
#: Its beginning, in UTC.
TODAY = now_us() // DAY * DAY


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_nothing_used_is_said_so(cli: CommandLine, project: Project) -> None:
    assert cli("usage").startswith("nothing was used since ")
    assert cli("usage", "--json") == ""


def test_without_a_store_it_says_what_makes_one(cli: CommandLine) -> None:
    assert "standpipe serve" in cli.fails("usage")


def test_days_have_a_row_each_and_a_sum(cli: CommandLine, add: RowAdder) -> None:
    priced: dict[str, Any] = {"price_version": "configured", "usage": Usage(1000, 50)}
    add(requested_at=TODAY - 3 * DAY, cost=Decimal("0.25"), **priced)
    add(requested_at=TODAY - DAY, cost=Decimal("0.5"), **priced)
    add(requested_at=TODAY - DAY, cost=Decimal("0.000000000001"), outcome="cut", **priced)
    add(requested_at=TODAY - 9 * DAY, cost=Decimal(99), **priced)
    head, *days, total = cli("usage", COLUMNS="100").splitlines()
    assert head.split() == [
        *("Day", "(UTC)", "Calls", "Failed"),
        *("Prompt", "Answer", "Cached", "Cost"),
    ]
    assert [day.split()[1] for day in days] == ["1", "0", "2", "0"]
    assert "█" * 24 in days[2]
    assert "█" * 12 in days[0]
    assert "█" * 13 not in days[0]
    assert total.split() == ["total", "3", "1", "3,000", "150", "0", "$0.7500"]


def test_json_has_every_digit(cli: CommandLine, add: RowAdder) -> None:
    add(requested_at=TODAY, cost=Decimal("0.25"))
    add(requested_at=TODAY, cost=Decimal("0.000000000001"))
    (row,) = lines(cli("usage", "--json", "--by", "hour"))
    assert row["cost"] == "0.250000000001"
    assert row["start"].endswith("T00:00:00Z")
    assert row["usage"]["prompt_tokens"] == 22


def test_groups_are_of_all_the_time_and_the_dearest_first(
    cli: CommandLine, store: Store, project: Project, add: RowAdder
) -> None:
    key = store.add_key(project.id, name="build server", read_only=False, token="x" * 20)
    for days, model in ((0, "cheap"), (1, "cheap"), (2, "dear")):
        cost = Decimal(1 if model == "cheap" else 5)
        add(requested_at=TODAY - days * DAY, model=model, cost=cost, key=key.id)
    _, dear, cheap, total = cli("usage", "--group", "model", "--group", "key").splitlines()
    assert dear.split()[:4] == ["dear", "build", "server", "1"]
    assert cheap.split()[:4] == ["cheap", "build", "server", "2"]
    assert "$7.0000" in total
    assert len(lines(cli("usage", "--group", "model", "--json"))) == 3
    assert len(cli("usage", "--group", "model", "--by", "day").splitlines()) == 5


def test_groups_of_metadata_are_those_that_are_summed_up_by(
    cli: CommandLine, store: Store, project: Project, add: RowAdder
) -> None:
    store.close()
    names = {"STANDPIPE_USAGE_METADATA": "team"}
    url = f"sqlite:///{cli.home / 'standpipe.db'}"
    row = add(metadata={"team": "search"})  # recorded before anybody wanted to know
    with_names = Store.open(url, usage_names=("team",))
    for n, team in enumerate(("search", "ads", "ads")):
        again = {"id": f"{row.id[:-1]}{'xyz'[n]}", "metadata": {"team": team}}
        fields = {name: getattr(row, name) for name in row.__struct_fields__}
        assert with_names.add(Batch(rows=[type(row)(**{**fields, **again})])) == 1
    with_names.close()
    rows = lines(cli("usage", "--group", "team", "--json", **names))
    assert [(r["metadata"]["team"], r["calls"]) for r in rows] == [
        ("ads", 2),
        ("search", 1),
        (None, 1),
    ]
    assert "team" in cli("usage", "--group", "team", **names)
    assert "model, key" in cli.fails("usage", "--group", "team")


def test_calls_without_a_price_are_told_of(cli: CommandLine, add: RowAdder) -> None:
    add(model="none-such")
    add(model="other", cost=Decimal(1))
    text = " ".join(cli("usage").split())
    assert "1 of these calls" in text
    assert "none-such" in text
    assert "prices" in text
    assert "other" not in text


def test_calls_are_drawn_where_nothing_has_a_price(cli: CommandLine, add: RowAdder) -> None:
    for days in (0, 0, 1):
        add(requested_at=TODAY - days * DAY, usage=None)
    _, first, second, _ = cli("usage").splitlines()
    assert "█" * 12 in first
    assert "█" * 24 in second
    assert "$" not in first


def test_a_project_has_its_own(cli: CommandLine, store: Store, add: RowAdder) -> None:
    theirs = store.add_project("theirs")
    add()
    add(project=theirs.id)
    assert [row["calls"] for row in lines(cli("usage", "--json"))] == [2]
    assert [row["calls"] for row in lines(cli("usage", "--json", "--project", "theirs"))] == [1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--by", "week"), "--by 'week'"),
        (("--group", "colour"), "--group 'colour'"),
        (("--since", "soon"), "--since 'soon'"),
        (("--project", "nobody"), "'nobody'"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    cli: CommandLine, add: RowAdder, arguments: tuple[str, ...], said: str
) -> None:
    add()
    assert said in cli.fails("usage", *arguments)


def test_a_narrow_terminal_and_an_old_one_will_do(cli: CommandLine, add: RowAdder) -> None:
    add(model="m" * 90, cost=Decimal("12345.6789"))
    text = cli("usage", "--group", "model", COLUMNS="80")
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "#" * 24 in cli("usage", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")


def test_logs_say_what_a_call_cost_and_who_counted(cli: CommandLine, add: RowAdder) -> None:
    attempts = tuple(
        Attempt("openai", "gpt-4o", now_us(), status=200, usage=Usage(7, 2)) for _ in range(2)
    )
    row = add(
        cost=Decimal("0.000000000123"),
        price_version="genai-prices 1.2.3",
        usage=Usage(14, 4),
        usage_source="estimated",
        attempts=attempts,
    )
    page = cli("logs", "show", row.id)
    assert "$0.000000000123 (genai-prices 1.2.3)" in page
    assert "(estimated)" in page
    assert page.count("7/2") == 2
    assert "$0.000000" in cli("logs", "list")
    (line,) = lines(cli("logs", "list", "--json"))
    assert line["cost"] == "0.000000000123"
