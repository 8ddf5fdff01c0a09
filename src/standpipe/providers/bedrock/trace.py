"""A guardrail's trace, read into Azure's `content_filter_results`. Pure.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_GuardrailAssessment.html, seen
2026-11. The trace itself goes to the caller as it is; this is the part that other providers tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from standpipe.wire.lenient import mapping, objects, text

Json = dict[str, Any]

_SEVERITIES = {"NONE": "safe", "LOW": "low", "MEDIUM": "medium", "HIGH": "high"}


def filters(trace: Json) -> Json:
    """Return the choice's field, {} where the trace names no category."""
    found: Json = {}
    for each in _categories(mapping(trace.get("guardrail"))):
        name = text(each.get("type")).lower()
        known = found.setdefault(name, {"filtered": False})
        known["filtered"] = known["filtered"] or each.get("action") == "BLOCKED"
        if severity := _SEVERITIES.get(text(each.get("confidence"))):
            known["severity"] = severity
    found.pop("", None)
    return {"content_filter_results": found} if found else {}


def _categories(guardrail: Json) -> Iterator[Json]:
    for assessment in _assessments(guardrail):
        yield from objects(mapping(assessment.get("contentPolicy")).get("filters"))
        for topic in objects(mapping(assessment.get("topicPolicy")).get("topics")):
            yield {**topic, "type": topic.get("name")}


def _assessments(guardrail: Json) -> Iterator[Json]:
    """Yield the assessments of the input, one a guardrail, and of the output, a list of each."""
    yield from objects(list(mapping(guardrail.get("inputAssessment")).values()))
    for several in mapping(guardrail.get("outputAssessments")).values():
        yield from objects(several)
