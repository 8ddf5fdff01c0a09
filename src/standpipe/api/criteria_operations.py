"""What each operation of criteria takes and gives, as data."""

from __future__ import annotations

from typing import Any

from standpipe import errors
from standpipe.api.operation import CALL_ERRORS, JSON, Operation, Query
from standpipe.api.schema import number, ref, text

CRITERIA = "Criteria"

_SLUG = "The criterion's id."
_NOT_FOUND = (errors.NotFound,)
_POLITE: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "prompt": "The answer is polite, whatever it was asked.",
}

CRITERIA_OPERATIONS: dict[str, Operation] = {
    "createCriterion": Operation(
        CRITERIA,
        "The criterion, with its version `v1`.",
        {JSON: ref("Criterion")},
        more="`kind` is `pass_fail` where it is not given. A project may have 1,000 criteria.",
        body="NewCriterion",
        examples={"check": {"id": "short-answers", "kind": "length", "max": 400}},
    ),
    "listCriteria": Operation(CRITERIA, "The criteria, by id.", {JSON: ref("CriterionList")}),
    "getCriterion": Operation(
        CRITERIA, "The criterion.", {JSON: ref("Criterion")}, names=_SLUG, errors=_NOT_FOUND
    ),
    "addCriterionVersion": Operation(
        CRITERIA,
        "The criterion, with its new version last.",
        {JSON: ref("Criterion")},
        more="It is the one that is meant by the id alone from now on. What is the same as the "
        "latest version adds none.",
        body="CriterionDefinition",
        names=_SLUG,
        examples={"check": {"kind": "length", "max": 200}, "judge": _POLITE},
        errors=_NOT_FOUND,
    ),
    "getCriterionAlignment": Operation(
        CRITERIA,
        "Each version that has judged rows of the criterion's alignment set, and two compared.",
        {JSON: ref("CriterionAlignment")},
        more="`standpipe criteria rows`, `label` and `align` make and judge the set. Intervals "
        "are of 95 %. Without `earlier` and `later`, the last two versions are compared.",
        names=_SLUG,
        query=(
            Query("passes", "From which score on an answer passes; 0.5.", number(0, 1)),
            Query("earlier", "A version to compare, such as `v1`.", text()),
            Query("later", "The version to compare it with.", text()),
        ),
        errors=_NOT_FOUND,
    ),
    "deleteCriterion": Operation(
        CRITERIA,
        "It is deleted, with all of its versions.",
        {JSON: ref("CriterionDeletion")},
        names=_SLUG,
        errors=_NOT_FOUND,
    ),
    "getCriterionJudgement": Operation(
        CRITERIA,
        "The score, and why.",
        {JSON: ref("Judgement")},
        more="A judge's call is one of the key's own: it is recorded as `judge`, priced and "
        "limited. Where the judge fails there is no score: the answer is its error's.",
        body="JudgeBody",
        headers=("op-log-request", "traceparent"),
        examples={
            "answer": {
                "criterion_id": "short-answers@v1",
                "input": {"messages": [{"role": "user", "content": "Name three rivers."}]},
                "output": {"role": "assistant", "content": "Rhine, Nile, Lena."},
            }
        },
        errors=CALL_ERRORS,
    ),
}
