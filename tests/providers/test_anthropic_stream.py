"""Anthropic's streams: what ends them, what breaks them, what they count."""

from __future__ import annotations

import json
from typing import Any

import pytest

from standpipe.errors import Cut
from standpipe.providers.anthropic.dialect import Anthropic
from standpipe.providers.dialect import Decoder, Quirks
from standpipe.wire import chat, fold


def a_decoder() -> Decoder:
    body = {"model": "asked", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    return Anthropic().decoder(chat.parse(json.dumps(body).encode()), Quirks())


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def test_error_inside_a_stream_is_raised_after_what_came_before_it() -> None:
    decoder = a_decoder()
    broken = event(type="error", error={"type": "overloaded_error", "message": "Overloaded"})
    assert decoder.feed(event(type="message_start", message={"id": "m"}) + broken)
    with pytest.raises(Cut, match="Overloaded"):
        decoder.close()


def test_stream_that_stops_before_its_stop_event_is_cut() -> None:
    decoder = a_decoder()
    decoder.feed(event(type="message_delta", delta={"stop_reason": "end_turn"}, usage={}))
    with pytest.raises(Cut):
        decoder.close()


def test_second_answer_inside_a_stream_is_no_success() -> None:
    decoder = a_decoder()
    start = event(type="message_start", message={"id": "m1"})
    assert decoder.feed(start + start).count(b"assistant") == 1
    with pytest.raises(Cut, match="another answer"):
        decoder.feed(event(type="message_start", message={"id": "m2"}))


def test_whole_input_at_a_calls_start_is_its_arguments() -> None:
    decoder = a_decoder()
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}
    out = decoder.feed(
        event(type="content_block_start", index=0, content_block=block)
        + event(type="content_block_stop", index=0)
        + event(type="message_delta", delta={"stop_reason": "tool_use"})
        + event(type="message_stop")
    )
    folded = fold.fold_stream(out).completion
    assert folded is not None
    assert folded["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"x":1}'


def test_cumulative_counts_are_not_added_up() -> None:
    decoder = a_decoder()
    decoder.feed(
        event(type="message_start", message={"usage": {"input_tokens": 9, "output_tokens": 1}})
        + event(type="message_delta", delta={}, usage={"input_tokens": 0, "output_tokens": 4})
        + event(type="message_delta", delta={}, usage={"output_tokens": 7})
    )
    assert decoder.usage is not None
    told = json.loads(bytes(decoder.usage))
    assert (told["prompt_tokens"], told["completion_tokens"]) == (9, 7)
