"""Streams of chat completions, as they come to a client that reads events itself."""

from __future__ import annotations

import json

import pytest
from asking import CHAT, HI, Asker


@pytest.mark.parametrize("trait", ["ok", "finish-no-done", "finish-no-done+until-close"])
def test_event_is_sent_once_whether_the_provider_says_done_or_closes(
    client: Asker, trait: str
) -> None:
    answer = client.ask("POST", CHAT, {"model": trait, "messages": HI, "stream": True})
    *events, done = answer.body.decode().strip().split("\n\n")
    assert done == "data: [DONE]"
    choices = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == (
        "Hello there, how can I"
    )
    assert [choice["finish_reason"] for choice in choices].count("stop") == 1
