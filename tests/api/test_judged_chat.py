"""`op-criteria` on the chat route: every choice judged, the best first, whatever the judges do."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import doubles
import pytest
import serving
from asking import CHAT, HI, Asker, until
from doubles import Asked, Double, Said
from serving import Answer, Standpipe, call

from standpipe.store import Project, Row, Store
from standpipe.store.tokens import new_token
from standpipe.wire import fold

Json = dict[str, Any]

#: What a thousandth of a dollar a token makes of a judge's nine.
DEAR = '[prices."openai/dear"]\ninput = "1000"\noutput = "1000"\n'
#: What the writer says, one choice after the other.
SAID = ("Hello there, dear friend", "Hi", "Hello")
#: Models of judges that never come to a verdict.
HANGS = "hangs"
#: The provider's own, which it may repeat.
SECRET = "sk-of-the-upstream"
TOOL = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def written(asked: Asked) -> Said:
    whole = doubles.completion("")
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", **TOOL}]}
    calls = asked.body["model"] == "tools"
    whole["choices"] = [
        {
            "index": n,
            "message": message if calls else {"role": "assistant", "content": SAID[n]},
            "finish_reason": "tool_calls" if calls else "stop",
            "logprobs": None,
        }
        for n in range(asked.body.get("n", 1))
    ]
    if asked.body["model"] == "empty":
        whole["choices"] = []
    if asked.body["model"] == "tells":
        whole["choices"][0]["message"]["content"] = f"My key is {SECRET}."
    if asked.body["model"] == "odd":
        whole["choices"][0].pop("message")
    assert "criteria" not in asked.body
    assert not asked.body.get("stream")
    return Said(whole)


def judged(asked: Asked) -> Said:
    """Judge by the length of the answer, or as the judge's name says."""
    model, shown = asked.body["model"], asked.body["messages"][1]["content"]
    if model == HANGS:
        time.sleep(20)
    if "Slow down." in shown:
        time.sleep(1)
    if model == "broken":
        return Said({"error": {"message": "out of order"}}, status=500)
    answer = shown.partition("<answer>\n")[2].partition("\n</answer>")[0]
    said = {
        "garbage": "I liked it.",
        "prefers short": json.dumps({"explanation": answer, "score": 100 - len(answer)}),
    }.get(model, json.dumps({"explanation": answer, "verdict": "PASS"}))
    if model == "refuses":
        refusal = {"content": None, "refusal": "I will not judge that."}
        return doubles.as_openai(doubles.completion(refusal), asked.body)
    return doubles.as_openai(doubles.completion(said), asked.body)


def answered(asked: Asked) -> Said:
    is_judge = "You judge" in str(asked.body["messages"][0]["content"])
    return (judged if is_judge else written)(asked)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Double]:
    with doubles.running(answered, "/v1") as double:
        yield double


def target(provider: str, model: str) -> str:
    return f'targets = [{{ provider = "{provider}", model = "{model}" }}]\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Double) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("judged") / "home"
    names = ("broken", "garbage", "refuses", HANGS)
    routes = "".join(f"[routes.{name}]\nretries = 0\n{target('openai', name)}" for name in names)
    routes += f"[routes.one]\nmax_in_flight = 1\n{target('openai', 'one')}"
    with doubles.anthropic("Hello") as anthropic, doubles.gemini("Hello") as gemini:
        places = serving.provider("openai", upstream.url, api_key=f'"{SECRET}"')
        places += serving.provider(
            "anthropic", anthropic.url, api_key='"sk-a"', models='["claude"]'
        )
        places += serving.provider("gemini", gemini.url, api_key='"sk-g"', models='["gemini"]')
        with serving.serving(home, places + routes + DEAR) as running:
            yield running


@pytest.fixture
def criteria(client: Asker) -> Asker:
    """Make criteria and return who may use them."""
    judge = {"prompt": "Is it short?"}
    for fields in (
        {"id": "short", "kind": "length", "max": 5},
        {"id": "brief", "kind": "score", "low": 0, "high": 100, "model": "prefers short", **judge},
        {"id": "polite", "model": "gpt-4o-mini", **judge},
        *({"id": name, "model": name, **judge} for name in ("broken", "garbage", "refuses", HANGS)),
    ):
        client.post("/criteria", fields)
    return client


def ask(
    who: Asker, *names: str, model: str = "writer", n: int = 3, headers: Any = None, **fields: Any
) -> Answer:
    body = {"model": model, "messages": HI, "n": n, **fields}
    sent = {"op-criteria": json.dumps(names), **(headers or {})}
    return call(who.server, "POST", CHAT, body, key=who.token, headers=sent)


