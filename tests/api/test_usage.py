"""What `GET /usage` tells, and what it refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import serving
from asking import CHAT, HI, Asker
from misbehaving import Misbehaving
from serving import Standpipe

from standpipe.store import Project, Store

#: In dollars for a million tokens.
PRICE = """
[prices."openai/priced"]
input = "1"
output = "2"
"""
USED = {"prompt_tokens": 11, "completion_tokens": 5}
COST = Decimal(11 + 2 * 5) / 10**6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Misbehaving) -> Iterator[Standpipe]:
    provider = serving.provider("openai", upstream.url, api_key='"sk-upstream"')
    home = tmp_path_factory.mktemp("usage") / "home"
    with serving.serving(home, provider + PRICE, USAGE_METADATA="feature,team") as running:
        yield running


def usage(client: Asker, query: str = "") -> list[Any]:
    data: list[Any] = client.get(f"/usage?{query}")["data"]
    return data


def refused(client: Asker, query: str) -> tuple[str, str]:
    """Return the field that an answer of 400 names, and what it says."""
    answer = client.ask("GET", f"/usage?{query}")
    assert answer.status == 400, answer.body
    return answer.json["error"]["param"], answer.json["message"]


def test_nothing_was_used_where_nothing_was_called(client: Asker) -> None:
    found = client.get("/usage")
    assert (found["object"], found["data"]) == ("list", [])
    assert found["total"]["calls"] == 0
    assert found["total"]["cost"] is None


@pytest.mark.parametrize("prefix", ["/api/v1", "/v1"])
def test_calls_of_a_day_are_one_row_with_their_tokens_and_their_cost(
    client: Asker, reader: Asker, prefix: str
) -> None:
    for _ in range(3):
        client.chat("priced")
    client.chat("priced", stream=False, store=False)
    found = reader.get("/usage", prefix=prefix)
    (row,) = found["data"]
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert row["start"] == f"{today:%Y-%m-%dT%H:%M:%SZ}"
    assert (row["calls"], row["failed"], row["unpriced"]) == (4, 0, 0)
    assert row["usage"]["prompt_tokens"] == 4 * USED["prompt_tokens"]
    assert row["usage"]["total_tokens"] == 4 * sum(USED.values())
    assert row["cost"] == f"{4 * COST}"
    assert found["total"] == {n: v for n, v in row.items() if n not in ("start", "end")}


def test_what_has_no_price_is_counted_and_costs_nothing_that_is_known(client: Asker) -> None:
    client.chat("ok")
    client.ask("POST", CHAT, {"model": "status:500", "messages": HI})
    (row,) = usage(client)
    assert (row["calls"], row["failed"], row["unpriced"], row["cost"]) == (2, 1, 1, None)
    client.chat("priced")
    (row,) = usage(client)
    assert (row["unpriced"], row["cost"]) == (1, f"{COST}")


def test_the_tables_prices_are_those_of_known_providers(client: Asker) -> None:
    client.chat("gpt-4o-mini")
    (row,) = usage(client)
    assert row["cost"] == "0.00000435"  # 7 tokens at $0.15 for a million, 4 at $0.075, 5 at $0.60


def test_rows_are_of_each_model_and_key(client: Asker, reader: Asker) -> None:
    client.chat("priced")
    client.chat("ok")
    client.chat("ok")
    found = {(row["model"], row["key"]): row["calls"] for row in usage(client, "group=model,key")}
    assert found == {("priced", client.key): 1, ("ok", client.key): 2}
    assert [row["calls"] for row in usage(client, "model=ok")] == [2]
    assert usage(client, f"key={reader.key}") == []


def test_rows_are_of_each_value_of_a_label_and_of_the_calls_without(client: Asker) -> None:
    for feature in ("search", "search", "chat"):
        client.chat("priced", metadata={"feature": feature, "other": "x"})
    client.chat("priced")
    for group in ("feature", "metadata.feature"):
        rows = usage(client, f"group={group}")
        found = {row["metadata"]["feature"]: (row["calls"], row["cost"]) for row in rows}
        assert found == {
            "search": (2, f"{2 * COST}"),
            "chat": (1, f"{COST}"),
            None: (1, f"{COST}"),
        }
    assert client.get("/usage?group=feature")["total"]["calls"] == 4
    assert [row["calls"] for row in usage(client, "metadata.feature=search")] == [2]
    (row,) = usage(client, "metadata.feature=search&group=feature,model")
    assert (row["metadata"], row["model"], row["calls"]) == ({"feature": "search"}, "priced", 2)


def test_another_projects_usage_is_not_told(client: Asker, stranger: Asker) -> None:
    client.chat("priced")
    assert usage(stranger) == []
    assert usage(stranger, f"key={client.key}") == []


def test_hours_are_told_apart_and_the_time_narrows(client: Asker) -> None:
    for hours in (0, 1, 30):
        at = (time.time() - hours * 3600) * 1000
        client.post("/report", {"requestedAt": at, "receivedAt": at, "statusCode": 200})
    assert [row["calls"] for row in usage(client, "by=hour")] == [1, 1, 1]
    since = int(time.time()) - 3600
    assert sum(row["calls"] for row in usage(client, f"from={since}")) == 2
    iso = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%S}"
    assert usage(client, f"from={iso}Z") == usage(client, f"from={since}")
    assert usage(client, f"from={iso}") == usage(client, f"from={since}")
    (row,) = usage(client, f"to={since - 20 * 3600}")
    assert row["calls"] == 1


@pytest.mark.parametrize(
    ("query", "param", "said"),
    [
        ("from=yesterday", "from", "'yesterday'"),
        ("to=2026-13-01", "to", "'2026-13-01'"),
        ("from=2&to=1", "from", "'2'"),
        ("by=week", "by", "week"),
        ("group=nothing", "group", "'nothing'"),
        ("group=feature,team", "group", "'team'"),
        ("metadata.nothing=1", "metadata.nothing", "'feature', 'team'"),
        ("metadata.feature=a&metadata.team=b", "metadata.team", "one name"),
        ("metadata.feature=a&group=team", "group", "metadata.feature"),
        ("since=1", "since", "since"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(
    client: Asker, query: str, param: str, said: str
) -> None:
    found, message = refused(client, query)
    assert found == param
    assert said in message


def test_nobody_reads_without_a_key(server: Standpipe) -> None:
    assert serving.call(server, "GET", "/usage", key="no key of anybody").status == 401


def test_a_report_costs_what_its_model_does(client: Asker) -> None:
    payload = {"model": "gpt-4o-mini", "messages": HI}
    answer = {
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"message": {"role": "assistant", "content": "Hello"}}],
        "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0},
    }
    client.post("/report", {"reqPayload": payload, "respPayload": answer, "statusCode": 200})
    (row,) = usage(client)
    assert row["cost"] == "0.15"
    client.post("/report", {"reqPayload": "none", "respPayload": answer, "statusCode": 200})
    (row,) = usage(client)
    assert (row["calls"], row["unpriced"], row["cost"]) == (2, 1, "0.15")


def test_the_rows_cost_is_that_of_the_sums(client: Asker, store: Store, project: Project) -> None:
    for model in ("priced", "gpt-4o-mini", "ok"):
        client.chat(model)
    (row,) = usage(client)
    rows = store.logs(project.id)
    assert sum(each.cost or 0 for each in rows) == Decimal(row["cost"])
    assert {each.price_version and each.price_version.split()[0] for each in rows} == {
        "configured",
        "genai-prices",
        None,
    }
