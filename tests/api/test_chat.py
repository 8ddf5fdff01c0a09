"""What the chat route relays and keeps, whatever way its provider has of answering."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import CHAT, HI, Asker
from misbehaving import Misbehaving

from standpipe.store import Store
from standpipe.store.rows import Row

TEXT = "Hello there, how can I"
#: Ways of answering that are right, if odd.
WAYS = [
    "ok", "chunks:50", "drip:1", "odd-splits", "gzip", "deflate", "chunked", "until-close",
    "length", "finish-no-done", "finish-no-done+odd-splits", "early", "stale", "fails:1",
    "odd-splits+gzip+until-close",
]  # fmt: skip


def ask(client: Asker, model: str, **fields: Any) -> Any:
    return client.ask("POST", CHAT, {"model": model, "messages": HI, **fields})


def chunks(body: bytes) -> list[dict[str, Any]]:
    """Return the chunks of a stream, which must end with [DONE]."""
    events = [line[6:] for line in body.splitlines() if line.startswith(b"data: ")]
    assert events[-1] == b"[DONE]"
    assert body.endswith(b"data: [DONE]\n\n")
    return [json.loads(event) for event in events[:-1]]


def text_of(found: list[dict[str, Any]]) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in found if c["choices"])


def kept(client: Asker, store: Store, request_id: str) -> Row:
    client.ask("GET", CHAT)  # waits until the drain has passed it
    key = next(key for key in store.keys(None) if key.id == client.key)
    row = store.record(key.project, request_id)
    assert row is not None
    return row


@pytest.mark.parametrize("way", WAYS)
def test_whole_answer_comes_through(client: Asker, store: Store, way: str) -> None:
    answer = ask(client, f"{way}+w")
    assert answer.status == 200, answer.body
    assert answer.json["model"] == f"{way}+w"
    assert answer.json["x_vendor"] == {"kept": True}
    assert answer.json["choices"][0]["message"]["content"].startswith(TEXT)
    row = kept(client, store, answer.headers["x-request-id"])
    assert (row.outcome, row.status, row.usage_source) == ("complete", 200, "provider")
    assert json.loads(row.response or "null") == answer.json


@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_stream_comes_through_each_event_once(
    client: Asker, store: Store, way: str, *, usage: bool
) -> None:
    asked = {"stream_options": {"include_usage": True}} if usage else {}
    answer = ask(client, f"{way}+s{usage}", stream=True, **asked)
    assert answer.status == 200, answer.body
    found = chunks(answer.body)
    assert {chunk["model"] for chunk in found} == {f"{way}+s{usage}"}
    ends = [c["choices"][0]["finish_reason"] for c in found if c["choices"]]
    assert ends[-1] == "stop"
    assert ends.count("stop") == 1
    assert text_of(found).startswith(TEXT)
    assert (found[-1]["choices"] == []) is usage
    row = kept(client, store, answer.headers["x-request-id"])
    assert (row.outcome, row.streamed, row.usage_source) == ("complete", True, "provider")
    stored = json.loads(row.response or "null")
    assert stored["choices"][0]["message"]["content"] == text_of(found)


def test_text_that_is_not_to_be_kept_leaves_its_numbers(client: Asker, store: Store) -> None:
    for stream in (False, True):
        answer = ask(client, "ok", store=False, stream=stream)
        row = kept(client, store, answer.headers["x-request-id"])
        assert (row.request, row.response, row.logged) == (None, None, False)
        assert row.usage is not None
        assert row.usage.prompt_tokens == 11
        assert (row.finish_reason, row.outcome) == ("stop", "complete")


def test_large_answer_comes_through(client: Asker) -> None:
    assert len(ask(client, "huge:3000000").body) > 3_000_000
    assert len(ask(client, "huge:3000000", stream=True).body) > 3_000_000


@pytest.mark.parametrize("model", ["cut", "reset", "error-event"])
def test_stream_that_breaks_ends_with_one_error_event(
    client: Asker, store: Store, model: str
) -> None:
    answer = ask(client, model, stream=True)
    events = [line[6:] for line in answer.body.split(b"\n\n") if line.startswith(b"data: ")]
    assert set(json.loads(events[-1])) == {"error"}
    assert b"[DONE]" not in answer.body
    row = kept(client, store, answer.headers["x-request-id"])
    assert (row.outcome, row.status) == ("cut", 200)
    assert row.error == json.loads(events[-1])["error"]["message"]
    assert TEXT.startswith(json.loads(row.response or "null")["choices"][0]["message"]["content"])


def test_failed_attempts_are_tried_again_and_kept(client: Asker, store: Store) -> None:
    answer = ask(client, "fails:1+kept")
    row = kept(client, store, answer.headers["x-request-id"])
    assert [attempt.status for attempt in row.attempts] == [503, 200]
    given_up = ask(client, "status:503")
    assert given_up.status == 503
    assert given_up.headers["retry-after"] == "2"
    assert given_up.headers["x-should-retry"] == "false"


def test_what_the_provider_gets_is_what_the_caller_sent(
    client: Asker, upstream: Misbehaving
) -> None:
    fields = {"temperature": 0.5, "x_new": {"deep": [1, None]}, "seed": 3, "user": "u"}
    ask(client, "openai:ok", **fields, store=True, metadata={"a": "b"})
    assert upstream.last.json == {"model": "ok", "messages": HI, **fields}
    assert upstream.last.headers["authorization"] == "Bearer sk-upstream"
    assert client.token not in str(upstream.last.headers)