def contents(completion: Json) -> list[Any]:
    return [choice["message"]["content"] for choice in completion["choices"]]


def results(answer: Answer, name: str) -> list[Json]:
    assert answer.status == 200, answer.body
    return [choice["criteria_results"][name] for choice in answer.json["choices"]]


def held_to(who: Asker, store: Store, project: Project, **limits: Any) -> Asker:
    """Return who asks with a key of these limits."""
    _, token = new_token()
    text = json.dumps(limits)
    key = store.add_key(project.id, name="held", read_only=False, token=token, limits=text)
    return Asker(who.server, token, key.id)


def rows_of(store: Store, project: Project, count: int) -> list[Row]:
    until(lambda: len(store.logs(project.id)) >= count)
    return store.logs(project.id)


# --- the best first -------------------------------------------------------------------------------


def test_choices_are_judged_and_ranked(criteria: Asker) -> None:
    answer = ask(criteria, "short", "brief@v1").json
    assert contents(answer) == ["Hi", "Hello", "Hello there, dear friend"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    first = answer["choices"][0]["criteria_results"]
    assert first == {
        "short": {"status": "success", "score": 1.0, "explanation": "2 characters"},
        "brief": {"status": "success", "score": 0.98, "explanation": "Hi"},
    }
    assert answer["usage"]["criteria"] == {"brief": {"total_tokens": 27}}
    assert answer["usage"]["total_tokens"] == 9


def test_body_may_name_criteria_too(criteria: Asker) -> None:
    body = {"model": "writer", "messages": HI, "n": 2, "criteria": ["short"]}
    answer = criteria.post(CHAT, body)
    assert contents(answer) == ["Hi", "Hello there, dear friend"]
    both = ask(criteria, "short", n=1, criteria=["short", "brief"]).json
    assert set(both["choices"][0]["criteria_results"]) == {"short", "brief"}
    none = criteria.post(CHAT, {"model": "writer", "messages": HI, "criteria": []})
    assert "criteria_results" not in none["choices"][0]


@pytest.mark.parametrize("usage", [True, False])
def test_stream_is_judged_first_and_then_sent(
    criteria: Asker, store: Store, project: Project, usage: bool
) -> None:
    options: Json = {"stream_options": {"include_usage": True}} if usage else {}
    answer = ask(criteria, "short", "brief", stream=True, **options)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.endswith(b"data: [DONE]\n\n")
    folded = fold.fold_stream(answer.body).completion
    assert folded is not None
    assert contents(folded) == ["Hi", "Hello", "Hello there, dear friend"]
    assert folded["choices"][0]["criteria_results"]["short"]["score"] == 1
    assert ("usage" in folded and bool(folded["usage"])) == usage
    call_row = next(r for r in rows_of(store, project, 4) if r.kind == "chat")
    assert call_row.streamed
    assert call_row.usage is not None
    assert (call_row.usage.total_tokens, call_row.usage_source) == (9, "provider")


@pytest.mark.parametrize("model", ["claude", "gemini"])
def test_every_provider_s_choices_are_judged(criteria: Asker, model: str) -> None:
    answer = ask(criteria, "short", "brief", model=model, n=2)
    assert [each["score"] for each in results(answer, "short")] == [1, 1]
    assert {each["explanation"] for each in results(answer, "brief")} == {"Hello"}


def test_calls_of_tools_are_judged(criteria: Asker, upstream: Double) -> None:
    criteria.post("/criteria", {"id": "json", "kind": "json_schema", "schema": {"required": ["a"]}})
    tools = [{"type": "function", "function": {"name": "f"}}]
    answer = ask(criteria, "json", "polite", model="tools", n=1, tools=tools)
    assert results(answer, "json")[0]["score"] == 1
    assert answer.json["choices"][0]["message"]["tool_calls"][0]["id"] == "c"
    assert '"name": "f"' in upstream.asked[-1].body["messages"][1]["content"]


# --- what is kept ---------------------------------------------------------------------------------


def test_judges_calls_are_records_of_the_call(
    criteria: Asker, store: Store, project: Project
) -> None:
    answer = ask(criteria, "polite", "short", n=2)
    rows = rows_of(store, project, 3)
    parent = next(row for row in rows if row.kind == "chat")
    judges = [row for row in rows if row.kind == "judge"]
    assert parent.id == answer.headers["x-request-id"]
    assert parent.parent is None
    assert [row.parent for row in judges] == [parent.id] * 2
    assert {row.key for row in rows} == {criteria.key}
    assert all(row.cost for row in judges)
    assert criteria.get(CHAT)["data"][0]["choices"] == answer.json["choices"]
    assert [each["request_id"] for each in criteria.stored()] == [parent.id]
    kept = store.record(project.id, parent.id)
    assert kept is not None
    assert json.loads(kept.response or "") == answer.json
    latest = store.latest(project.id)
    assert latest is not None
    assert latest.id == parent.id


def test_judge_s_text_is_kept_only_if_the_call_s_is(
    criteria: Asker, store: Store, project: Project
) -> None:
    ask(criteria, "polite", n=1, headers={"op-log-request": "false"})
    assert not any(row.logged for row in rows_of(store, project, 2))


# --- judges in trouble ----------------------------------------------------------------------------

TROUBLES = {
    "broken": (500, "the judge failed: out of order"),
    "garbage": (502, "the judge gave no verdict"),
    "refuses": (502, "the judge refused: I will not judge that."),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_judge_that_fails_is_a_result_and_no_failed_call(criteria: Asker, name: str) -> None:
    code, message = TROUBLES[name]
    answer = ask(criteria, name, "short")
    for result in results(answer, name):
        assert (result["status"], result["errorCode"]) == ("error", code)
        assert message in result["errorMessage"]
        assert "score" not in result
    assert contents(answer.json) == ["Hi", "Hello", "Hello there, dear friend"]


def test_judge_that_hangs_is_given_up(criteria: Asker, store: Store, project: Project) -> None:
    answer = ask(criteria, HANGS, "short", headers={"standpipe-criteria-timeout": "0.3"})
    for result in results(answer, HANGS):
        assert result["errorCode"] == 504
        assert "0.3 s" in result["errorMessage"]
    assert [each["score"] for each in results(answer, "short")] == [1, 1, 0]
    rows = rows_of(store, project, 4)
    assert [row.outcome for row in rows if row.kind == "judge"] == ["abandoned"] * 3
    assert [row.outcome for row in rows if row.kind == "chat"] == ["complete"]


def test_whatever_judges_do_the_call_is_answered_and_the_ledger_is_right(
    criteria: Asker, store: Store, project: Project
) -> None:
    names = [*TROUBLES, HANGS, "polite", "short"]
    answer = ask(criteria, *names, headers={"standpipe-criteria-timeout": "7"})
    assert contents(answer.json) == ["Hi", "Hello", "Hello there, dear friend"]
    codes = {name: {each.get("errorCode") for each in results(answer, name)} for name in names}
    failed = {name: {code} for name, (code, _) in TROUBLES.items()}
    assert codes == {**failed, HANGS: {504}, "polite": {None}, "short": {None}}
    told = answer.json["usage"]["criteria"]
    assert told == {name: {"total_tokens": 27} for name in ("garbage", "refuses", "polite")}

    rows = rows_of(store, project, 16)
    assert {row.parent for row in rows if row.kind == "judge"} == {answer.headers["x-request-id"]}
    judges = Counter((row.model, row.outcome) for row in rows if row.kind == "judge")
    ends = {"broken": "failed", HANGS: "abandoned"}
    models = ("broken", "garbage", "refuses", HANGS, "gpt-4o-mini")
    assert judges == dict.fromkeys(((name, ends.get(name, "complete")) for name in models), 3)
    (parent,) = (row for row in rows if row.kind == "chat")
    assert (parent.outcome, parent.status) == ("complete", 200)
    # Nine answers of judges and one of the writer were given, nine tokens each.
    used = criteria.get("/usage")["data"]
    assert sum(each["calls"] for each in used) == len(rows) == 16
    assert sum(row.usage.total_tokens or 0 for row in rows if row.usage) == 90 + rest(rows)
    assert sum(each["usage"]["total_tokens"] for each in used) == 90 + rest(rows)
    costs = [row.cost for row in rows if row.cost is not None]
    assert sum(Decimal(each["cost"] or 0) for each in used) == sum(costs) > 0


def rest(rows: list[Row]) -> int:
    """Return what judges that were given up may have used."""
    left = [row.usage for row in rows if row.outcome == "abandoned"]
    return sum(usage.total_tokens or 0 for usage in left if usage)


def test_judges_cost_no_more_than_the_caller_says(
    criteria: Asker, store: Store, project: Project
) -> None:
    # One answer of the judge may cost 0.0012288 dollars, for its 2,048 tokens, and a bit. It takes
    # a second, so that none has ended before the last is to begin.
    criteria.post("/criteria", {"id": "slow", "model": "gpt-4o-mini", "prompt": "Slow down."})
    answer = ask(criteria, "slow", "short", headers={"standpipe-criteria-budget": "0.003"})
    found = results(answer, "slow")
    assert sorted(each["status"] for each in found) == ["error", "success", "success"]
    (refused,) = [each for each in found if each["status"] == "error"]
    assert refused["errorCode"] == 402
    assert "0.003" in refused["errorMessage"]
    assert len([row for row in rows_of(store, project, 3) if row.kind == "judge"]) == 2


def test_judges_take_no_place_of_the_calls_at_a_time(
    criteria: Asker, store: Store, project: Project
) -> None:
    alone = held_to(criteria, store, project, concurrent_calls=1)
    for _ in range(3):
        assert [each["score"] for each in results(ask(alone, "polite"), "polite")] == [1] * 3
    # They are calls all the same.
    few = held_to(criteria, store, project, requests_per_minute=3)
    found = [each.get("errorCode") for each in results(ask(few, "polite"), "polite")]
    assert sorted(found, key=str) == [429, None, None]


def test_judges_are_paid_out_of_the_keys_budget(
    criteria: Asker, store: Store, project: Project
) -> None:
    criteria.post("/criteria", {"id": "dear", "model": "dear", "prompt": "Is it short?"})
    # Each holds two dollars, for it may say 2,048 tokens.
    who = held_to(criteria, store, project, dollars_per_day="0.005")
    found = results(ask(who, "dear"), "dear")
    assert [each.get("errorCode") for each in found].count(429) == 2
    again = ask(who, "dear")
    assert again.status == 402, again.body
    spent = sum(row.cost or 0 for row in rows_of(store, project, 5))
    assert spent == Decimal("0.009")


def test_judges_wait_for_room_at_their_model(
    criteria: Asker, store: Store, project: Project
) -> None:
    criteria.post("/criteria", {"id": "one", "model": "one", "prompt": "Is it short?"})
    assert [each["score"] for each in results(ask(criteria, "one"), "one")] == [1] * 3
    judges = [row for row in rows_of(store, project, 4) if row.kind == "judge"]
    assert [len(row.attempts) for row in judges] == [1] * 3


@pytest.mark.parametrize(("name", "budget"), [("polite", "0"), ("brief", "1000")])
def test_judge_without_money_or_price_is_not_asked(
    criteria: Asker, store: Store, project: Project, name: str, budget: str
) -> None:
    answer = ask(criteria, name, n=1, headers={"standpipe-criteria-budget": budget})
    assert results(answer, name)[0]["errorCode"] == 402
    assert [row.kind for row in rows_of(store, project, 1)] == ["chat"]


# --- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("invalid-criterion-name", "Criterion invalid-criterion-name not found"),
        ("short@fake-version", "Criterion version fake-version not found for criterion short"),
    ],
)
def test_criterion_that_is_not_there_is_told_before_a_provider_is_asked(
    criteria: Asker, upstream: Double, store: Store, project: Project, name: str, message: str
) -> None:
    before = len(upstream.asked)
    answer = ask(criteria, "short", name)
    assert (answer.status, answer.json["message"]) == (404, message)
    assert len(upstream.asked) == before
    (row,) = rows_of(store, project, 1)
    assert (row.status, row.outcome, row.error) == (404, "refused", message)


