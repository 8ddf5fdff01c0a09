"""Which targets a call is tried at, over real sockets: fallback, shares, limits, ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from calling import Kept
from misbehaving import Misbehaving
from serving import free_port
from switching import Board

from standpipe.calls.routes import Route, Target
from standpipe.providers.openai import OpenAI
from standpipe.providers.table import Provider

A, B = Target("a", "ok"), Target("b", "ok")


def at_a(model: str, **fields: Any) -> Target:
    return Target("a", model, **fields)


def board(folder: Path, upstream: Misbehaving, route: Route, **settings: Any) -> Board:
    """Return routes over providers `a` and `b`, which answer as models say, and a `dead` one."""
    dead = f"http://127.0.0.1:{free_port()}/v1"
    urls = {"a": upstream.url, "b": upstream.url, "dead": dead}
    return Board(folder, urls, {"r": route}, **settings)


def then_b(model: str, **fields: Any) -> Route:
    """Return a route from a model of `a` to `b`."""
    return Route((at_a(model),), (B,), **fields)


def tried(found: Board) -> list[tuple[str, int | None]]:
    return [(attempt.provider, attempt.status) for attempt in found.attempts]


# --- what falls back ----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "status"),
    [
        *((f"status:{status}", status) for status in (401, 402, 403, 404, 408, 429, 500, 529)),
        *((model, None) for model in ("garbage", "cut-head", "silent")),
        *((model, 200) for model in ("not-json", "br")),
        ("redirect", 307),
    ],
)
def test_failure_before_the_first_byte_goes_to_the_next_target(
    tmp_path: Path, upstream: Misbehaving, model: str, status: int | None, stream: bool
) -> None:
    found = board(tmp_path, upstream, then_b(model, retries=3), first_byte=0.3)
    (reply,) = found.run(found.ask("r", stream=stream))
    assert reply.content.startswith("Hello")
    assert reply.answer["model"] == "r"
    assert reply.headers[b"standpipe-model"] == b"ok-2025-06-01"
    (record,) = found.records
    if model == "br":  # refused before its status is of use
        status = None
    assert tried(found) == [("a", status), ("b", 200)]
    assert record.attempts[0].error
    assert record.attempts[1].error is None
    assert (record.provider, record.outcome, record.model) == ("b", "complete", "r")


def test_target_that_cannot_be_reached_goes_to_the_next(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    found = board(tmp_path, upstream, Route((Target("dead", "ok"),), (at_a("status:503"), B)))
    (reply,) = found.run(found.ask("r"))
    assert reply.status == 200
    assert tried(found) == [("dead", None), ("a", 503), ("b", 200)]


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_what_is_wrong_with_the_request_is_told_at_once(
    tmp_path: Path, upstream: Misbehaving, status: int
) -> None:
    found = board(tmp_path, upstream, then_b(f"status:{status}"))
    (reply,) = found.run(found.ask("r"))
    assert reply.status == status
    assert b"x-should-retry" not in reply.headers
    assert tried(found) == [("a", status)]


@pytest.mark.parametrize("model", ["cut", "reset", "error-event", "stall", "finish-no-done+cut"])
def test_stream_that_breaks_after_its_first_byte_is_not_begun_again(
    tmp_path: Path, upstream: Misbehaving, model: str
) -> None:
    found = board(tmp_path, upstream, then_b(model, retries=3), idle=0.3)
    (reply,) = found.run(found.ask("r", stream=True))
    assert reply.status == 200
    *_, last, end = reply.body.split(b"\n\n")
    assert last.startswith(b'data: {"error":{')
    assert end == b""
    assert reply.body.count(b'"role"') == 1, "one beginning, no second half"
    assert b"[DONE]" not in reply.body
    (record,) = found.records
    assert (record.outcome, tried(found)) == ("cut", [("a", 200)])
    assert record.attempts[0].error == record.error


@pytest.mark.parametrize("model", ["cut", "reset", "stall"])
def test_whole_answer_that_breaks_is_thrown_away_and_paid_for(
    tmp_path: Path, upstream: Misbehaving, model: str
) -> None:
    found = board(tmp_path, upstream, then_b(model), idle=0.3)
    (reply,) = found.run(found.ask("r"))
    assert reply.status == 200
    (record,) = found.records
    broken, whole = record.attempts
    assert (broken.status, broken.usage_source) == (200, "estimated")
    assert broken.error
    assert whole.usage is not None
    assert whole.usage.total_tokens == 16
    assert (whole.usage_source, whole.provider_model) == ("provider", "ok-2025-06-01")
    assert record.usage is not None
    assert broken.usage is not None
    assert record.usage.prompt_tokens == 11 + (broken.usage.prompt_tokens or 0) > 11
    assert record.usage_source == "estimated"


def test_when_all_fail_the_error_that_says_when_to_come_again_is_told(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    route = Route((at_a("status:429"),), (Target("dead", "ok"), Target("b", "status:401")))
    found = board(tmp_path, upstream, route)
    (reply,) = found.run(found.ask("r"))
    assert (reply.status, reply.headers[b"retry-after"]) == (429, b"2")
    assert reply.headers[b"x-should-retry"] == b"false"
    assert [provider for provider, _ in tried(found)] == ["a", "dead", "b"]


def test_last_target_that_is_left_is_tried_again_for_the_route(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    route = Route((Target("dead", "ok"),), (at_a("again:503"),), retries=1)
    found = board(tmp_path, upstream, route)
    (reply,) = found.run(found.ask("r"))
    assert (reply.status, tried(found)) == (200, [("dead", None), ("a", 503), ("a", 200)])


def test_attempts_of_a_call_are_bounded(tmp_path: Path, upstream: Misbehaving) -> None:
    many = tuple(at_a(f"status:500+{n}") for n in range(30))
    found = board(tmp_path, upstream, Route(many, retries=0))
    (reply,) = found.run(found.ask("r"))
    assert (reply.status, len(found.attempts)) == (500, 16)


def test_client_that_leaves_stops_all(tmp_path: Path, upstream: Misbehaving) -> None:
    found = board(tmp_path, upstream, then_b("silent", retries=3))
    before = upstream.disconnects

    async def leave() -> list[Kept]:
        reply = Kept()
        call = asyncio.create_task(found.ask("r", reply=reply))
        await asyncio.sleep(0.1)
        reply.gone = True
        call.cancel()
        await asyncio.wait([call])
        return [reply]

    found.play(leave())
    upstream.wait(lambda: upstream.disconnects == before + 1)
    (record,) = found.records
    assert (record.outcome, tried(found)) == ("abandoned", [("a", None)])


# --- which target is first ----------------------------------------------------------------------


def answered_by(found: Board) -> Counter[str | None]:
    return Counter(record.provider for record in found.records)


def test_shares_are_those_of_the_weights(tmp_path: Path, upstream: Misbehaving) -> None:
    route = Route((at_a("ok", weight=3.0), Target("b", "ok", weight=1.0)))
    found = board(tmp_path, upstream, route)
    found.run(*(found.ask("r") for _ in range(400)))
    assert 270 <= answered_by(found)["a"] <= 330


def test_fastest_goes_to_the_faster_and_looks_at_both(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    route = Route((at_a("slow:40"), B), choice="fastest")
    found = board(tmp_path, upstream, route)
    found.run(*(found.ask("r") for _ in range(60)))
    shares = answered_by(found)
    assert shares["b"] >= 55
    assert shares["a"] >= 1


def test_sticky_value_keeps_to_its_target_and_values_spread(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    route = Route((A, B), sticky="session")
    found = board(tmp_path, upstream, route)
    values = [f"s{n}" for n in range(40)] * 3
    found.run(*(found.ask("r", metadata={"session": value}) for value in values))
    places = {(record.metadata["session"], record.provider) for record in found.records}
    assert len(places) == 40
    assert 8 <= Counter(provider for _, provider in places)["a"] <= 32


def test_sticky_value_moves_while_its_target_is_down(tmp_path: Path, upstream: Misbehaving) -> None:
    route = Route((Target("dead", "ok"), B), sticky="session", failures=1)
    found = board(tmp_path, upstream, route)
    found.run(*(found.ask("r", metadata={"session": f"s{n}"}) for n in range(20)))
    assert answered_by(found) == {"b": 20}
    assert Counter(attempt.provider for attempt in found.attempts)["dead"] == 1


def test_target_that_is_full_leaves_calls_to_the_next(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    route = Route((at_a("slow:200", max_in_flight=2),), (B,))
    found = board(tmp_path, upstream, route)
    found.play(_together(found, 5))
    assert answered_by(found) == {"a": 2, "b": 3}
    assert len(found.attempts) == 5


def test_route_that_is_full_sheds_calls(tmp_path: Path, upstream: Misbehaving) -> None:
    route = Route((at_a("slow:200"), Target("b", "slow:200")), max_in_flight=3)
    found = board(tmp_path, upstream, route)
    replies = found.play(_together(found, 5))
    assert Counter(reply.status for reply in replies) == {200: 3, 503: 2}
    shed = next(reply for reply in replies if reply.status == 503)
    assert shed.headers[b"retry-after"] == b"1"
    assert "max_in_flight" in shed.json["message"]
    (again,) = found.run(found.ask("r"))
    assert again.status == 200


async def _together(found: Board, count: int) -> list[Kept]:
    return await asyncio.gather(*(found.ask("r") for _ in range(count)))


# --- what a target can do -----------------------------------------------------------------------


def lacking(name: str, *features: str) -> Provider:
    return Provider(name, OpenAI(), retries=0, fidelity=dict.fromkeys(features, "refused"))


def test_target_that_would_refuse_is_passed_over(tmp_path: Path, upstream: Misbehaving) -> None:
    found = board(tmp_path, upstream, then_b("ok"), providers={"a": lacking("a", "seed")})
    asked, plain = found.run(found.ask("r", seed=1), found.ask("r"))
    assert (asked.status, plain.status) == (200, 200)
    assert [record.provider for record in found.records] == ["b", "a"]
    assert tried(found) == [("b", 200), ("a", 200)]


def test_where_none_can_the_first_ones_refusal_is_told(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    providers = {"a": lacking("a", "seed"), "b": lacking("b", "seed", "user")}
    found = board(tmp_path, upstream, then_b("ok"), providers=providers)
    (reply,) = found.run(found.ask("r", seed=1))
    assert (reply.status, reply.json["error"]["param"]) == (400, "seed")
    assert "provider 'a'" in reply.json["message"]
    assert found.records[0].attempts == ()
    (dropped,) = found.run(found.ask("r", seed=1, best_effort=True))
    assert dropped.fidelity == "seed=dropped"


def test_failed_attempt_is_made_again_where_the_other_target_cannot(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    providers = {"b": lacking("b", "seed")}
    found = board(tmp_path, upstream, then_b("again:503+x"), providers=providers)
    (reply,) = found.run(found.ask("r", seed=1))
    assert (reply.status, tried(found)) == (200, [("a", 503), ("a", 200)])


def test_parameters_of_a_target_beat_the_callers(tmp_path: Path, upstream: Misbehaving) -> None:
    mine = at_a("ok", parameters={"temperature": 0.25, "top_k": 5})
    found = board(tmp_path, upstream, Route((mine,)))
    found.run(found.ask("r", temperature=1, seed=7))
    sent = upstream.last.json
    assert (sent["temperature"], sent["top_k"], sent["seed"]) == (0.25, 5, 7)


def test_parameters_are_known_to_what_plans_and_emulates(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    route = Route((at_a("ok", parameters={"seed": 1, "n": 2}),), (B,))
    emulating = Provider("a", OpenAI(), retries=0, fidelity={"n>1": "emulated"})
    found = board(tmp_path, upstream, route, providers={"a": emulating})
    (reply,) = found.run(found.ask("r"))
    assert len(reply.json["choices"]) == 2
    assert reply.fidelity == "n>1=emulated"


def test_emulated_answer_falls_back_as_a_whole_and_all_of_it_is_paid_for(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    words = {"response_format:json_schema": "emulated"}
    emulating = Provider("a", OpenAI(), retries=0, fidelity=words)  # type: ignore[arg-type]
    found = board(tmp_path, upstream, then_b("ok"), providers={"a": emulating})
    (reply,) = found.run(found.ask("r", response_format=wanted))
    assert reply.status == 200, "the other one says that it holds to it"
    assert reply.fidelity == ""
    (record,) = found.records
    assert tried(found) == [("a", 200), ("a", 200), ("b", 200)]
    assert record.usage is not None
    assert record.usage.total_tokens == 3 * 16
    assert record.usage_source == "provider"


# --- the caller's own chain ---------------------------------------------------------------------


def test_caller_names_what_is_tried_next(tmp_path: Path, upstream: Misbehaving) -> None:
    found = board(tmp_path, upstream, then_b("status:500"))
    asked = found.ask("dead:x", fallback=["a:status:500+h", "b:ok", "a:ok"])
    routed = found.ask("a:status:500+h", fallback=["r"])
    alone = found.ask("a:status:500+h", fallback=[])
    broken = found.ask("a:cut", fallback=["b:ok"])
    replies = found.run(asked, routed, alone, broken)
    assert [reply.status for reply in replies] == [200, 200, 500, 200]
    assert replies[0].json["model"] == "dead:x", "the name that was asked for"
    ways = [[attempt.provider for attempt in record.attempts] for record in found.records]
    assert ways == [["dead", "a", "b"], ["a", "a", "b"], ["a"], ["a", "b"]]
    assert found.records[3].attempts[0].error


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"nope", "must be a JSON list of model names"),
        (b'"a:ok"', "must be a JSON list of model names"),
        (b"[1]", "must be a JSON list of model names"),
        (b'["\xff"]', "must be a JSON list of model names"),
        (["a:ok"] * 11, "11 models are over the 10"),
        (["a:ok", "openpipe:gone"], "'openpipe:gone': The model `openpipe:gone` does not exist"),
        (["gpt-4"], "'gpt-4'"),
    ],
)
def test_chain_that_cannot_be_read_is_400_and_named(
    tmp_path: Path, upstream: Misbehaving, header: object, says: str
) -> None:
    found = board(tmp_path, upstream, then_b("ok"))
    (reply,) = found.run(found.ask("a:ok", fallback=header))
    assert reply.status == 400
    assert reply.json["error"]["param"] == "standpipe-fallback"
    assert reply.json["message"].startswith("standpipe-fallback: ")
    assert says in reply.json["message"]
    assert found.attempts == []
