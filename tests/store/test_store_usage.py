"""The sums of usage: those of the rows, to the last digit, whatever came twice or at once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import SQLAlchemyError

from standpipe.store import Batch, Project, Row, Store
from standpipe.store.usage import DAY_US, HOUR_US, Sums, UsageQuery, UsageRow
from standpipe.wire.record import Usage

RowMaker = Callable[..., Row]

ALL = UsageQuery(since=0, until=2**62, by="hour")
LIMIT = 100_000


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Return a store that sums up by two names of metadata."""
    with closing(Store.open(url, busy_timeout_s=5, usage_names=("team", "feature"))) as opened:
        yield opened


def sums(store: Store, project_id: str | None, asked: UsageQuery = ALL) -> Sums:
    found = Sums()
    for row in store.usage(project_id, asked, limit=LIMIT):
        found += row.sums
    return found


def expected(rows: list[Row]) -> Sums:
    """Return what usage there is in rows, added up one by one."""
    found: Counter[str] = Counter()
    for row in rows:
        usage = row.usage or Usage()
        found["calls"] += 1
        found["failed"] += row.outcome != "complete"
        found["priced"] += row.cost is not None
        found["unpriced"] += row.usage is not None and row.cost is None
        for name in ("prompt", "completion", "cached", "cache_write", "reasoning"):
            found[f"{name}_tokens"] += getattr(usage, f"{name}_tokens") or 0
        found["audio_tokens"] += usage.prompt_audio_tokens or 0
        found["audio_tokens"] += usage.completion_audio_tokens or 0
        found["cost_pico"] += int((row.cost or 0) * 10**12)
    return Sums(**found)


def random_rows(row_of: RowMaker, projects: list[Project], how_many: int, seed: int) -> list[Row]:
    """Return rows of all kinds; some of the same id."""
    chance = random.Random(seed)

    def count() -> int | None:
        return chance.choice((None, 0, chance.randrange(10**6), 2**40))

    def one(n: int) -> Row:
        usage = Usage(*(count() for _ in Usage.__struct_fields__))
        return row_of(
            n,
            project=chance.choice(projects).id,
            requested_at=chance.randrange(3 * DAY_US),
            key=chance.choice((None, "k1", "k2")),
            model=chance.choice((None, "m1", "m2", "m3")),
            outcome=chance.choice(("complete", "cut", "failed")),
            usage=chance.choice((None, usage)),
            cost=chance.choice((None, Decimal(chance.randrange(10**15)).scaleb(-12))),
            metadata=chance.choice(({}, {"team": chance.choice("ab")}, {"team": "a", "x": "y"})),
        )

    return [one(chance.randrange(how_many)) for _ in range(how_many)]


@pytest.mark.parametrize("seed", range(3))
def test_sums_are_those_of_the_rows_to_the_last_digit(
    store: Store, project: Project, other: Project, row_of: RowMaker, seed: int
) -> None:
    rows = random_rows(row_of, [project, other], 400, seed)
    for start in (0, 50, 100, 0, 300, 200, 250, 350, 150):  # some again, as after a crash
        store.add(Batch(rows=rows[start : start + 80]))
    for each in (project, other):
        kept = list(store.each_log(each.id))
        assert len(kept) > 100
        assert sums(store, each.id) == expected(kept)
        grouped = UsageQuery(since=0, until=2**62, by_model=True, by_key=True, by_name="team")
        assert sums(store, each.id, grouped) == expected(kept)
        for team in "ab":
            narrowed = UsageQuery(since=0, until=2**62, label=("team", team))
            theirs = [row for row in kept if row.metadata.get("team") == team]
            assert sums(store, each.id, narrowed) == expected(theirs)
        narrowed = UsageQuery(since=0, until=2**62, model="m1", key="k2")
        theirs = [row for row in kept if (row.model, row.key) == ("m1", "k2")]
        assert sums(store, each.id, narrowed) == expected(theirs)
    assert sums(store, None) == sums(store, project.id) + sums(store, other.id)
    assert store.faults()["usage"] == 0