@pytest.mark.parametrize(
    ("headers", "param"),
    [
        ({"op-criteria": '"short"'}, "op-criteria"),
        ({"op-criteria": '["short", "short@v1"]'}, "criteria"),
        ({"standpipe-criteria-timeout": "0"}, "standpipe-criteria-timeout"),
        ({"standpipe-criteria-timeout": "601"}, "standpipe-criteria-timeout"),
        ({"standpipe-criteria-timeout": "1e2"}, "standpipe-criteria-timeout"),
        ({"standpipe-criteria-budget": "-1"}, "standpipe-criteria-budget"),
        ({"standpipe-criteria-budget": "nan"}, "standpipe-criteria-budget"),
    ],
)
def test_unclear_header_is_refused_by_name(criteria: Asker, headers: Json, param: str) -> None:
    answer = ask(criteria, "short", headers=headers)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


def test_body_s_criteria_are_checked(criteria: Asker) -> None:
    body = {"model": "writer", "messages": HI, "criteria": [1]}
    answer = criteria.ask("POST", CHAT, body)
    assert (answer.status, answer.json["error"]["param"]) == (400, "criteria[0]")


def test_error_of_the_answer_is_the_call_s(criteria: Asker, upstream: Double) -> None:
    before = len(upstream.asked)
    answer = ask(criteria, "polite", model="openpipe:nothing")
    assert answer.status == 404
    assert len(upstream.asked) == before


