"""Mixtures: what each of their models is asked, what is told, what is left where one fails."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
import uvloop
from calling import CALLER, DEADLINE, Kept, new_spool
from doubles import Answer, Asked, Double, Said, chunks, completion, running
from spooling import everything

from standpipe.calls import mixtures
from standpipe.calls.attempts import GIVEN_UP, Upstream
from standpipe.calls.chat import Chat
from standpipe.calls.dispatch import Dispatch
from standpipe.calls.incoming import Incoming
from standpipe.calls.keeping import Keeper
from standpipe.calls.mixtures import Member, Mixture
from standpipe.calls.provider_keys import ProviderKey, ProviderKeys
from standpipe.calls.routes import Routes
from standpipe.config import Price, Timeouts
from standpipe.drain.prices import Prices
from standpipe.drain.rows import row_of
from standpipe.errors import BadRequest
from standpipe.providers.openai import OpenAI
from standpipe.providers.table import Provider
from standpipe.upstream.pool import Pool
from standpipe.upstream.transport import Origin
from standpipe.wire import chat
from standpipe.wire.record import Begin, Record, decode

Json = dict[str, Any]

MIXED = Mixture(
    (Member("there:one", 2, 0.9), Member("there:two")), critique="there:critic", final="there:last"
)
HI: list[Json] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi?"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
#: What the answer is made of its models' tokens: two drafts and one, a critique, the answer.
CALLS = 4


def says(asked: Asked) -> Said:
    """Answer with the name of the model, `n` times, as a stream where that was asked for."""
    body = asked.body
    whole = completion(f"of {body['model']}")
    whole["model"] = body["model"]
    whole["choices"] *= body.get("n") or 1
    if not body.get("stream"):
        return Said(whole)
    events = [f"data: {json.dumps(each)}\n\n".encode() for each in chunks(whole, body)]
    return Said(events=[*events, b"data: [DONE]\n\n"])


def failing(*models: str, status: int = 500) -> Answer:
    def answer(asked: Asked) -> Said:
        if asked.body["model"] in models:
            return Said({"error": {"message": f"no {asked.body['model']}"}}, status=status)
        return says(asked)

    return answer


def ask(
    folder: Path,
    double: Double,
    reply: Kept | None = None,
    *,
    mixture: Mixture = MIXED,
    incoming: Incoming | None = None,
    retries: int = 0,
    **fields: Any,
) -> Kept:
    """Make one call of the mixture `panel` and return its reply."""
    reply = reply or Kept()
    body = json.dumps({"model": "panel", "messages": HI, **fields}).encode()

    async def call() -> None:
        spool = new_spool(folder)
        pool = Pool(Origin.parse(double.url), timeouts=Timeouts(connect=10.0))
        provider = Provider("there", OpenAI(), retries=retries)
        keys = ProviderKeys([ProviderKey(provider.dialect.headers("sk-x"))])
        routes = Routes({"there": provider}, {}, mixtures={"panel": mixture})
        dispatch = Dispatch(routes, {"there": Upstream(provider, pool, keys)})
        served = Chat(dispatch, Keeper(spool), logging_default="all")
        try:
            before = asyncio.all_tasks()
            task = asyncio.create_task(served.answer(incoming or Incoming(), CALLER, body, reply))
            while not task.done():
                await asyncio.wait([task], timeout=0.01)
                if reply.gone:
                    task.cancel()
                    await asyncio.wait([task])
            assert asyncio.all_tasks() <= before, "a task was left behind"
        finally:
            await served.close()
            await pool.close()
            spool.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(call(), DEADLINE))
    return reply


def record(folder: Path) -> Record:
    (found,) = [r for r in map(decode, everything(folder)) if isinstance(r, Record)]
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_drafts_are_criticised_and_answered_from_in_one_call(tmp_path: Path, stream: bool) -> None:
    options: Json = {"stream_options": {"include_usage": True}} if stream else {}
    with running(says) as double:
        reply = ask(tmp_path, double, stream=stream, temperature=0.2, **options)
    assert reply.content == "of last"
    assert reply.answer["model"] == "panel"
    assert reply.fidelity == "mixture=emulated"
    assert reply.answer["usage"]["total_tokens"] == 9 * CALLS
    by_model = {body["model"]: body for body in double.bodies}
    assert [body["model"] for body in double.bodies[2:]] == ["critic", "last"]
    assert (by_model["one"]["n"], by_model["one"]["temperature"]) == (2, 0.9)
    assert "n" not in by_model["two"]
    assert by_model["two"]["messages"] == HI
    assert by_model["last"]["temperature"] == 0.2
    assert bool(by_model["last"].get("stream")) is stream
    assert not any(body.get("stream") for body in double.bodies[:3])
    shown = by_model["critic"]["messages"][-1]["content"]
    assert shown.count("of one") == 2
    assert shown.count("of two") == 1
    assert "of critic" in by_model["last"]["messages"][-1]["content"]
    assert by_model["last"]["messages"][:2] == HI


def test_record_is_one_whose_attempts_say_what_each_was_for_and_took(tmp_path: Path) -> None:
    with running(says) as double:
        ask(tmp_path, double, stream=True)
    kept = record(tmp_path)
    assert (kept.model, kept.provider, kept.provider_model) == ("panel", "there", "last")
    assert kept.outcome == "complete"
    assert [each.step for each in kept.attempts] == ["draft", "draft", "critique", None]
    assert [each.usage and each.usage.total_tokens for each in kept.attempts] == [9] * CALLS
    assert json.loads(kept.request or b"")["model"] == "panel"
    own = {f"there/{name}": Price(input="1", output="2") for name in ("one", "two", "critic")}
    own["there/last"] = Price(input="10", output="20")
    row = row_of(kept, Prices(own))
    assert [str(each.cost) for each in row.attempts] == ["0.000011000000"] * 3 + ["0.000110000000"]
    assert row.cost is not None
    assert row.cost == sum(each.cost or 0 for each in row.attempts)
    assert row.usage is not None
    assert row.usage.total_tokens == 9 * CALLS


def test_failed_candidate_and_failed_critique_are_done_without(tmp_path: Path) -> None:
    with running(failing("one", "critic")) as double:
        reply = ask(tmp_path, double)
    assert reply.content == "of last"
    told = "mixture=emulated, mixture.draft=dropped, mixture.critique=dropped"
    assert reply.fidelity == told
    assert reply.answer["usage"]["total_tokens"] == 9 * 2
    said = double.bodies[-1]["messages"][-1]["content"]
    assert "of two" in said
    assert "<critique>" not in said
    errors = [bool(each.error) for each in record(tmp_path).attempts]
    assert sorted(errors) == [False, False, True, True]


def test_call_fails_where_no_draft_is_made_and_where_the_answer_is_not(tmp_path: Path) -> None:
    with running(failing("one", "two", status=429)) as double:
        reply = ask(tmp_path / "drafts", double)
    assert reply.status == 429
    assert "no one" in reply.json["message"]
    assert len(record(tmp_path / "drafts").attempts) == 2
    with running(failing("last")) as double:
        reply = ask(tmp_path / "answer", double)
    assert reply.status == 500
    kept = record(tmp_path / "answer")
    assert kept.outcome == "failed"
    assert kept.usage is not None
    assert kept.usage.total_tokens == 9 * 3


def test_answer_that_is_no_completion_is_a_failed_draft(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        if asked.body["model"] == "one":
            return Said({**completion("x"), "choices": [{"message": None}]})
        return says(asked)

    with running(answer) as double:
        reply = ask(tmp_path, double)
    assert "mixture.draft=dropped" in reply.fidelity


def test_client_that_leaves_ends_what_is_under_way_and_what_was_used_is_kept(
    tmp_path: Path,
) -> None:
    reply, freed = Kept(), threading.Event()

    def answer(asked: Asked) -> Said:
        if asked.body["model"] == "critic":
            reply.gone = True
            freed.wait(DEADLINE)
        return says(asked)

    with running(answer) as double:
        try:
            ask(tmp_path, double, reply)
        finally:
            freed.set()
    kept = record(tmp_path)
    assert kept.outcome == "abandoned"
    assert [each.step for each in kept.attempts] == ["draft", "draft", "critique"]
    assert kept.usage is not None
    assert kept.usage.total_tokens == 18
    assert "last" not in [body["model"] for body in double.bodies]


def test_client_that_leaves_ends_all_drafts_under_way(tmp_path: Path) -> None:
    reply, freed, begun = Kept(), threading.Event(), threading.Semaphore(0)

    def answer(asked: Asked) -> Said:
        begun.release()
        if asked.body["model"] == "two":
            begun.acquire()
            begun.acquire()
            reply.gone = True
        freed.wait(DEADLINE)
        return says(asked)

    with running(answer) as double:
        try:
            ask(tmp_path, double, reply)
        finally:
            freed.set()
        assert sorted(body["model"] for body in double.bodies) == ["one", "two"]
    kept = record(tmp_path)
    assert kept.outcome == "abandoned"
    assert [(each.step, each.error) for each in kept.attempts] == [("draft", GIVEN_UP)] * 2


def test_stream_that_begins_notes_what_went_before_it(tmp_path: Path) -> None:
    with running(says) as double:
        ask(tmp_path, double, stream=True)
    (begin,) = [frame for frame in map(decode, everything(tmp_path)) if isinstance(frame, Begin)]
    assert [each.step for each in begin.attempts] == ["draft", "draft", "critique", None]
    assert [each.usage and each.usage.total_tokens for each in begin.attempts] == [9, 9, 9, None]


def test_models_that_a_caller_falls_back_to_stand_in_for_each_that_fails(tmp_path: Path) -> None:
    incoming = Incoming(fallback=b'["there:spare"]')
    with running(failing("one", "last", status=503)) as double:
        reply = ask(tmp_path, double, incoming=incoming)
    assert reply.content == "of spare"
    assert reply.fidelity == "mixture=emulated"
    assert reply.answer["usage"]["total_tokens"] == 9 * CALLS
    found = [(each.step, each.model, each.status) for each in record(tmp_path).attempts]
    assert sorted(found[:3], key=str) == [
        ("draft", "one", 503),
        ("draft", "spare", 200),
        ("draft", "two", 200),
    ]
    assert found[3:] == [
        ("critique", "critic", 200),
        (None, "last", 503),
        (None, "spare", 200),
    ]


def test_drafts_that_were_tried_again_are_not_to_be_tried_again_by_the_client(
    tmp_path: Path,
) -> None:
    again = Said({"error": {"message": "busy"}}, status=429, headers={"retry-after": "0"})
    with running(lambda _: again) as double:
        reply = ask(tmp_path, double, retries=1)
    assert reply.status == 429
    assert reply.headers[b"x-should-retry"] == b"false"
    assert len(record(tmp_path).attempts) == 4


def request(**fields: Any) -> chat.ChatRequest:
    return chat.parse(json.dumps({"model": "m", "messages": HI, **fields}).encode())


def test_tools_and_formats_hold_for_drafts_and_the_answer_and_a_critic_calls_none() -> None:
    form = {"type": "json_object"}
    asked = request(tools=[TOOL], tool_choice="required", response_format=form, logprobs=True)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    drafts: list[Json] = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    draft = mixtures.draft(asked, Member("x", 3)).values
    critique = mixtures.critique(asked, drafts).values
    final = mixtures.final(asked, drafts, None).values
    assert (draft["tools"], draft["tool_choice"]) == ([TOOL], "required")
    assert draft["response_format"] == final["response_format"] == form
    assert "logprobs" not in draft
    assert final["logprobs"] is True
    assert (critique["tools"], critique["tool_choice"]) == ([TOOL], "none")
    assert "response_format" not in critique
    assert '"arguments":"{}"' in critique["messages"][-1]["content"].replace("\\", "")
    assert final["tool_choice"] == "required"


def test_functions_are_seen_by_the_critic_too() -> None:
    asked = request(functions=[{"name": "f"}], function_call="auto")
    critique = mixtures.critique(asked, [{"role": "assistant", "content": "x"}]).values
    assert (critique["functions"], critique["function_call"]) == ([{"name": "f"}], "none")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "assistant", "content": "Hello"}, "Hello"),
        ({"role": "assistant", "content": None}, ""),
        ({"role": "assistant", "content": "Hello", "reasoning_content": "Hm."}, "Hello"),
        ({"role": "assistant", "content": "", "refusal": "No."}, '{"refusal":"No."}'),
    ],
)
def test_draft_is_shown_as_its_text_or_as_all_that_it_says(message: Json, text: str) -> None:
    assert mixtures.text_of(message) == text


def names(**providers: Provider) -> Routes:
    return Routes(providers, {}, mixtures={"panel": MIXED})


def test_names_of_mixtures_lead_to_them_and_nowhere_else() -> None:
    routes = names(there=Provider("there", OpenAI()))
    assert routes.mixture("panel") is routes.mixture("openpipe:panel") is MIXED
    assert routes.mixture("there:one") is None
    assert ("panel", "mixture") in routes.names()
    with pytest.raises(BadRequest, match="'panel' is a mixture"):
        routes.resolve("panel")


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4-turbo", "gpt-4o"])
def test_mixtures_of_the_hosted_service_are_three_drafts_of_its_model(model: str) -> None:
    mixture = names().mixture(f"openpipe:moa-{model}-v1")
    assert mixture is not None
    assert mixture.candidates == (Member(f"openai:{model}", 3, 1.0),)
    assert mixture.models == [f"openai:{model}"] * 3
    assert mixture.answers == 5


def test_mixture_of_a_provider_that_is_not_there_says_so(tmp_path: Path) -> None:
    mixture = names().mixture("openpipe:moa-gpt-4o-v1")
    assert mixture is not None
    with running(says) as double:
        reply = ask(tmp_path, double, mixture=mixture)
    assert reply.status == 400
    assert reply.json["message"] == "Failed to get OpenAI completion: No OpenAI API key found"
