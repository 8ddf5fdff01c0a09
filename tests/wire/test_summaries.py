"""The numbers of answers of every kind, whole, streamed, cut and broken."""

from __future__ import annotations

import json
from typing import Any

import passed_answers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.wire.passthrough import ROUTES
from standpipe.wire.record import BodyForm, Kind, Record
from standpipe.wire.summaries import summary_of
from standpipe.wire.summary import Summary

USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
PIECES = ["Hello", " there"]
KINDS: tuple[Kind, ...] = ("chat", *ROUTES)


def summary(
    kind: Kind, response: bytes, form: BodyForm = "json", request: bytes | None = None
) -> Summary:
    record = Record(
        id="r",
        kind=kind,
        project="p",
        key=None,
        requested_at=1,
        received_at=2,
        outcome="complete",
        status=200,
        logged=True,
        response_form=form,
    )
    return summary_of(record, response, request)


def whole(kind: Kind, **more: Any) -> bytes:
    make, _ = passed_answers.ANSWERS[ROUTES[kind].path]
    made = make("id-1", PIECES, USAGE, {"model": "m", "input": "x"})
    return json.dumps({**made, **more}).encode()


def streamed(kind: Kind, count: int | None = None, **body: Any) -> bytes:
    _, make = passed_answers.ANSWERS[ROUTES[kind].path]
    assert make is not None
    return b"".join(make("id-1", PIECES, USAGE, {"model": "m", **body})[:count])


@pytest.mark.parametrize("kind", ROUTES)
def test_usage_is_the_provider_s(kind: Kind) -> None:
    found = summary(kind, whole(kind))
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage_source) == (11, "provider")
    assert found.model == "m-2025-06-01"


@pytest.mark.parametrize("kind", ["completions", "responses"])
def test_stream_folds_to_the_whole_answer(kind: Kind) -> None:
    options = {"include_usage": True}
    found = summary(kind, streamed(kind, stream_options=options), "sse")
    assert found == summary(kind, whole(kind))
    assert found.finish_reason == "stop"
    assert found.completion_id == "id-1"


@pytest.mark.parametrize("kind", ["completions", "responses"])
def test_cut_stream_is_estimated_from_what_came(kind: Kind) -> None:
    request = json.dumps({"prompt": "x" * 40, "input": [{"content": "x" * 40}]}).encode()
    found = summary(kind, streamed(kind, 4), "sse", request)
    assert found.usage is not None
    assert found.usage.prompt_tokens == 10
    assert found.usage.completion_tokens in {2, 3}
    assert found.usage_source == "estimated"
    assert b"Hello" in json.dumps(found.completion).encode()


@pytest.mark.parametrize(
    ("fields", "reason", "error"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length",
         None),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
         "content_filter", None),
        ({"status": "completed", "output": [{"type": "function_call"}]}, "tool_calls", None),
        ({"status": "failed", "error": {"message": "no"}}, None, "no"),
    ],
)  # fmt: skip
def test_status_of_a_response_becomes_a_finish_reason(
    fields: dict[str, Any], reason: str | None, error: str | None
) -> None:
    found = summary("responses", whole("responses", **fields))
    assert (found.finish_reason, found.error_message) == (reason, error)


@pytest.mark.parametrize("kind", ROUTES)
@pytest.mark.parametrize("form", ["json", "sse"])
def test_error_is_found(kind: Kind, form: BodyForm) -> None:
    body = json.dumps({"error": {"message": "no"}}).encode()
    event = b"data: " + body + b"\n\n"
    assert summary(kind, event if form == "sse" else body, form).error_message == "no"


_NAMES = (
    *("choices", "usage", "output", "response", "type", "text", "error", "item", "delta", "data"),
    *("message", "status", "input_tokens", "incomplete_details", "index", "id", "content"),
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(kind=st.sampled_from(KINDS), answers=st.lists(_json, max_size=3), form=st.booleans())
def test_junk_raises_nothing(kind: Kind, answers: list[Any], form: bool) -> None:
    bodies = [json.dumps(answer).encode() for answer in answers]
    events = b"".join(b"data: " + body + b"\n\n" for body in bodies)
    summary(kind, events, "sse", b"".join(bodies[:1]))
    summary(kind, bodies[0] if bodies else b"", "sse" if form else "json", events)
