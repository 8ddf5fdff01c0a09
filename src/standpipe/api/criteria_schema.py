"""What the routes of criteria take and give, as JSON Schema."""

from __future__ import annotations

from standpipe.api.schema import (
    Schema,
    array,
    either,
    filled,
    flag,
    mapping,
    nullable,
    number,
    of,
    one_of,
    record,
    ref,
    text,
    whole,
)
from standpipe.criteria.agreement import MEASURES
from standpipe.criteria.definition import LONGEST_PATTERN

_VALUE = filled("The text that is compared with.")
_CASE = flag("Capitals make no difference.", default=False)
_LENGTH = whole(0, 10_000_000)
_MODEL = text("The judge: any model that the key may call.", minLength=1, maxLength=256)
_PROMPT = filled(
    "What to judge by. `{{messages}}`, `{{tools}}`, `{{tool_choice}}` and `{{output}}` stand for "
    "the call's; a prompt that names none of them is followed by them all."
)
_PARAMETERS = mapping(description="More of the judge's request, such as `temperature`.")
_JUDGED: dict[str, Schema] = {"model": _MODEL, "prompt": _PROMPT}


def _kind(
    name: str, required: dict[str, Schema], optional: dict[str, Schema] | None = None
) -> Schema:
    kind: dict[str, Schema] = {"kind": {"type": "string", "const": name}}
    return record({**kind, **required}, optional)


#: Every kind but the one that is meant where none is named.
_OTHERS: tuple[Schema, ...] = (
    _kind(
        "score",
        _JUDGED,
        {"low": of("number"), "high": of("number"), "parameters": _PARAMETERS},
    ),
    _kind(
        "reward",
        {"model": _MODEL},
        {
            "low": nullable(of("number")),
            "high": nullable(of("number")),
            "parameters": _PARAMETERS,
        },
    ),
    _kind("json_schema", {"schema": mapping()}),
    _kind(
        "regex", {"pattern": text("In Python's syntax.", minLength=1, maxLength=LONGEST_PATTERN)}
    ),
    _kind("equals", {"value": _VALUE}, {"ignore_case": _CASE}),
    _kind("contains", {"value": _VALUE}, {"ignore_case": _CASE}),
    _kind(
        "length",
        {},
        {
            "min": _LENGTH,
            "max": nullable(_LENGTH),
            "unit": one_of("characters", "words") | {"default": "characters"},
        },
    ),
    _kind("similarity", {"value": _VALUE}),
)
_PASS_FAIL = record(
    _JUDGED,
    {"kind": {"type": "string", "const": "pass_fail"}, "parameters": _PARAMETERS},
)
_NAMED: dict[str, Schema] = {
    "id": text(
        "By which callers name it, the project's only one.",
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    ),
}
_TIME = text(format="date-time")
_SCORE = number(0, 1, "0 fails, 1 passes.")
_COUNT = whole(0, 10_000)
_EXPLANATION = text("Why, in the judge's words.")

CRITERIA: dict[str, Schema] = {
    "NewCriterion": {
        "allOf": [
            record(_NAMED, {"name": text("For people.", maxLength=256)}),
            ref("CriterionDefinition"),
        ]
    },
    "CriterionDefinition": either(
        _PASS_FAIL, *_OTHERS, description="What is judged by; `kind` says which fields there are."
    ),
    "CriterionVersion": {
        "allOf": [
            record(
                {
                    "version": text("Such as `v1`."),
                    "created_at": _TIME,
                    "aligned": flag("It agrees with people, as its alignment set shows."),
                }
            ),
            ref("CriterionDefinition"),
        ]
    },
    "Criterion": record(
        {
            **_NAMED,
            "object": {"type": "string", "const": "criterion"},
            "name": text(),
            "created_at": _TIME,
            "version": text("The latest one."),
            "versions": array(ref("CriterionVersion"), "The oldest first; none ever changes."),
        }
    ),
    "CriterionList": record(
        {"object": {"type": "string", "const": "list"}, "data": array(ref("Criterion"))}
    ),
    "CriterionDeletion": record(
        {
            "id": text(),
            "object": {"type": "string", "const": "criterion.deleted"},
            "deleted": flag(),
        }
    ),
    "CriterionAlignment": record(
        {
            "object": {"type": "string", "const": "criterion.alignment"},
            "id": text(),
            "bar": number(-1, 1, "What the lower end of kappa's interval has to reach."),
            "passes": number(0, 1, "From which score on an answer passes."),
            "rows": _COUNT,
            "labelled": whole(0, 10_000, "Rows that people have judged."),
            "versions": array(ref("VersionAlignment"), "The oldest first."),
            "comparison": nullable(ref("VersionComparison", "Null where there are no two.")),
        }
    ),
    "VersionAlignment": record(
        {
            "version": text("Such as `v1`."),
            "aligned": flag("It agrees with people: shown by at least 30 rows, above the bar."),
            "reason": text("Why it is, or is not."),
            "judged": whole(0, 10_000, "Rows that people and this version have judged."),
            "errors": whole(0, 10_000, "Rows that it could not judge."),
            "waiting": whole(0, 10_000, "Rows that it was not asked of."),
            "table": mapping(
                _COUNT, "Rows by what people said, the first word, and what the version did."
            ),
            **{name: ref("Measure") for name in MEASURES},
        }
    ),
    "VersionComparison": record(
        {
            "earlier": text(),
            "later": text(),
            "rows": whole(0, 10_000, "That people and both versions have judged."),
            "gained": whole(0, 10_000, "Of which only the later one says what people say."),
            "lost": whole(0, 10_000, "Of which only the earlier one does."),
            "difference": ref("Measure", "Of their agreement with people."),
            "p_value": number(0, 1, "McNemar's exact test."),
            "real": flag("It is more than chance would have it."),
            "in_words": text(),
        }
    ),
    "Measure": record(
        {
            "value": nullable(number(-1, 1, "Null where the rows say nothing of it.")),
            "low": number(-1, 1),
            "high": number(-1, 1),
        },
        description="A figure with its 95 % interval.",
    ),
    "JudgeBody": record(
        {
            "criterion_id": text("The criterion's id; `@v2` behind it names a version."),
            "output": mapping(description="The assistant's message."),
        },
        {"input": ref("JudgeInput", "What it answers.")},
        closed=True,
    ),
    "JudgeInput": record(
        {"messages": array(ref("Message"))},
        {
            "tool_choice": nullable(ref("ToolChoice")),
            "tools": nullable(array(ref("Tool"))),
        },
        closed=True,
    ),
    "Judgement": record(
        {"score": _SCORE},
        {
            "explanation": _EXPLANATION,
            "usage": record(
                {"total_tokens": of("integer", minimum=0)},
                description="Of the judge; absent where none was asked.",
            ),
        },
    ),
}
