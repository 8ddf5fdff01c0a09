"""Traces on their way to a collector that is there, away, busy, or will not have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import misbehaving
import pytest
import serving
from asking import CHAT, HI, until
from collecting import Collector, collecting
from misbehaving import Misbehaving

from standpipe.drain import metrics, traces
from standpipe.drain.metrics import SPANS, Counts
from standpipe.drain.traces import Traces, TraceSpec
from standpipe.store.rows import Row
from standpipe.wire.record import Attempt

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    with misbehaving.running() as provider:
        yield provider


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "GATHER_S", 0.01)
    monkeypatch.setattr(traces, "PAUSES_S", (0.01, 0.02))


def row(call: str) -> Row:
    return Row(
        id=call,
        kind="chat",
        project="p",
        key="k",
        requested_at=1,
        received_at=2,
        updated_at=2,
        outcome="complete",
        status=200,
        logged=False,
        attempts=(Attempt("openai", "m", 1, status=200),),
    )


def told(counts: Counts, directory: Path) -> dict[str, float]:
    counts.tell()
    found = metrics.told(directory).counters[SPANS.name]
    return {labels[0]: number for labels, number in found}


def test_a_call_is_in_the_callers_trace_with_the_collectors_key(
    tmp_path: Path, upstream: Misbehaving, collector: Collector
) -> None:
    configuration = serving.provider("openai", upstream.url, api_key='"sk-upstream"')
    configuration += f'[telemetry]\notlp_endpoint = "{collector.url}/base/"\n'
    configuration += 'headers = { authorization = "Bearer collectors-own-key" }\n'
    with serving.serving(tmp_path, configuration) as server:
        body = {"model": "openai:ok", "messages": HI}
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        answer = serving.call(server, "POST", CHAT, body, headers=headers)
        assert answer.status == 200
        serving.call(server, "POST", CHAT, {"model": "openai:status:503", "messages": HI})
        # What has not been sent yet goes out before the end.
        assert server.stop() == 0
    assert collector.path == "/base/v1/traces"
    assert collector.headers["authorization"] == "Bearer collectors-own-key"
    call, attempt = (span for span in collector.spans if span["traceId"] == TRACE)
    assert (call["parentSpanId"], attempt["parentSpanId"]) == (PARENT, call["spanId"])
    named = {each["key"]: each["value"] for each in call["attributes"]}
    assert named["standpipe.call.id"] == {"stringValue": answer.headers["x-request-id"]}
    assert "gen_ai.input.messages" not in named
    assert any(span.get("status") == {"code": 2} for span in collector.spans)
    spans = dict(metrics.told(tmp_path / "spool").counters[SPANS.name])
    assert spans == {("sent",): len(collector.spans)}
    assert b"collectors-own-key" not in server.log.read_bytes()


def test_a_provider_is_told_of_the_trace_where_that_is_wanted(
    tmp_path: Path, upstream: Misbehaving, collector: Collector
) -> None:
    configuration = serving.provider("openai", upstream.url, api_key='"sk-upstream"')
    configuration += f'[telemetry]\notlp_endpoint = "{collector.url}"\npropagate = true\n'
    configuration += '[routes.held]\ntargets = [{ provider = "openai", model = "status:500" }]\n'
    configuration += 'fallback = [{ provider = "openai", model = "ok" }]\n'
    parent = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1"}
    with serving.serving(tmp_path, configuration) as server:
        for headers in (parent, {}, {"traceparent": "00-x", "tracestate": "a=1"}):
            body = {"model": "held", "messages": HI}
            assert serving.call(server, "POST", CHAT, body, headers=headers).status == 200
        assert server.stop() == 0
    asked = [request.headers for request in upstream.requests]
    assert [headers.get("tracestate") for headers in asked] == ["a=1"] * 2 + [None] * 4
    assert ["traceparent" in headers for headers in asked] == [True] * 4 + [False] * 2
    told = [headers["traceparent"].split("-") for headers in asked[:4]]
    assert [trace for _, trace, _, _ in told[:2]] == [TRACE] * 2
    # What was told is what the collector hears of: the attempts, each below its call.
    attempts = {span["spanId"]: span for span in collector.spans if span["kind"] == 3}
    assert len(attempts) == 6
    assert all(attempts[span]["traceId"] == trace for _, trace, span, _ in told)
    assert {flags for *_, flags in told} == {"01"}


def test_a_provider_is_told_of_no_trace_unless_that_is_wanted(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    with serving.serving(tmp_path, serving.provider("openai", upstream.url)) as server:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1"}
        body = {"model": "openai:ok", "messages": HI}
        assert serving.call(server, "POST", CHAT, body, headers=headers).status == 200
    assert not {"traceparent", "tracestate"} & upstream.last.headers.keys()


def test_a_collector_that_will_take_them_later_has_them_then(
    tmp_path: Path, collector: Collector
) -> None:
    collector.answers = [503, 429, 502]
    counts = Counts(tmp_path)
    with closing(Traces(TraceSpec(collector.url), {}, counts)) as sink:
        sink.take([row("a"), row("b")], 2)
        until(lambda: len(collector.spans) == 4)
    sink.tell()
    assert collector.requests == 4
    assert told(counts, tmp_path) == {"sent": 4}


@pytest.mark.parametrize("status", [400, 401, 307, 500])
def test_what_a_collector_will_not_have_is_counted_and_held_on_to_no_longer(
    tmp_path: Path, collector: Collector, status: int
) -> None:
    collector.answers = [status]
    counts = Counts(tmp_path)
    with closing(Traces(TraceSpec(collector.url), {}, counts)) as sink:
        sink.take([row("a")], 1)
        until(lambda: collector.requests == 1)
        sink.take([row("b")], 1)
        until(lambda: len(collector.spans) == 2)
    sink.tell()
    assert told(counts, tmp_path) == {"sent": 2, "dropped": 2}


def test_a_collector_that_is_away_holds_up_nothing_and_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "MOST_WAITING", 20_000)
    monkeypatch.setattr(traces, "FINISH_S", 0.2)
    nowhere = f"http://127.0.0.1:{serving.free_port()}"
    counts = Counts(tmp_path)
    with closing(Traces(TraceSpec(nowhere), {}, counts)) as sink:
        for number in range(200):
            sink.take([row(str(number))], 1)
        sink.tell()
        assert told(counts, tmp_path)["dropped"] > 300
    sink.tell()
    assert told(counts, tmp_path) == {"dropped": 400}


def test_rows_that_were_there_before_are_not_told_of_again(
    tmp_path: Path, collector: Collector
) -> None:
    with closing(Traces(TraceSpec(collector.url), {}, Counts(tmp_path))) as sink:
        sink.take([row("a")], 0)
        sink.take([row("b")], 1)
    assert len(collector.spans) == 2
