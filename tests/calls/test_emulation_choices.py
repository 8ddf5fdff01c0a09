"""`n` where a provider gives one choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from calling import Gateway, Kept
from doubles import Said, completion, scripted

N: Any = {"n>1": "emulated"}
BROKEN = Said({"error": {"message": "busy"}}, status=503)
streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@streams
@pytest.mark.parametrize("n", [2, 3, 11])
def test_choices_are_made_by_tries_of_one_each(tmp_path: Path, n: int, stream: bool) -> None:
    with scripted(*(f"answer {i}" for i in range(n))) as double:
        gateway = Gateway(tmp_path, double.url, N)
        reply = gateway.ask(n=n, stream=stream)
    assert len(double.bodies) == n
    assert not any("n" in body for body in double.bodies)
    choices = reply.answer["choices"]
    assert [choice["index"] for choice in choices] == list(range(n))
    told = sorted(choice["message"]["content"] for choice in choices)
    assert told == sorted(f"answer {i}" for i in range(n))
    (record,) = gateway.records
    assert len(record.attempts) == n
    assert record.outcome == "complete"
    assert reply.fidelity == "n>1=emulated"


def test_usage_is_the_sum_of_what_was_billed(tmp_path: Path) -> None:
    with scripted() as double:
        gateway = Gateway(tmp_path, double.url, N)
        reply = gateway.ask(n=3)
    told = {"prompt_tokens": 21, "completion_tokens": 6, "total_tokens": 27}
    assert reply.json["usage"] == told
    assert gateway.records[0].usage is not None
    assert gateway.records[0].usage.prompt_tokens == 21


def test_a_stream_has_one_id_and_tells_its_usage_once(tmp_path: Path) -> None:
    with scripted(*(completion(f"{i}", id=f"id-{i}") for i in range(3))) as double:
        gateway = Gateway(tmp_path, double.url, N)
        reply = gateway.ask(n=3, stream=True, stream_options={"include_usage": True})
    assert len({chunk["id"] for chunk in reply.chunks}) == 1
    told = [chunk["usage"] for chunk in reply.chunks if chunk.get("usage")]
    assert [usage["total_tokens"] for usage in told] == [27]
    assert reply.chunks[-1]["choices"] == []


def test_usage_is_not_made_up_where_one_try_does_not_say(tmp_path: Path) -> None:
    silent = completion("b")
    del silent["usage"]
    with scripted("a", silent) as double:
        reply = Gateway(tmp_path, double.url, N).ask(n=2)
    assert "usage" not in reply.json


def test_a_seed_does_not_make_all_choices_the_same(tmp_path: Path) -> None:
    with scripted() as double:
        Gateway(tmp_path, double.url, N).ask(n=3, seed=7)
    assert sorted(body["seed"] for body in double.bodies) == [7, 8, 9]


@streams
def test_one_failure_is_the_answer_s(tmp_path: Path, stream: bool) -> None:
    with scripted(BROKEN) as double:
        gateway = Gateway(tmp_path, double.url, N)
        reply = gateway.ask(n=3, stream=stream)
    assert reply.status == 503
    assert reply.json["message"] == "busy"
    assert b"x-should-retry" not in reply.headers, "nothing was tried again"
    assert gateway.records[0].outcome == "failed"


def test_a_failure_behind_the_first_byte_ends_the_stream_with_its_error(tmp_path: Path) -> None:
    slow = completion("x" * 300_000)
    with scripted(slow, Said(events=[b'data: {"error": {"message": "broke"}}\n\n'])) as double:
        gateway = Gateway(tmp_path, double.url, N)
        reply = gateway.ask(n=2, stream=True)
    assert b"broke" in reply.body
    if reply.status == 200:
        assert reply.body.rpartition(b"data: ")[2].startswith(b'{"error"')
        assert b"[DONE]" not in reply.body
        assert gateway.records[0].outcome == "cut"


def test_every_try_ends_when_the_client_leaves(tmp_path: Path) -> None:
    reply = Kept()

    def leave(_: bytes) -> None:
        reply.gone = True

    reply.on_write = leave
    with scripted("x" * 400_000) as double:
        gateway = Gateway(tmp_path, double.url, N)
        gateway.ask(reply, n=3, stream=True)
        double.wait(lambda: double.left == len(double.asked))
    assert gateway.records[0].outcome == "abandoned"