@pytest.mark.parametrize("model", ["odd", "empty"])
@pytest.mark.parametrize("stream", [True, False])
def test_answer_that_cannot_be_judged_is_none(criteria: Asker, model: str, stream: bool) -> None:
    answer = ask(criteria, "short", model=model, stream=stream)
    assert answer.status == 502
    assert "cannot be judged" in answer.json["message"]


def leave_while_judged(who: Asker, upstream: Double, model: str) -> None:
    """Ask, and hang up once the judge has been asked."""
    before = len(upstream.asked)
    body = json.dumps({"model": model, "messages": HI, "criteria": [HANGS]})
    connection = http.client.HTTPConnection("127.0.0.1", who.server.port)
    headers = {"Authorization": f"Bearer {who.token}", "Content-Type": "application/json"}
    connection.request("POST", f"/v1{CHAT}", body, headers)
    upstream.wait(lambda: len(upstream.asked) == before + 2)
    connection.close()


def test_client_that_leaves_takes_its_judges_along(
    criteria: Asker, store: Store, project: Project, upstream: Double
) -> None:
    leave_while_judged(criteria, upstream, "writer")
    rows = {row.kind: row for row in rows_of(store, project, 2)}
    assert {row.outcome for row in rows.values()} == {"abandoned"}
    assert rows["judge"].parent == rows["chat"].id
    used = rows["chat"].usage
    assert used is not None
    assert (used.total_tokens, rows["chat"].usage_source) == (9, "provider")


