"""What a reward model is asked, and what its number is worth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from doubles import completion
from hypothesis import given
from hypothesis import strategies as st

from standpipe.criteria import reward
from standpipe.criteria.case import Case
from standpipe.criteria.definition import Reward
from standpipe.criteria.verdict import Failure, Success
from standpipe.wire import chat

Json = dict[str, Any]

FREE = Reward(model="m")
BOUND = Reward(model="m", low=-10, high=10)
HI: list[Json] = [{"role": "user", "content": "Hi"}]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}


def score(said: str, definition: Reward = FREE) -> float:
    found = reward.verdict(definition, completion(said))
    assert isinstance(found, Success), found
    assert found.tokens == 9
    assert found.explanation is None
    return found.score


@pytest.mark.parametrize(
    ("said", "worth"),
    [("0", 0.5), ("reward:0.0", 0.5), (" 2.5 ", 0.924142), ("-2.5", 0.075858), ("1e3", 1)],
)
def test_number_without_a_range_is_put_on_the_logistic_curve(said: str, worth: float) -> None:
    assert score(said) == worth


@pytest.mark.parametrize(
    ("said", "worth"), [("reward: -3.5", 0.325), ("10", 1), ("12", 1), ("-99.", 0), (".0", 0.5)]
)
def test_number_with_a_range_is_where_in_it_it_is(said: str, worth: float) -> None:
    assert score(said, BOUND) == worth


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(-50, 50))
def test_more_is_never_less_and_all_is_from_0_to_1(one: float, other: float) -> None:
    low, high = sorted((one, other))
    for definition in (FREE, BOUND):
        assert 0 <= score(repr(low), definition) <= score(repr(high), definition) <= 1


@pytest.mark.parametrize("said", ["", "good", "nan"])
def test_answer_without_a_number_is_a_failure_and_no_score(said: str) -> None:
    found = reward.verdict(FREE, completion(said))
    assert isinstance(found, Failure)
    assert (found.code, found.tokens) == (502, 9)
    assert repr(said) in found.message
    assert isinstance(reward.verdict(FREE, {"choices": []}), Failure)


@pytest.mark.parametrize(
    ("output", "last"),
    [
        ({"content": "Hello", "refusal": None, "annotations": [], "role": "assistant"}, "Hello"),
        ({"content": None}, ""),
        ({"content": None, "tool_calls": [CALL]}, ""),
    ],
)
def test_model_is_given_the_conversation_with_the_answer_at_its_end(
    output: Json, last: str
) -> None:
    body = reward.request(FREE, Case(output=output, messages=HI, tools=[TOOL]))
    asked = chat.parse(json.dumps(body).encode())
    assert asked.messages[:-1] == HI
    assert (asked.messages[-1]["role"], asked.messages[-1]["content"]) == ("assistant", last)
    assert body["max_completion_tokens"] == reward.MOST_TOKENS
    assert body["tools"] == [TOOL]
    assert "tools" not in reward.request(FREE, Case(output=output))


def test_parameters_of_a_version_beat_ours() -> None:
    body = reward.request(Reward(model="m", parameters={"max_tokens": 9}), Case(output={}))
    assert body["max_tokens"] == 9
    assert "max_completion_tokens" not in body
