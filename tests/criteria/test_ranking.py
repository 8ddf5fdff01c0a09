"""The order of choices."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from standpipe.criteria.ranking import combined, ranked
from standpipe.criteria.verdict import Failure, Success, Verdict

BROKEN = Failure(502, "the judge is away")


def choices(count: int) -> list[dict[str, Any]]:
    return [{"index": n, "message": {"content": str(n)}} for n in range(count)]


def order(found: list[dict[str, Any]]) -> list[str]:
    assert [choice["index"] for choice in found] == list(range(len(found)))
    return [choice["message"]["content"] for choice in found]


def test_best_sum_comes_first_and_errors_count_nothing() -> None:
    verdicts: list[dict[str, Verdict]] = [
        {"a": BROKEN, "b": Success(0.4)},
        {"a": Success(1.0), "b": Success(0.0)},
        {"a": Success(0.6), "b": Success(0.6)},
    ]
    assert order(ranked(choices(3), verdicts)) == ["2", "1", "0"]
    assert [combined(each) for each in verdicts] == [0.4, 1.0, 1.2]


def test_equal_ones_stay_in_their_order() -> None:
    verdicts: list[dict[str, Verdict]] = [{"a": BROKEN}, {"a": Success(0.0)}, {"a": BROKEN}]
    assert order(ranked(choices(3), verdicts)) == ["0", "1", "2"]


def test_results_are_told_in_openpipes_words() -> None:
    (choice,) = ranked(choices(1), [{"a": BROKEN, "b": Success(0.5), "c": Success(1, "Why.")}])
    assert choice["criteria_results"] == {
        "a": {"status": "error", "errorCode": 502, "errorMessage": "the judge is away"},
        "b": {"status": "success", "score": 0.5},
        "c": {"status": "success", "score": 1, "explanation": "Why."},
    }


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_order_is_by_score_and_then_by_place(scores: list[float | None]) -> None:
    verdicts: list[dict[str, Verdict]] = [
        {"a": BROKEN if score is None else Success(score)} for score in scores
    ]
    expected = sorted(range(len(scores)), key=lambda n: (-(scores[n] or 0.0), n))
    assert order(ranked(choices(len(scores)), verdicts)) == [str(n) for n in expected]
