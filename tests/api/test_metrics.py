"""GET /metrics, read by Prometheus's own parser."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import misbehaving
import pytest
import serving
from asking import CHAT, HI, until
from misbehaving import Misbehaving
from prometheus_client.parser import text_string_to_metric_families
from serving import Standpipe

from standpipe.api import metrics
from standpipe.api.metrics import METRICS
from standpipe.drain.metrics import CALLS, Counted
from standpipe.store import Store
from standpipe.store.tokens import new_token

PAGE = (serving.REPOSITORY / "docs" / "metrics.md").read_text()
DASHBOARD = serving.REPOSITORY / "deploy" / "grafana" / "standpipe.json"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Misbehaving]:
    with misbehaving.running() as provider:
        yield provider


def scraped(server: Standpipe) -> Samples:
    answer = serving.call(server, "GET", "/metrics", root=True, key=" ")
    assert answer.status == 200
    assert answer.headers["content-type"] == metrics.CONTENT_TYPE
    return parsed(answer.body)


def parsed(body: bytes) -> Samples:
    """Return the samples; each series and each metric may be there once."""
    found: Samples = {}
    families = list(text_string_to_metric_families(body.decode()))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def total(samples: Samples, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(value for (each, own), value in samples.items() if each == name and wanted <= own)


def refused(server: Standpipe) -> Counter[tuple[str, str]]:
    """Return how many requests were refused, by status and reason."""
    found: Counter[tuple[str, str]] = Counter()
    for (name, own), value in scraped(server).items():
        if name == "standpipe_refused_requests_total":
            labels = dict(own)
            found[labels["status"], labels["reason"]] += int(value)
    return found


def test_calls_of_all_workers_are_counted_once_each(tmp_path: Path, upstream: Misbehaving) -> None:
    provider = serving.provider("openai", upstream.url, api_key='"sk-upstream"', models='["ok"]')
    with serving.serving(tmp_path / "home", provider, SERVER_WORKERS="2") as server:
        for number in range(20):
            body = {"model": "ok", "messages": HI, "stream": number % 2 == 0}
            assert serving.call(server, "POST", CHAT, body).status == 200
        serving.call(server, "POST", CHAT, {"model": "status:503", "messages": HI})
        serving.call(server, "POST", CHAT, {"model": "openpipe:none", "messages": HI})
        until(lambda: total(scraped(server), "standpipe_calls_total") >= 22)
        found = scraped(server)
        assert total(found, "standpipe_calls_total", model="ok", outcome="complete") == 20
        assert total(found, "standpipe_calls_total", outcome="refused", status="404") == 1
        assert total(found, "standpipe_attempts_total", outcome="answered") == 20
        durations = "standpipe_call_duration_seconds"
        assert total(found, f"{durations}_count", model="ok") == 20
        assert total(found, f"{durations}_bucket", model="ok", le="+Inf") == 20
        assert 0 < total(found, f"{durations}_sum", model="ok") < 20 * serving.PATIENCE
        assert total(found, "standpipe_time_to_first_token_seconds_count", model="ok") == 10
        assert total(found, "standpipe_tokens_total", model="ok", type="output") > 0
        assert refused(server) == {}
        serving.call(server, "POST", CHAT, headers={"x-long": "x" * 100_000})
        for path in (CHAT, "/messages", "/logs/delete", "/nowhere"):
            serving.call(server, "POST", path, {}, key="nobody's")
        serving.call(server, "GET", "/models", headers={"Authorization": "Basic x"})
        serving.call(server, "GET", "/models/nothing")
        serving.call(server, "POST", CHAT, headers={"content-type": "text/plain"})
        wanted = {
            ("401", "unknown_key"): 3,
            ("401", "no_key"): 1,
            ("404", "not_found"): 2,
            ("415", "unsupported_media_type"): 1,
            ("431", "headers_too_large"): 1,
        }
        until(lambda: refused(server) == wanted)
        workers = {dict(own)["worker"] for name, own in found if name == "standpipe_connections"}
        assert workers == {"worker-0", "worker-1"}
        until(lambda: total(scraped(server), "standpipe_records_total", result="written") >= 22)
        assert total(found, "standpipe_store_up") == 1
        # Any process may be killed, and what was counted stays.
        server.child("standpipe.drain").kill()
        serving.call(server, "POST", CHAT, {"model": "ok", "messages": HI})
        until(lambda: total(scraped(server), "standpipe_calls_total", model="ok") >= 21)
        found = scraped(server)
        assert total(found, "standpipe_calls_total", model="ok") == 21
        assert total(found, "standpipe_processes_ended_total", child="drain") == 1
        assert total(found, "standpipe_processes_ended_total") == 1


def test_whoever_others_can_reach_wants_an_admin_key(tmp_path: Path, upstream: Misbehaving) -> None:
    provider = serving.provider("openai", upstream.url, api_key='"sk-upstream"', models='["ok"]')
    proxies = {"SERVER_TRUSTED_PROXIES": "127.0.0.1"}
    with (
        serving.serving(tmp_path / "home", provider, **proxies) as server,
        closing(Store.open(f"sqlite:///{server.home / 'standpipe.db'}")) as store,
    ):
        _, admin = new_token()
        owner = store.add_project("watchers").id
        store.add_key(owner, name="prometheus", read_only=True, token=admin, admin=True)
        asked = {
            key: serving.call(server, "GET", "/metrics", root=True, key=key).status
            for key in (" ", "nobody's", server.key, admin)
        }
        assert list(asked.values()) == [401, 401, 403, 200]


def test_names_that_callers_choose_are_escaped() -> None:
    odd = 'a"b\\c\nd{e="f"}\u2028 é'
    counted = Counted({CALLS.name: [(("chat", "p", odd, "complete", "200"), 1.0)]})
    ((_, labels),) = parsed(metrics.text(counted, []))
    assert dict(labels)["model"] == odd


def test_page_has_every_metric_and_no_other() -> None:
    row = re.compile(r"^\| `(standpipe_\w+)` \| (\w+) \| ([^|]*)\|", re.MULTILINE)
    told = {name: (kind, tuple(re.findall(r"`(\w+)`", of))) for name, kind, of in row.findall(PAGE)}
    assert told == {each.name: (each.type, each.labels) for each in METRICS}


#: A metric in a query, and the labels that are asked of it.
SELECTOR = re.compile(r"\b(standpipe_\w+)(?:\{([^}]*)\})?")


def test_dashboard_asks_only_for_what_there_is() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [each for each in dashboard["panels"] if each["type"] != "row"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    queries += [each["query"]["query"] for each in dashboard["templating"]["list"][1:]]
    known: dict[str, set[str]] = {}
    for each in METRICS:
        ends = ("_bucket", "_sum", "_count") if each.type == "histogram" else ("",)
        known |= {each.name + end: {*each.labels, "instance", "job"} for end in ends}
    for query in queries:
        for name, selectors in SELECTOR.findall(query):
            asked = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors)
            assert set(asked) <= known[name], query
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
