"""What a criterion says of an answer: a score, or that there is none and why."""

from __future__ import annotations

from typing import Any

import msgspec


class Success(msgspec.Struct, frozen=True):
    """A score from 0, it fails, to 1, it passes."""

    score: float
    explanation: str | None = None
    #: That the judge used, None for a check that asks no model.
    tokens: int | None = None


class Failure(msgspec.Struct, frozen=True):
    """No score: the criterion could not be applied. It is neither a pass nor a fail."""

    #: As an HTTP status.
    code: int
    message: str
    #: That the judge used all the same.
    tokens: int | None = None


Verdict = Success | Failure


def told(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as a choice of an answer has it in `criteria_results`."""
    if isinstance(verdict, Failure):
        error = {"errorCode": verdict.code, "errorMessage": verdict.message}
        return {"status": "error", **error}
    said = {} if verdict.explanation is None else {"explanation": verdict.explanation}
    return {"status": "success", "score": verdict.score, **said}
