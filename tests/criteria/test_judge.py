"""What a judge is asked, and what its answer says."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from doubles import completion
from hypothesis import given
from hypothesis import strategies as st

from standpipe.criteria import judge
from standpipe.criteria.case import Case
from standpipe.criteria.definition import PassFail, Score
from standpipe.criteria.verdict import Failure, Success, Verdict

Json = dict[str, Any]

POLITE = PassFail(model="m", prompt="Is it polite?")
STARS = Score(model="m", prompt="How good is it?", low=1, high=5)
CASE = Case(output={"role": "assistant", "content": "Hello"})


def says(word: str, why: str = "So.") -> str:
    return json.dumps({"explanation": why, "verdict": word})


def verdict(content: str, definition: PassFail | Score = POLITE, **more: Any) -> Verdict:
    return judge.verdict(definition, completion(content, **more))


# --- asking -------------------------------------------------------------------------------------


def test_judge_is_asked_for_structured_output_and_for_logprobs() -> None:
    body = judge.request(POLITE, CASE)
    assert body["model"] == "m"
    assert body["response_format"]["json_schema"]["strict"] is True
    schema = body["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["explanation", "verdict"]
    assert body["logprobs"] is True
    assert body["max_completion_tokens"] == judge.MOST_TOKENS
    system, user = body["messages"]
    assert "PASS" in system["content"]
    assert "Hello" in user["content"]
    assert not any("logprobs" in name for name in judge.without_logprobs(body))


def test_judge_that_scores_is_told_the_range() -> None:
    body = judge.request(STARS, CASE)
    assert "from 1, the worst, to 5" in body["messages"][0]["content"]
    assert "logprobs" not in body


def test_parameters_of_a_version_beat_ours() -> None:
    own = PassFail(model="m", prompt="p", parameters={"max_tokens": 9, "temperature": 0})
    body = judge.request(own, CASE)
    assert (body["max_tokens"], body["temperature"]) == (9, 0)
    assert "max_completion_tokens" not in body


# --- the plain verdict --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "score"),
    [
        (says("PASS"), 1),
        (says("FAIL"), 0),
        (f"```json\n{says('pass')}\n```", 1),
        (f"Here it is: {says('FAIL')} That is all.", 0),
        ('{"verdict": "PASS"}', 1),
    ],
)
def test_verdict_is_read(content: str, score: float) -> None:
    found = verdict(content)
    assert isinstance(found, Success)
    assert (found.score, found.tokens) == (score, 9)


def test_explanation_is_kept() -> None:
    assert verdict(says("PASS", "It greets.")) == Success(1.0, "It greets.", 9)


@pytest.mark.parametrize(("said", "score"), [(1, 0), (5, 1), (2, 0.25), (4.6, 0.9)])
def test_score_is_where_in_the_range_it_is(said: float, score: float) -> None:
    found = verdict(json.dumps({"explanation": "", "score": said}), STARS)
    assert found == Success(score, None, 9)


UNUSABLE: dict[str, tuple[Json, str]] = {
    "garbage": (completion("I think it is rather good."), "no verdict"),
    "nothing": (completion({"content": None}), "no verdict"),
    "a list": (completion("[1, 2]"), "no verdict"),
    "another object": (completion('{"good": true}'), "verdict"),
    "another word": (completion(says("MAYBE")), "'MAYBE'"),
    "a flag": (completion('{"verdict": true}'), "verdict"),
    "half of it": (completion('{"explanation": "It is'), "no verdict"),
    "too much": (completion('{"explanation": "It', finish="length"), "cut off"),
    "a refusal": (completion({"content": None, "refusal": "I cannot."}), "I cannot."),
    "a filter": (completion("", finish="content_filter"), "filter"),
    "no choice": ({**completion(""), "choices": []}, "no verdict"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_answer_without_a_verdict_is_a_failure_and_never_a_pass(name: str) -> None:
    answer, why = UNUSABLE[name]
    found = judge.verdict(POLITE, answer)
    assert isinstance(found, Failure)
    assert (found.code, found.tokens) == (502, 9)
    assert why in found.message


@pytest.mark.parametrize("score", ["0", "6", '"4"', "true", "null", "1e999"])
def test_score_outside_of_the_range_is_a_failure(score: str) -> None:
    assert isinstance(verdict(f'{{"score": {score}}}', STARS), Failure)


@given(st.text(max_size=60))
def test_no_text_is_taken_for_a_pass_but_one_that_says_so(text: str) -> None:
    assert isinstance(verdict(text), Failure)


# --- how sure it is -----------------------------------------------------------------------------


def token(text: str, **others: float) -> Json:
    """Return a token; `others` are what else might have stood there, as probabilities."""
    listed = [
        {"token": other.replace("_", '"'), "logprob": math.log(p)} for other, p in others.items()
    ]
    logprob = math.log(others.get(text.replace('"', "_"), 1.0))
    return {"token": text, "logprob": logprob, "top_logprobs": listed}


def sure(*tokens: Json) -> float:
    text = "".join(each["token"] for each in tokens)
    whole = completion(text)
    whole["choices"][0]["logprobs"] = {"content": list(tokens)}
    found = judge.verdict(POLITE, whole)
    assert isinstance(found, Success), found
    return found.score


HEAD = token('{"explanation": "So.", "verdict": ')


def test_score_is_the_probability_of_the_passing_token() -> None:
    assert sure(HEAD, token('"'), token("PASS", PASS=0.9, FAIL=0.1), token('"}')) == 0.9
    assert sure(HEAD, token('"'), token("FAIL", PASS=0.2, FAIL=0.8), token('"}')) == 0.2


def test_what_is_neither_pass_nor_fail_does_not_count() -> None:
    assert sure(HEAD, token('"'), token("PASS", PASS=0.6, FAIL=0.2, X=0.2), token('"}')) == 0.75


def test_token_may_begin_before_the_word_or_end_within_it() -> None:
    joined = token('"PASS', _PASS=0.7, _FAIL=0.3)
    assert sure(HEAD, joined, token('"}')) == 0.7
    assert sure(HEAD, token('"'), token("P", P=0.7, F=0.3), token("ASS"), token('"}')) == 0.7


def test_several_tokens_of_one_word_are_added_up() -> None:
    split = token("PASS", PASS=0.5, P=0.25, FA=0.25)
    assert sure(HEAD, token('"'), split, token('"}')) == 0.75


def test_verdict_in_the_explanation_is_not_taken_for_it() -> None:
    tokens = [
        token('{"explanation": "\\"verdict\\": \\"'),
        token("FAIL", FAIL=1.0),
        token('\\"", "verdict": "'),
        token("PASS", PASS=0.9, FAIL=0.1),
        token('"}'),
    ]
    assert sure(*tokens) == 0.9


def test_token_that_is_half_a_character_is_read_by_its_bytes() -> None:
    halves = [{"token": "?", "bytes": [byte], "logprob": 0.0} for byte in "é".encode()]
    whole = completion(says("PASS"))
    passing = token("PASS", PASS=0.9, FAIL=0.1)
    tokens = [token('{"explanation": "'), *halves, token('", "verdict": "'), passing, token('"}')]
    whole["choices"][0]["logprobs"] = {"content": tokens}
    found = judge.verdict(POLITE, whole)
    assert isinstance(found, Success)
    assert found.score == 0.9


@pytest.mark.parametrize(
    "logprobs",
    [None, {}, {"content": None}, {"content": []}, {"content": [{"token": "PASS"}]}, [], "x",
     {"content": [{"token": '{"verdict": "'}, {"token": "PASS", "logprob": None}]},
     {"content": [1, None, {"bytes": [300]}, {"token": 7}]}],
)  # fmt: skip
def test_plain_score_stands_where_the_tokens_do_not_tell(logprobs: Any) -> None:
    whole = completion(says("PASS"))
    whole["choices"][0]["logprobs"] = logprobs
    assert judge.verdict(POLITE, whole) == Success(1.0, "So.", 9)
