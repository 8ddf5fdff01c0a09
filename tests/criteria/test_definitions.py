"""Bodies that become a version of a criterion, and those that cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from standpipe.calls.emulation.checker import Checker
from standpipe.criteria import checks, definition
from standpipe.criteria.definition import KINDS, PassFail, Score
from standpipe.errors import BadRequest

JUDGED = {"model": "m", "prompt": "Is it polite?"}
GOOD: dict[str, dict[str, Any]] = {
    "pass_fail": {**JUDGED, "parameters": {"temperature": 0}},
    "score": {**JUDGED, "low": 1, "high": 5},
    "reward": {"model": "m", "low": -10, "high": 10},
    "json_schema": {"schema": {"type": "object"}},
    "regex": {"pattern": r"^\d+$"},
    "equals": {"value": "yes", "ignore_case": True},
    "contains": {"value": "yes"},
    "length": {"max": 10, "unit": "words"},
    "similarity": {"value": "the answer"},
}


def test_every_kind_is_tried() -> None:
    assert [kind.__struct_config__.tag for kind in KINDS] == list(GOOD)


@pytest.mark.parametrize("kind", GOOD)
def test_version_is_kept_and_read_again(kind: str) -> None:
    found = definition.parse({"kind": kind, **GOOD[kind]})
    assert found.kind == kind
    assert definition.read(definition.kept(found)) == found


def test_pass_or_fail_is_the_kind_where_none_is_named() -> None:
    assert definition.parse(JUDGED) == PassFail(model="m", prompt="Is it polite?")
    assert definition.parse({**JUDGED, "kind": "score"}) == Score(model="m", prompt="Is it polite?")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no judge": ({"prompt": "p"}, "model"),
    "no prompt": ({"model": "m"}, "prompt"),
    "an unknown kind": ({**JUDGED, "kind": "vibes"}, "kind"),
    "a field too many": ({**JUDGED, "temperature": 0}, "temperature"),
    "an unknown name": ({"model": "m", "prompt": "{{output}} {{secret}}"}, "prompt"),
    "an answer never shown": ({"model": "m", "prompt": "{{messages}}"}, "prompt"),
    "a section without end": ({"model": "m", "prompt": "{{#tools}} {{output}}"}, "prompt"),
    "an end without section": ({"model": "m", "prompt": "{{output}} {{/tools}}"}, "prompt"),
    "sections that cross": (
        {"model": "m", "prompt": "{{#tools}}{{#messages}}{{/tools}}{{/messages}}{{output}}"},
        "prompt",
    ),
    "what is ours": ({**JUDGED, "parameters": {"stream": True}}, "parameters"),
    "an empty range": ({**JUDGED, "kind": "score", "low": 5, "high": 1}, "high"),
    "half a range": ({"kind": "reward", "model": "m", "low": 1}, "high"),
    "an empty range of rewards": ({"kind": "reward", "model": "m", "low": 1, "high": 1}, "high"),
    "a prompt for a reward": ({**JUDGED, "kind": "reward"}, "prompt"),
    "any length": ({"kind": "length"}, "max"),
    "no length": ({"kind": "length", "min": 3, "max": 2}, "max"),
    "a unit": ({"kind": "length", "max": 2, "unit": "tokens"}, "unit"),
    "a large schema": ({"kind": "json_schema", "schema": {"title": "x" * 70_000}}, "schema"),
    "a long pattern": ({"kind": "regex", "pattern": "x" * 5000}, "pattern"),
    "an empty text": ({"kind": "contains", "value": ""}, "value"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_body_names_the_field(name: str) -> None:
    body, field = BAD[name]
    with pytest.raises(BadRequest) as refused:
        definition.parse(body)
    assert field in (refused.value.param or refused.value.message)


@pytest.mark.parametrize("slug", ["a", "short-answers", "A.b_c-9", "9" * 64])
def test_slug_is_a_name(slug: str) -> None:
    definition.check_slug(slug)


@pytest.mark.parametrize("slug", ["", "-a", "a@v1", "a b", "a/b", "é", "9" * 65, "a\n"])
def test_other_slug_is_refused(slug: str) -> None:
    with pytest.raises(BadRequest) as refused:
        definition.check_slug(slug)
    assert refused.value.param == "id"


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


FAULTY: dict[str, tuple[dict[str, Any], str]] = {
    "pattern": ({"kind": "regex", "pattern": "("}, "pattern"),
    "schema": ({"kind": "json_schema", "schema": {"type": "nothing"}}, "schema"),
    "reference": ({"kind": "json_schema", "schema": {"$ref": "http://x/y"}}, "schema"),
}


def test_pattern_and_schema_that_cannot_be_used_are_found_out(runner: asyncio.Runner) -> None:
    async def found() -> list[definition.Fault | None]:
        checker = Checker()
        bodies = [body for body, _ in FAULTY.values()]
        bodies += [{"kind": kind, **body} for kind, body in GOOD.items()]
        try:
            return [await checks.fault(definition.parse(body), checker) for body in bodies]
        finally:
            await checker.close()

    faults = runner.run(found())
    assert [fault and fault[0] for fault in faults[: len(FAULTY)]] == [
        f for _, f in FAULTY.values()
    ]
    assert not any(faults[len(FAULTY) :])
