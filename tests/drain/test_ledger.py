"""What is spent: rows and sums agree with what providers said, though the drain be killed."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from spooling import start_python

from standpipe.spool import Spool
from standpipe.store.store import Store
from standpipe.store.usage import UsageQuery
from standpipe.wire.ids import new_id
from standpipe.wire.record import Attempt, Begin, Outcome, Record, Usage, encode

DRAIN = "import sys; from standpipe.drain.__main__ import main; sys.exit(main())"
#: Dollars for a million tokens.
PRICE = {"input": "0.15", "output": "0.6", "cached_input": "0.075", "output_audio": "12.345678"}
TEAMS = ("search", "ads", "")


def start_drain(url: str, directory: Path) -> subprocess.Popen[str]:
    drain = start_python(DRAIN, stdin=subprocess.PIPE)
    assert drain.stdin is not None
    assert drain.stdout is not None
    spec = {"store_url": url, "spool": str(directory), "usage_names": ["team"]}
    prices = {f"{place}/m": PRICE for place in ("here", "there")}
    drain.stdin.write(json.dumps({**spec, "prices": prices}) + "\n")
    drain.stdin.flush()
    assert json.loads(drain.stdout.readline()) == {"ready": True}
    return drain


def kill(drain: subprocess.Popen[str]) -> None:
    drain.kill()
    drain.communicate(timeout=30)


def random_usage(chance: random.Random) -> Usage:
    prompt, answer = chance.randrange(5000), chance.randrange(5000)
    cached = chance.randrange(prompt + 1)
    return Usage(prompt, answer, None, cached, completion_audio_tokens=chance.randrange(answer + 1))


def cost_of(usage: Usage) -> Decimal:
    prompt, answer = usage.prompt_tokens or 0, usage.completion_tokens or 0
    cached, spoken = usage.cached_tokens or 0, usage.completion_audio_tokens or 0
    rates = [Decimal(PRICE[name]) for name in ("input", "cached_input", "output", "output_audio")]
    counts = (prompt - cached, cached, answer - spoken, spoken)
    return sum((n * rate for n, rate in zip(counts, rates, strict=True)), Decimal(0)) / 10**6


def random_call(chance: random.Random, project: str, team: str) -> tuple[Record, Decimal | None]:
    """Return a record, and what it cost; None where that is not known."""
    shape = chance.choice(("one", "one", "several", "unknown", "refused"))
    outcome: Outcome = "refused" if shape == "refused" else "complete"
    used = [random_usage(chance) for _ in range(3 if shape == "several" else 1)]
    attempts = tuple(
        Attempt(place, "m", 1, status=200, usage=each, usage_source="provider")
        for place, each in zip(("here", "there", "here"), used, strict=False)
    )
    record = Record(
        id=new_id(),
        kind="chat",
        project=project,
        key=chance.choice(("k1", "k2")),
        requested_at=1_780_000_000_000_000 + chance.randrange(10**11),
        received_at=1_790_000_000_000_000,
        outcome=outcome,
        status=200,
        logged=False,
        model="mine",
        provider="nowhere" if shape == "unknown" else "here",
        provider_model="m",
        metadata={"team": team} if team else {},
        attempts=attempts if shape == "several" else (),
        usage=None if shape == "refused" else used[0],
        usage_source="provider",
    )
    costs = {"unknown": None, "refused": None}
    return record, costs.get(shape, sum(map(cost_of, used), Decimal(0)))


def test_what_is_spent_is_the_same_in_calls_rows_and_sums_after_kills(
    url: str, spool: Spool, directory: Path, store: Store, project: str
) -> None:
    chance = random.Random(20)
    spent: Counter[str] = Counter()
    priced, calls = 0, 0
    drain = start_drain(url, directory)
    for n in range(1500):
        team = chance.choice(TEAMS)
        record, cost = random_call(chance, project, team)
        if n % 5 == 0:
            begin = Begin(id=record.id, project=project, key="k1", requested_at=1)
            spool.append(encode(begin))
        spool.append(encode(record))
        if n % 7 == 0:
            spool.append(encode(record))  # twice, as no worker does
        calls += 1
        if cost is not None:
            priced += 1
            spent[team] += int(cost * 10**12)
        if n % 300 == 299:
            time.sleep(chance.random() / 10)
            kill(drain)
            drain = start_drain(url, directory)
    spool.close()
    deadline = time.monotonic() + 60
    while sum(store.counts(project).values()) < calls:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    drain.communicate(timeout=60)

    rows = list(store.each_log(project))
    assert len(rows) == calls
    assert sum((row.cost or 0) for row in rows) == Decimal(sum(spent.values())) / 10**12
    asked = UsageQuery(since=0, until=2**62, by_name="team")
    found: Counter[str] = Counter()
    with closing(Store.open(url)) as opened:
        for row in opened.usage(project, asked, limit=1000):
            found[row.value or ""] += row.sums.cost_pico
            calls -= row.sums.calls
            priced -= row.sums.priced
    assert found == spent
    assert (calls, priced) == (0, 0)
