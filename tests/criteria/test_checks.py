"""Criteria that need no model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.calls.emulation import checker as checking
from standpipe.calls.emulation.checker import Checker
from standpipe.criteria import checks, definition
from standpipe.criteria.verdict import Failure, Success, Verdict

Checking = Callable[[dict[str, Any], str], Verdict]


@pytest.fixture(scope="module")
def check() -> Iterator[Checking]:
    checker = Checker()
    with asyncio.Runner() as runner:
        yield lambda body, text: runner.run(checks.check(definition.parse(body), text, checker))
        runner.run(checker.close())


SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}

SCORED: list[tuple[dict[str, Any], str, float]] = [
    ({"kind": "json_schema", "schema": SCHEMA}, '{"a": 1}', 1),
    ({"kind": "json_schema", "schema": SCHEMA}, '{"a": "1"}', 0),
    ({"kind": "json_schema", "schema": SCHEMA}, "a: 1", 0),
    ({"kind": "json_schema", "schema": SCHEMA}, "", 0),
    ({"kind": "regex", "pattern": r"\bcat\b"}, "a cat sat", 1),
    ({"kind": "regex", "pattern": r"(?i)^CAT"}, "a cat sat", 0),
    ({"kind": "equals", "value": "Yes"}, " Yes\n", 1),
    ({"kind": "equals", "value": "Yes"}, "yes", 0),
    ({"kind": "equals", "value": "Straße", "ignore_case": True}, "STRASSE", 1),
    ({"kind": "contains", "value": "cat"}, "concatenate", 1),
    ({"kind": "contains", "value": "Cat"}, "concatenate", 0),
    ({"kind": "contains", "value": "Cat", "ignore_case": True}, "concatenate", 1),
    ({"kind": "length", "max": 5}, "hello", 1),
    ({"kind": "length", "max": 5}, "hello!", 0),
    ({"kind": "length", "min": 2, "max": 3, "unit": "words"}, "one two  three", 1),
    ({"kind": "length", "min": 2, "unit": "words"}, "one", 0),
    ({"kind": "similarity", "value": "The answer"}, "the  ANSWER", 1),
    ({"kind": "similarity", "value": "The answer"}, "", 0),
    ({"kind": "similarity", "value": "abc"}, "xyz", 0),
]


@pytest.mark.parametrize(("body", "text", "score"), SCORED)
def test_check_scores_a_text(
    check: Checking, body: dict[str, Any], text: str, score: float
) -> None:
    verdict = check(body, text)
    assert isinstance(verdict, Success)
    assert verdict.score == score
    assert verdict.tokens is None


def test_explanation_of_a_schema_says_what_is_wrong(check: Checking) -> None:
    verdict = check({"kind": "json_schema", "schema": SCHEMA}, '{"a": "x"}')
    assert isinstance(verdict, Success)
    assert "integer" in (verdict.explanation or "")


def test_similar_texts_are_between_same_and_other(check: Checking) -> None:
    verdict = check({"kind": "similarity", "value": "three rivers of Europe"}, "rivers in Europe")
    assert isinstance(verdict, Success)
    assert 0.5 < verdict.score < 1


def test_pattern_that_takes_for_ever_is_an_error_and_no_fail(
    check: Checking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "CHECK_SECONDS", 0.5)
    evil = {"kind": "regex", "pattern": "(a+)+$"}
    verdict = check(evil, "a" * 60 + "!")
    assert isinstance(verdict, Failure)
    assert verdict.code == 504
    assert "(a+)+$" in verdict.message
    assert check(evil, "aaa") == Success(1.0, "the pattern is found")


@given(st.text(max_size=40), st.text(max_size=40))
def test_similarity_is_symmetric_and_between_0_and_1(one: str, other: str) -> None:
    found = checks.similarity(one, other)
    assert 0 <= found <= 1
    assert found == checks.similarity(other, one)
    assert checks.similarity(one, one) == 1
