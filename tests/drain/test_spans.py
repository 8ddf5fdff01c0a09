"""What a stored call becomes for OpenTelemetry, held to the conventions and to OTLP's own types."""

from __future__ import annotations

import base64
import importlib
import json
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes

from standpipe.drain.spans import encoded, origins, spans_of
from standpipe.drain.traces import _body
from standpipe.store.rows import Row
from standpipe.wire.record import Attempt, Usage

PLACES = origins({"openai": "https://api.openai.com/v1", "mine": "http://[::1]:8000/v1"})
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def row(**fields: Any) -> Row:
    known: dict[str, Any] = {
        "id": "a-call",
        "kind": "chat",
        "project": "p",
        "key": "k",
        "requested_at": 1_000_000,
        "received_at": 3_000_000,
        "updated_at": 3_000_000,
        "outcome": "complete",
        "status": 200,
        "logged": True,
    }
    return Row(**(known | fields))


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for each in span["attributes"]:
        ((kind, value),) = each["value"].items()
        if kind == "arrayValue":
            value = [next(iter(item.values())) for item in value["values"]]
        found[each["key"]] = int(value) if kind == "intValue" else value
    return found


def test_a_call_and_its_attempts_are_spans_of_one_trace() -> None:
    attempts = (
        Attempt("bedrock", "slow", 1_100_000, status=503, error="busy"),
        Attempt("openai", "gpt-4o", 2_000_000, status=200, first_byte_us=500_000),
    )
    call, first, second = spans_of(
        row(
            model="mine",
            provider="openai",
            provider_model="gpt-4o-2024",
            completion_id="chatcmpl-1",
            finish_reason="stop",
            streamed=True,
            first_byte_at=2_500_000,
            usage=Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=4),
            cost=Decimal("0.25"),
            attempts=attempts,
        ),
        PLACES,
        content=False,
    )
    assert len({span["traceId"] for span in (call, first, second)}) == 1
    assert len({span["spanId"] for span in (call, first, second)}) == 3
    assert "parentSpanId" not in call
    assert first["parentSpanId"] == second["parentSpanId"] == call["spanId"]
    assert (call["name"], call["kind"], second["kind"]) == ("chat mine", 2, 3)
    assert (call["startTimeUnixNano"], call["endTimeUnixNano"]) == ("1000000000", "3000000000")
    assert first["endTimeUnixNano"] == second["startTimeUnixNano"] == "2000000000"
    assert attributes(call) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "mine",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 1.5,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "standpipe.call.id": "a-call",
        "standpipe.project.id": "p",
        "standpipe.key.id": "k",
        "standpipe.outcome": "complete",
        "standpipe.cost.dollars": 0.25,
    }
    assert first["status"] == {"code": 2}
    assert attributes(first)["gen_ai.provider.name"] == "aws.bedrock"
    assert attributes(first)["error.type"] == "503"
    assert attributes(second)["server.address"] == "api.openai.com"
    assert "error.type" not in attributes(second)


@pytest.mark.parametrize(
    ("traceparent", "trace", "parent"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE, PARENT),
        (f"cc-{TRACE}-{PARENT}-03", TRACE, PARENT),
        (f"ff-{TRACE}-{PARENT}-01", None, None),
        (f"00-{'0' * 32}-{PARENT}-01", None, None),
        (f"00-{TRACE}-{'0' * 16}-01", None, None),
        ("not one at all", None, None),
        (None, None, None),
    ],
)
def test_the_callers_trace_is_joined(
    traceparent: str | None, trace: str | None, parent: str | None
) -> None:
    (span,) = spans_of(row(traceparent=traceparent), PLACES, content=False)
    assert span.get("parentSpanId") == parent
    assert (span["traceId"] == TRACE) == (trace is not None)
    assert len(span["traceId"]) == 32


def test_what_the_caller_does_not_sample_and_what_was_made_elsewhere_has_no_span() -> None:
    assert spans_of(row(traceparent=f"00-{TRACE}-{PARENT}-00"), PLACES, content=False) == []
    assert spans_of(row(kind="report"), PLACES, content=False) == []


def test_an_attempt_whose_provider_was_told_of_its_span_has_that_one() -> None:
    attempts = (Attempt("mine", "m", 1, status=503, span=PARENT), Attempt("mine", "m", 2))
    _, told, other = spans_of(row(attempts=attempts), PLACES, content=False)
    assert told["spanId"] == PARENT != other["spanId"]


