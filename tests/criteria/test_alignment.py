"""Alignment sets: read from files, and what they say of versions."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from standpipe.criteria import alignment, alignment_report
from standpipe.criteria.case import Case
from standpipe.errors import BadRequest
from standpipe.store.alignment import AlignmentRow, AlignmentVerdict

HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "f"}}


def jsonl(*lines: Any) -> bytes:
    return b"\n".join(json.dumps(line).encode() for line in lines)


# --- files ----------------------------------------------------------------------------------------


def test_row_is_what_was_asked_the_answer_and_the_judgement() -> None:
    line = {
        "messages": [HI, HELLO], "tools": [TOOL], "tool_choice": "auto", "judgement": "FAIL",
        "split": "TEST", "metadata": {"a": "b"},
    }  # fmt: skip
    (row,) = alignment.read(jsonl(line) + b"\n\n").rows
    kept = AlignmentRow("c", row.id, row.case, row.judgement, 0)
    case = Case(output=HELLO, messages=[HI], tools=[TOOL], tool_choice="auto")
    assert (alignment.case(kept), row.judgement) == (case, "FAIL")


def test_same_case_is_the_same_row_whatever_was_judged() -> None:
    one = {"messages": [HI, HELLO], "judgement": "PASS"}
    other = {"messages": [HI, dict(reversed(HELLO.items()))]}
    first, second, third = alignment.read(jsonl(one, other, {"messages": [HELLO]})).rows
    assert first.id == second.id != third.id
    assert second.judgement is None


def test_functions_of_old_are_tools() -> None:
    old = {"messages": [HI, HELLO], "functions": [{"name": "f"}]}
    new = {"messages": [HI, HELLO], "tools": [TOOL]}
    first, second = alignment.read(jsonl(old, new)).rows
    assert first == second


GOOD = {"messages": [HI, HELLO], "judgement": "PASS"}
WRONG: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{", "no JSON"),
    "no object": (b"[]", "object"),
    "another judgement": (jsonl({**GOOD, "judgement": "MAYBE"}), "judgement"),
    "no messages": (jsonl({"judgement": "PASS"}), "messages"),
    "a wrong message": (jsonl({"messages": [{"role": "me"}, HELLO]}), "messages[0].role"),
    "no answer": (jsonl({"messages": [HI]}), "the final message must be from the assistant"),
    "an empty answer": (jsonl({"messages": [HI, {"role": "assistant"}]}), "messages[1].content"),
    "no text": (b"\xff", "no JSON"),
    "a deep one": (b'{"messages": [], "tool_choice":' + b"[" * 100_000, "no JSON"),
}


@pytest.mark.parametrize("name", WRONG)
def test_line_that_is_no_row_is_named(name: str) -> None:
    line, why = WRONG[name]
    found = alignment.read(jsonl(GOOD) + b"\n\n" + line)
    assert (len(found.rows), found.faulty) == (1, 1)
    assert found.faults[0].line == 3
    assert why in found.faults[0].why


def test_file_of_which_most_is_wrong_is_refused() -> None:
    with pytest.raises(BadRequest, match=re.escape("Invalid JSONL on line 2: ")):
        alignment.read(jsonl(GOOD, 1, 2))


def test_file_is_ten_megabytes_at_most() -> None:
    filling = jsonl(GOOD) + b"\n" * (alignment.LARGEST - len(jsonl(GOOD)))
    assert len(alignment.read(filling).rows) == 1
    with pytest.raises(BadRequest, match="10000000"):
        alignment.read(filling + b"\n")


# --- versions -------------------------------------------------------------------------------------


def verdict(number: int, score: float | None) -> AlignmentVerdict:
    return AlignmentVerdict(number, score, None, None if score is not None else "it hung", 0)


def rows(count: int, human: str | None, *scores: float | None) -> list[AlignmentRow]:
    """Return rows with a verdict of each version."""
    said = tuple(verdict(number, score) for number, score in enumerate(scores, 1))
    return [AlignmentRow("c", f"{human}{scores}{n}", "", human, 0, said) for n in range(count)]


def standing(found: list[AlignmentRow], **options: float) -> alignment.Standing:
    return alignment.standing(found, 1, **{"bar": 0.6, "passes": 0.5, **options})


PERFECT = [*rows(25, "PASS", 1), *rows(25, "FAIL", 0)]


@pytest.mark.parametrize(
    ("found", "aligned", "reason"),
    [
        (PERFECT, True, "kappa is at least 0.83, and the bar is 0.6"),
        ([*rows(15, "PASS", 1), *rows(14, "FAIL", 0)], False, "29 rows"),
        ([*rows(50, "PASS", 1), *rows(2, "FAIL", 0)], False, "kappa may be as low as"),
        ([*rows(40, "PASS", 1), *rows(40, "FAIL", 0.6)], False, "kappa may be as low as"),
        ([*PERFECT, *rows(3, "PASS", None)], False, "the judge failed at 3 of 53 rows"),
        ([*PERFECT, *rows(2, "PASS", None)], True, "kappa"),
        ([*PERFECT, *rows(9, None, 1)], True, "kappa"),
        ([], False, "0 rows"),
    ],
)
def test_version_is_aligned_by_enough_rows_above_the_bar(
    found: list[AlignmentRow], aligned: bool, reason: str
) -> None:
    shown = standing(found)
    assert shown.aligned is aligned
    assert reason in shown.reason


def test_bar_and_the_score_that_passes_may_be_others() -> None:
    assert not standing(PERFECT, bar=0.9).aligned
    sure = [*rows(25, "PASS", 0.9), *rows(25, "FAIL", 0.6)]
    assert standing(sure).agreement.agreement.value == 0.5
    assert standing(sure, passes=0.8).aligned


def test_rows_without_a_verdict_wait_and_errors_are_counted() -> None:
    shown = standing([*PERFECT, *rows(4, "PASS"), *rows(1, "FAIL", None), *rows(5, None)])
    assert (shown.waiting, shown.errors, shown.agreement.table.rows) == (4, 1, 50)


def test_versions_are_compared_by_what_both_judged() -> None:
    found = [
        *rows(20, "PASS", 0, 1), *rows(2, "FAIL", 0, 1), *rows(30, "FAIL", 0, 0),
        *rows(3, "PASS", 0, None), *rows(3, "PASS", 0), *rows(3, None, 0, 1),
    ]  # fmt: skip
    compared = alignment.compared(found, 1, 2, passes=0.5)
    assert (compared.rows, compared.gained, compared.lost) == (52, 20, 2)


def test_report_has_each_version_and_compares_the_last_two() -> None:
    found = [*rows(20, "PASS", 0, 1, 1), *rows(30, "FAIL", 0, 0, 0), *rows(2, None)]
    said = alignment_report.report("polite", found, bar=0.6, passes=0.5)
    assert [each["version"] for each in said["versions"]] == ["v1", "v2", "v3"]
    assert [each["aligned"] for each in said["versions"]] == [False, True, True]
    assert (said["rows"], said["labelled"]) == (52, 50)
    assert said["comparison"]["in_words"].startswith("v2 and v3 are right equally often")
    named = alignment_report.report("polite", found, bar=0.6, passes=0.5, pair=(1, 2))
    assert (named["comparison"]["gained"], named["comparison"]["real"]) == (20, True)


def test_report_of_a_set_that_nothing_judged_is_empty() -> None:
    said = alignment_report.report("polite", rows(3, "PASS"), bar=0.6, passes=0.5)
    assert (said["versions"], said["comparison"]) == ([], None)