def test_days_are_the_sums_of_their_hours_in_any_time(
    store: Store, project: Project, other: Project, row_of: RowMaker
) -> None:
    chance = random.Random(5)
    store.add(Batch(rows=random_rows(row_of, [project, other], 400, 5)))
    for _ in range(30):
        since, until = sorted(chance.sample(range(0, 4 * DAY_US, HOUR_US // 2), 2))
        model, key = chance.random() < 0.5, chance.random() < 0.5
        name = chance.choice((None, "team"))
        asked = UsageQuery(since=since, until=until, by_model=model, by_key=key, by_name=name)
        whose = chance.choice((None, project.id))
        summed: dict[tuple[object, ...], Sums] = {}
        for row in store.usage(whose, replace(asked, by="hour"), limit=LIMIT):
            place = (row.start // DAY_US * DAY_US, row.model, row.key, row.value)
            summed[place] = summed.get(place, Sums()) + row.sums
        days = store.usage(whose, asked, limit=LIMIT)
        assert {(row.start, row.model, row.key, row.value): row.sums for row in days} == summed
        assert len(days) == len(summed)


def test_rows_that_two_drains_have_at_once_count_once(
    url: str, store: Store, project: Project, row_of: RowMaker
) -> None:
    rows = random_rows(row_of, [project], 300, 7)
    batches = [rows[start : start + 60] for start in range(0, 300, 30)]

    def drain(turn: int) -> int:
        with closing(Store.open(url, busy_timeout_s=30)) as opened:
            order = batches[turn:] + batches[:turn]
            return sum(opened.add(Batch(rows=each)) for each in order)

    with ThreadPoolExecutor(4) as threads:
        inserted = sum(threads.map(drain, range(4)))
    kept = list(store.each_log(project.id))
    assert inserted == len(kept)
    assert sums(store, project.id) == expected(kept)


def test_a_transaction_that_fails_adds_nothing(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    good = row_of(1, usage=Usage(5, 5), cost=Decimal(1))
    with pytest.raises(SQLAlchemyError):
        store.add(Batch(rows=[good], positions={"segment": object()}))  # type: ignore[dict-item]
    assert sums(store, project.id) == Sums()
    store.add(Batch(rows=[good]))
    assert sums(store, project.id).calls == 1


def test_hours_and_days_begin_in_utc_and_the_end_is_not_in_it(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    times = (0, HOUR_US - 1, HOUR_US, DAY_US - 1, DAY_US)
    store.add(Batch(rows=[row_of(n, requested_at=at) for n, at in enumerate(times)]))

    def starts(**fields: object) -> list[tuple[int, int]]:
        asked = UsageQuery(**({"since": 0, "until": 2**62} | fields))  # type: ignore[arg-type]
        rows = store.usage(project.id, asked, limit=LIMIT)
        return [(row.start, row.sums.calls) for row in rows]

    assert starts(by="hour") == [(0, 2), (HOUR_US, 1), (DAY_US - HOUR_US, 1), (DAY_US, 1)]
    assert starts() == [(0, 4), (DAY_US, 1)]
    assert starts(until=DAY_US) == [(0, 4)]
    assert starts(since=HOUR_US + 5) == [(0, 2), (DAY_US, 1)]


def test_calls_without_the_label_are_a_row_of_their_own(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    labels: list[dict[str, str]] = [{"team": "b"}, {"team": "a"}, {"other": "x"}, {}]
    store.add(Batch(rows=[row_of(n, metadata=each) for n, each in enumerate(labels)]))
    asked = UsageQuery(since=0, until=2**62, by_name="team")
    rows = store.usage(project.id, asked, limit=LIMIT)
    assert [(row.value, row.sums.calls) for row in rows] == [("a", 1), ("b", 1), (None, 2)]
    asked = UsageQuery(since=0, until=2**62, by_name="team", label=("team", "a"))
    (row,) = store.usage(project.id, asked, limit=LIMIT)
    assert (row.value, row.sums.calls) == ("a", 1)


def test_projects_are_rows_of_their_own_where_that_is_wanted(
    store: Store, project: Project, other: Project, row_of: RowMaker
) -> None:
    owners = (project.id, other.id, other.id)
    labels: list[dict[str, str]] = [{"team": "a"}, {"team": "a"}, {}]
    both = zip(owners, labels, strict=True)
    store.add(
        Batch(rows=[row_of(n, project=who, metadata=label) for n, (who, label) in enumerate(both)])
    )
    by_project = UsageQuery(since=0, until=2**62, by_project=True)
    rows = store.usage(None, by_project, limit=LIMIT)
    assert {row.project: row.sums.calls for row in rows} == {project.id: 1, other.id: 2}
    rows = store.usage(None, replace(by_project, by_name="team"), limit=LIMIT)
    assert {(row.project, row.value, row.sums.calls) for row in rows} == {
        (project.id, "a", 1),
        (other.id, "a", 1),
        (other.id, None, 1),
    }
    (row,) = store.usage(project.id, by_project, limit=LIMIT)
    assert (row.project, row.sums.calls) == (project.id, 1)


def test_no_more_rows_are_read_than_wanted(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    rows = [row_of(n, model=f"m{n}", metadata={"team": f"t{n}"}) for n in range(9)]
    store.add(Batch(rows=rows))
    by_model = UsageQuery(since=0, until=2**62, by_model=True)
    by_team = UsageQuery(since=0, until=2**62, by_name="team")
    for asked in (by_model, by_team):
        assert len(store.usage(project.id, asked, limit=4)) == 4


def test_figures_that_are_nonsense_do_not_stop_the_drain(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    absurd = Usage(10**12, 10**12, prompt_audio_tokens=10**12)
    dear = Decimal(2**63 - 1).scaleb(-12)
    for start in (0, 3):
        rows = [row_of(start + n, usage=absurd, cost=dear) for n in range(3)]
        assert store.add(Batch(rows=rows)) == 3
    found = sums(store, project.id)
    assert (found.calls, found.prompt_tokens, found.audio_tokens) == (6, 6 * 10**12, 6 * 10**12)
    assert found.cost_pico == 2**63 - 1
    store.add(Batch(rows=[row_of(9, usage=absurd, cost=dear, requested_at=HOUR_US * 50)]))
    assert sums(store, project.id).cost_pico == 2 * (2**63 - 1)


def test_usage_is_of_the_hour_key_and_model_of_the_request(
    store: Store, project: Project, row_of: RowMaker
) -> None:
    row = row_of(1, key=None, model=None, usage=Usage(3, 4), cost=Decimal("0.5"))
    store.add(Batch(rows=[row]))
    asked = UsageQuery(since=0, until=2**62, by="hour", by_model=True, by_key=True)
    sum_of_it = Sums(1, 0, 1, 0, 3, 4, cost_pico=5 * 10**11)
    assert store.usage(project.id, asked, limit=9) == [UsageRow(0, "", "", None, sum_of_it)]
    assert sum_of_it.cost == Decimal("0.5")
    assert Sums(calls=1).cost is None
    assert Sums(calls=1, priced=1).cost == 0