@pytest.mark.parametrize(
    ("outcome", "status", "error_type", "is_error"),
    [
        ("refused", 404, "404", False),
        ("failed", 503, "503", True),
        ("cut", 200, "cut", True),
        ("abandoned", None, "abandoned", False),
        ("lost", 200, "lost", True),
    ],
)
def test_how_a_call_ended_is_told(
    outcome: str, status: int | None, error_type: str, is_error: bool
) -> None:
    (span,) = spans_of(row(outcome=outcome, status=status, error="SECRET"), {}, content=False)
    assert attributes(span)["error.type"] == error_type
    assert ("status" in span) == is_error
    assert "SECRET" not in json.dumps(span)


REQUEST = {
    "model": "m",
    "temperature": 0.5,
    "max_completion_tokens": 7,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url"}]},
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
    ],
}


def test_texts_are_there_only_where_that_is_wanted() -> None:
    texts = {"request": json.dumps(REQUEST), "response": '{"choices": [{"message": {}}]}'}
    (bare,) = spans_of(row(**texts), PLACES, content=False)
    assert "Be brief" not in json.dumps(bare)
    (told,) = spans_of(row(**texts), PLACES, content=True)
    found = attributes(told)
    assert found["gen_ai.request.temperature"] == 0.5
    assert found["gen_ai.request.max_tokens"] == 7
    messages = json.loads(found["gen_ai.input.messages"])
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    assert messages[0]["parts"] == [{"type": "text", "content": "Be brief."}]
    assert [part["type"] for part in messages[1]["parts"]] == ["text", "image_url"]
    assert messages[2]["parts"][0]["type"] == "tool_call"
    assert messages[3]["parts"] == [{"type": "tool_call_response", "id": "c", "response": "42"}]


@pytest.mark.parametrize(
    "junk",
    [
        "[",
        "[]",
        "null",
        '{"messages": 1, "choices": {}}',
        '{"choices": [{"message": 1}]}',
        '{"messages": [1, {"content": 1, "tool_calls": [{"function": 1}]}]}',
        '{"temperature": "hot", "seed": true}',
        f'{{"seed": {2**70}, "top_p": 1e400, "tools": [{{"a": {2**70}}}]}}',
        '{"messages": [{"content": ' + "[" * 900 + "]" * 900 + "}]}",
        '{"choices": [{"message": {"content": "\\ud800"}}]}',
    ],
)
def test_texts_of_any_form_make_a_span(junk: str) -> None:
    odd = row(request=junk, response=junk, model="\ud800", usage=Usage(2**70, -1))
    spans = spans_of(odd, PLACES, content=True)
    assert json.loads(b"[" + encoded(spans) + b"]") == spans


def test_names_are_those_of_the_conventions() -> None:
    known = {
        value
        for module in (gen_ai_attributes, error_attributes, http_attributes, server_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    spans = spans_of(
        row(
            model="m",
            request=json.dumps(REQUEST),
            response=json.dumps({"choices": [{"message": {"content": "x"}}]}),
            usage=Usage(1, 1, 1, 1, 1, 1, cache_write_tokens=1),
            attempts=(Attempt("mine", "m", 1, error="no"),),
        ),
        PLACES,
        content=True,
    )
    told = {name for span in spans for name in attributes(span)}
    assert {name for name in told if not name.startswith("standpipe.")} <= known


def test_what_is_sent_is_otlp() -> None:
    service = importlib.import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    json_format = importlib.import_module("google.protobuf.json_format")
    attempts = (Attempt("mine", "m", 1_000_000, status=200),)
    traced = row(model="m", attempts=attempts, traceparent=f"00-{TRACE}-{PARENT}-01")
    body = json.loads(_body([encoded(spans_of(traced, PLACES, content=True))] * 2))
    for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId", "parentSpanId"):
            # OTLP's JSON has hex where protobuf's has base64.
            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    told = json_format.ParseDict(body, service.ExportTraceServiceRequest())
    (resource,) = told.resource_spans
    spans = resource.scope_spans[0].spans
    assert resource.resource.attributes[0].value.string_value == "standpipe"
    assert [span.trace_id.hex() for span in spans] == [TRACE] * 4
    assert spans[0].parent_span_id.hex() == PARENT
    assert spans[1].end_time_unix_nano == 3_000_000_000
