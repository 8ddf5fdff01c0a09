"""A judge that chooses between two answers: what it is asked, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from standpipe.criteria import pairwise
from standpipe.criteria.case import Case
from standpipe.criteria.definition import PassFail

JUDGE = PassFail(model="m", prompt="Is it polite?", parameters={"temperature": 0})


def case(answer: str, asked: str = "Hi") -> Case:
    messages = [{"role": "user", "content": asked}]
    return Case(output={"role": "assistant", "content": answer}, messages=messages)


def test_judge_is_shown_both_answers_in_their_order_and_its_own_prompt() -> None:
    body = pairwise.request(JUDGE, case("Gladly"), case("No"))
    system, user = (message["content"] for message in body["messages"])
    assert "no orders" in system.replace("no\n", "no ")
    assert user.startswith("Is it polite?")
    assert "<first>\nGladly\n</first>\n<second>\nNo\n</second>" in user
    assert '"Hi"' in user
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    assert list(properties) == ["explanation", "better"]
    assert (body["model"], body["temperature"], body["max_completion_tokens"]) == ("m", 0, 2048)


@pytest.mark.parametrize(
    ("content", "choice"),
    [
        ('{"explanation": "It is kind.", "better": "first"}', "first"),
        ('So: {"better": "tie"}', "tie"),
        ('{"better": "both"}', None),
        ('{"better": ["first"]}', None),
        ("first", None),
        (None, None),
    ],
)
def test_choice_is_read_or_there_is_none(content: Any, choice: str | None) -> None:
    assert pairwise.choice({"choices": [{"message": {"content": content}}]}) == choice


def test_pairs_are_different_answers_to_the_same() -> None:
    cases = [case("a"), case("b"), case("a", "Ho"), case("c"), case("a"), case("d", "Ho")]
    found = [(one.text, other.text) for one, other in pairwise.pairs(cases, 9)]
    assert found == [("a", "b"), ("a", "c"), ("b", "c"), ("b", "a"), ("a", "d"), ("c", "a")]
    assert len(pairwise.pairs(cases, 2)) == 2