def test_secret_that_an_answer_repeats_comes_to_no_judge_and_into_no_record(
    criteria: Asker, store: Store, project: Project, upstream: Double
) -> None:
    leave_while_judged(criteria, upstream, "tells")
    assert SECRET not in str(upstream.asked[-1].body)
    rows = {row.kind: row for row in rows_of(store, project, 2)}
    assert rows["chat"].response is not None
    assert "My key is ***." in str(rows["chat"].response)
    assert SECRET not in str(rows)


# --- in Anthropic's form ----------------------------------------------------------------------


def message(who: Asker, **fields: Any) -> Answer:
    body = {"model": "writer", "max_tokens": 9, "messages": HI, **fields}
    sent = {"op-criteria": '["short", "brief"]'}
    answer = call(who.server, "POST", "/messages", body, key=who.token, headers=sent)
    assert answer.status == 200, answer.body
    return answer


def test_message_of_anthropic_s_form_is_the_best_choice(
    criteria: Asker, store: Store, project: Project
) -> None:
    said = message(criteria, n=3).json
    assert [block["text"] for block in said["content"]] == ["Hi"]
    results = said["criteria_results"]
    assert results["short"] == {"status": "success", "score": 1.0, "explanation": "2 characters"}
    assert results["brief"]["score"] == 0.98
    assert said["usage"]["criteria"] == {"brief": {"total_tokens": 27}}
    rows = rows_of(store, project, 4)
    kept = store.record(project.id, next(row.id for row in rows if row.kind == "chat"))
    assert kept is not None
    assert len(json.loads(kept.response or "")["choices"]) == 3


def test_streamed_message_begins_with_what_its_criteria_say(criteria: Asker) -> None:
    answer = message(criteria, n=3, stream=True)
    first, *rest = (json.loads(line[6:]) for line in answer.body.splitlines() if line[:1] == b"d")
    assert first["message"]["criteria_results"]["brief"]["score"] == 0.98
    assert "".join(each["delta"].get("text", "") for each in rest if "delta" in each) == "Hi"
    (end,) = (each for each in rest if each["type"] == "message_delta")
    assert end["usage"]["criteria"] == {"brief": {"total_tokens": 27}}


def test_error_of_judged_messages_has_anthropic_s_form(criteria: Asker) -> None:
    body = {"model": "writer", "max_tokens": 9, "messages": HI, "criteria": ["none"]}
    answer = criteria.ask("POST", "/messages", body)
    assert (answer.status, answer.json["error"]["type"]) == (404, "not_found_error")
    assert answer.json["error"]["message"] == "Criterion none not found"
