"""What a call is said to have used: all that was used for it, whoever counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import misbehaving
import pytest
from calling import Gateway, Kept
from doubles import Said, completion, scripted

from standpipe.drain.prices import Prices
from standpipe.drain.rows import row_of
from standpipe.providers.anthropic.dialect import Anthropic
from standpipe.store.rows import Row
from standpipe.wire.record import Usage

N: Any = {"n>1": "emulated"}
JSON_OBJECT: Any = {"response_format:json_object": "emulated"}
#: What a double says each of its answers took.
TOLD = Usage(prompt_tokens=7, completion_tokens=2, total_tokens=9)


def leaving(after: Callable[[bytes], bool] = lambda _: True) -> Kept:
    """Return a reply whose client leaves at the first piece that is like that."""
    reply = Kept()

    def leave(piece: bytes) -> None:
        reply.gone = reply.gone or after(piece)

    reply.on_write = leave
    return reply


def silent(content: str) -> dict[str, Any]:
    """Return an answer without usage."""
    told = completion(content)
    del told["usage"]
    return told


def row(gateway: Gateway) -> Row:
    """Return the one row that the calls left."""
    (record,) = gateway.records
    return row_of(record, Prices())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_each_attempt_says_what_it_used_and_the_call_their_sum(
    tmp_path: Path, stream: bool
) -> None:
    with scripted() as double:
        gateway = Gateway(tmp_path, double.url, N)
        gateway.ask(n=3, stream=stream)
    found = row(gateway)
    assert [(each.usage, each.usage_source) for each in found.attempts] == [(TOLD, "provider")] * 3
    assert {each.provider_model for each in found.attempts} == {"theirs"}
    assert (found.usage, found.usage_source) == (Usage(21, 6, 27), "provider")


def test_an_answer_that_was_thrown_away_was_used_too(tmp_path: Path) -> None:
    with scripted("no JSON at all", '{"a": 1}') as double:
        gateway = Gateway(tmp_path, double.url, JSON_OBJECT)
        reply = gateway.ask(response_format={"type": "json_object"})
    assert reply.json["usage"]["total_tokens"] == 18
    found = row(gateway)
    assert len(found.attempts) == 2
    assert (found.usage, found.usage_source) == (Usage(14, 4, 18), "provider")


def test_answers_that_are_wrong_to_the_last_are_used_although_the_call_fails(
    tmp_path: Path,
) -> None:
    with scripted("no JSON", "nor this") as double:
        gateway = Gateway(tmp_path, double.url, JSON_OBJECT)
        reply = gateway.ask(response_format={"type": "json_object"})
    assert reply.status == 502
    found = row(gateway)
    assert (found.outcome, found.usage) == ("failed", Usage(14, 4, 18))


def test_a_try_that_does_not_say_is_estimated_and_the_sum_with_it(tmp_path: Path) -> None:
    with scripted("a", silent("b" * 40)) as double:
        gateway = Gateway(tmp_path, double.url, N)
        gateway.ask(n=2)
    found = row(gateway)
    assert {each.usage_source for each in found.attempts} == {"provider", "estimated"}
    # "Hi" is one token, forty characters are ten.
    assert (found.usage, found.usage_source) == (Usage(8, 12, 20), "estimated")


def test_tries_that_a_failure_cut_short_were_used_as_far_as_they_came(tmp_path: Path) -> None:
    busy = Said({"error": {"message": "busy"}}, status=503)
    with scripted("a", "b", busy) as double:
        gateway = Gateway(tmp_path, double.url, N)
        gateway.ask(n=11)
    found = row(gateway)
    answered = [each for each in found.attempts if each.status == 200]
    assert answered
    assert all(each.usage for each in answered)
    assert found.usage is not None
    assert found.usage.prompt_tokens == sum(
        each.usage.prompt_tokens or 0 for each in answered if each.usage
    )


def test_what_is_no_answer_is_not_billed(tmp_path: Path) -> None:
    with scripted(Said({"hello": 1})) as double:
        gateway = Gateway(tmp_path, double.url, JSON_OBJECT)
        gateway.ask(response_format={"type": "json_object"})
    found = row(gateway)
    assert {each.usage for each in found.attempts} == {None}
    assert (found.outcome, found.usage) == ("failed", None)


@pytest.mark.parametrize("words", [{}, N], ids=["passed", "emulated"])
def test_a_stream_that_its_client_left_is_estimated_as_far_as_it_came(
    tmp_path: Path, words: Any
) -> None:
    with misbehaving.running() as upstream:
        gateway = Gateway(tmp_path, f"{upstream.url}/v1", words, model="stall")
        gateway.ask(leaving(lambda piece: b"there" in piece), stream=True, n=2 if words else 1)
    found = row(gateway)
    assert (found.outcome, found.usage_source) == ("abandoned", "estimated")
    assert found.usage is not None
    assert found.usage.prompt_tokens
    assert found.usage.completion_tokens


@pytest.mark.parametrize("store", [False, True])
def test_a_stream_that_was_left_before_its_first_word_counts_its_prompt(
    tmp_path: Path, store: bool
) -> None:
    with misbehaving.running() as upstream:
        gateway = Gateway(tmp_path, f"{upstream.url}/v1", {}, model="drip:300")
        gateway.ask(leaving(), stream=True, store=store)
    found = row(gateway)
    assert (found.outcome, found.usage_source) == ("abandoned", "estimated")
    assert found.usage == Usage(1, 0, 1)


def anthropic_stream(*, upto: int) -> Said:
    usage = {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 3}
    message = {"id": "m1", "type": "message", "model": "claude-theirs", "content": []}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}
    piece = {"type": "text_delta", "text": "y" * 40}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "usage": usage}},
        block,
        {"type": "content_block_delta", "index": 0, "delta": piece},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 8},
        },
        {"type": "message_stop"},
    ]
    return Said(events=[f"data: {json.dumps(event)}\n\n".encode() for event in events[:upto]])


def test_what_a_provider_counts_at_the_beginning_is_not_taken_for_the_end(tmp_path: Path) -> None:
    with scripted(anthropic_stream(upto=3)) as double:
        gateway = Gateway(tmp_path, double.url, {}, Anthropic())
        gateway.ask(stream=True, max_tokens=50)
    found = row(gateway)
    assert (found.outcome, found.usage_source) == ("cut", "estimated")
    assert found.usage == Usage(10, 10, 20, cached_tokens=3)


def test_what_a_provider_counts_at_the_end_holds_although_the_stream_is_cut(
    tmp_path: Path,
) -> None:
    with scripted(anthropic_stream(upto=5)) as double:
        gateway = Gateway(tmp_path, double.url, {}, Anthropic())
        gateway.ask(stream=True, max_tokens=50)
    found = row(gateway)
    assert (found.outcome, found.usage_source) == ("cut", "provider")
    assert found.usage == Usage(10, 8, 18, cached_tokens=3)
