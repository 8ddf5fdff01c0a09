"""What users ask of the store: each question again and again, about something else each time."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from traffic import DAYS, LABELS, MODELS, TEAM, Traffic, key_of, value_of

from standpipe.store import Row, Store
from standpipe.store.usage import DAY_US, HOUR_US, UsageQuery

#: How often each is asked.
RUNS = 60
#: Rows that a page has.
PAGE = 20
#: Rows that a report may have.
REPORT = 10_000

#: Something to ask, all of it known but the answer.
Ask = Callable[[], Any]


def ask_all(store: Store, traffic: Traffic) -> dict[str, dict[str, float]]:
    """Return the milliseconds that each question takes."""
    return {name: _timed(draw) for name, draw in _questions(store, traffic).items()}


def _timed(draw: Callable[[], Ask]) -> dict[str, float]:
    times = []
    for _ in range(RUNS):
        ask = draw()
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    return {
        "median_ms": round(statistics.median(times), 2),
        "p95_ms": round(times[int(RUNS * 0.95)], 2),
        "worst_ms": round(times[-1], 2),
    }


def _questions(store: Store, traffic: Traffic) -> dict[str, Callable[[], Ask]]:
    """Return what draws each question, by its name in the table."""
    drawn = _Draws(store, traffic)
    team, prompt, user = LABELS
    one_in = {name: f"one call in {LABELS[name]:,}" for name in LABELS}
    values = f"{LABELS[TEAM]} values of metadata"
    return {
        "stored completions, first page": drawn.completions,
        f"… with metadata that {one_in[team]} has": partial(drawn.completions, team),
        f"… with metadata that {one_in[prompt]} has": partial(drawn.completions, prompt),
        f"… with metadata that {one_in[user]} has": partial(drawn.completions, user),
        "… with two names of metadata": partial(drawn.completions, team, prompt),
        "… with metadata that no call has": drawn.none,
        f"… newest first, {one_in[team]}": partial(drawn.completions, team, order="desc"),
        f"… a page deep in it, {one_in[team]}": partial(drawn.deep, team),
        f"… a page deep in it, {one_in[prompt]}": partial(drawn.deep, prompt),
        "log, newest page": drawn.logs,
        "log, a page deep in it": drawn.logs_before,
        "log, a model's newest page": drawn.logs_of_model,
        "log, a model's page in an hour": drawn.logs_of_hour,
        "log, newest page of calls that failed": partial(drawn.logs, outcome="failed"),
        f"log, newest page with metadata, {one_in[team]}": partial(drawn.logs_of_label, team),
        f"log, newest page with metadata, {one_in[prompt]}": partial(drawn.logs_of_label, prompt),
        "a call by its id": partial(drawn.one, "id"),
        "a call by its answer's id": partial(drawn.one, "completion_id"),
        "usage of 30 days by day and model": partial(drawn.usage, by_model=True),
        "usage of 30 days by day, model and key": partial(drawn.usage, by_model=True, by_key=True),
        "usage of 30 days by day, of one key": drawn.usage_of_key,
        f"usage of 30 days by day and {values}": partial(drawn.usage, by_name=TEAM),
        "usage of 30 days by day, of one value": drawn.usage_of_label,
        "usage of a day by hour and model": drawn.usage_of_day,
    }


class _Draws:
    """Draws what is asked about."""

    def __init__(self, store: Store, traffic: Traffic) -> None:
        self._store = store
        self._traffic = traffic
        self._project = traffic.project
        self._chance = random.Random(3)

    def completions(self, *names: str, **conditions: Any) -> Ask:
        given = {"metadata": self._labels(*names), "limit": PAGE, **conditions}
        return partial(self._store.completions, self._project, **given)

    def none(self) -> Ask:
        return partial(self._store.completions, self._project, metadata={TEAM: "nobody"})

    def deep(self, name: str) -> Ask:
        labels = self._labels(name)
        after = self._some_call(metadata=labels).id
        ask = partial(self._store.completions, self._project)
        return partial(ask, metadata=labels, after=after, limit=PAGE)

    def logs(self, **filters: Any) -> Ask:
        return partial(self._store.logs, self._project, limit=PAGE, texts=False, **filters)

    def logs_before(self) -> Ask:
        return self.logs(before=self._some_call().id)

    def logs_of_model(self) -> Ask:
        return self.logs(model=self._model())

    def logs_of_hour(self) -> Ask:
        since = self._time()
        return self.logs(model=self._model(), since=since, until=since + HOUR_US)

    def logs_of_label(self, name: str) -> Ask:
        return self.logs(metadata=self._labels(name))

    def one(self, field: str) -> Ask:
        name = getattr(self._some_call(status=200, texts=True), field)
        return partial(self._store.completion, self._project, name)

    def usage(self, days: int = DAYS, **fields: Any) -> Ask:
        end = self._traffic.end
        asked = UsageQuery(since=end - days * DAY_US, until=end, **fields)
        return partial(self._store.usage, self._project, asked, limit=REPORT)

    def usage_of_day(self) -> Ask:
        return self.usage(days=1, by="hour", by_model=True)

    def usage_of_key(self) -> Ask:
        return self.usage(key=key_of(self._chance))

    def usage_of_label(self) -> Ask:
        return self.usage(label=(TEAM, value_of(TEAM, self._chance)))

    def _labels(self, *names: str) -> dict[str, str]:
        return {name: value_of(name, self._chance) for name in names}

    def _model(self) -> str:
        return self._chance.choice(MODELS)[1]

    def _time(self) -> int:
        """Return a time that is not at either end."""
        begin, end = self._traffic.begin, self._traffic.end
        return round(begin + (end - begin) * (0.1 + 0.8 * self._chance.random()))

    def _some_call(self, *, texts: bool = False, **filters: Any) -> Row:
        until = self._time()
        given = {"limit": 1, "until": until, "texts": texts, **filters}
        return self._store.logs(self._project, **given)[0]
