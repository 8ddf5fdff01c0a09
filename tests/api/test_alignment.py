"""GET /criteria/{id}/alignment: how far the versions of a criterion agree with people."""

from __future__ import annotations

from typing import Any

import pytest
from asking import Asker

from standpipe.api.openapi import document
from standpipe.store import Project, Store
from standpipe.store.alignment import AlignmentVerdict, NewAlignmentRow

jsonschema = pytest.importorskip("jsonschema")

SHORT = {"id": "short", "kind": "length", "max": 5}
ALIGNMENT = "/criteria/short/alignment"


def fill(store: Store, project: Project) -> None:
    """Give the criterion 40 rows of which its first version errs in 10, its second in none."""
    rows = [NewAlignmentRow(f"r{n}", "{}", "PASS" if n % 2 else "FAIL") for n in range(40)]
    store.add_alignment_rows(project.id, "short", [*rows, NewAlignmentRow("r40", "{}")])
    for place, row in enumerate(rows):
        right = float(row.judgement == "PASS")
        first = 1 - right if place < 10 else right
        for number, score in ((1, first), (2, right)):
            verdict = AlignmentVerdict(number, score, None, None, 0)
            store.add_alignment_verdict(project.id, "short", row.id, verdict)


def test_versions_are_measured_and_compared(
    client: Asker, reader: Asker, store: Store, project: Project
) -> None:
    client.post("/criteria", SHORT)
    fill(store, project)
    said = reader.get(ALIGNMENT)
    form = {"$ref": "#/components/schemas/CriterionAlignment"}
    jsonschema.validate(said, {**form, "components": document()["components"]})
    assert (said["rows"], said["labelled"], said["bar"]) == (41, 40, 0.6)
    first, second = said["versions"]
    assert (first["aligned"], first["agreement"]["value"]) == (False, 0.75)
    assert first["kappa"]["low"] < first["kappa"]["value"] == 0.5
    assert (second["aligned"], second["kappa"]["high"]) == (True, 1)
    assert (said["comparison"]["gained"], said["comparison"]["real"]) == (10, True)
    swapped = reader.get(f"{ALIGNMENT}?earlier=v2&later=v1&passes=0.9")
    assert swapped["comparison"]["lost"] == 10


def test_bar_is_the_projects(client: Asker, store: Store, project: Project) -> None:
    client.post("/criteria", SHORT)
    fill(store, project)
    store.change_project(project.id, {"alignment_bar": 0.9})
    assert [each["aligned"] for each in client.get(ALIGNMENT)["versions"]] == [False, False]
    assert marks(client) == [False]
    store.change_project(project.id, {"alignment_bar": 0.1})
    assert marks(client) == [True]


def test_versions_that_agree_with_people_are_marked_where_criteria_are_shown(
    client: Asker, stranger: Asker, reader: Asker, store: Store, project: Project
) -> None:
    for who in (client, stranger):
        assert marks_of(who.post("/criteria", SHORT)) == [False]
        second = who.post("/criteria/short/versions", {"kind": "length", "max": 6})
        assert marks_of(second) == [False, False]
    fill(store, project)
    assert marks(client) == marks(reader) == [False, True]
    (listed,) = client.get("/criteria")["data"]
    assert marks_of(listed) == [False, True]
    assert marks(stranger) == [False, False]
    later = client.post("/criteria/short/versions", {"kind": "length", "max": 7})
    assert marks_of(later) == [False, True, False]
    # Nobody knows what it would have said of these.
    for n in range(3):
        failed = AlignmentVerdict(2, None, None, "it hung", 0)
        store.add_alignment_verdict(project.id, "short", f"r{n}", failed)
    assert marks(client) == [False, False, False]


def marks(who: Asker) -> list[bool]:
    return marks_of(who.get("/criteria/short"))


def marks_of(criterion: Any) -> list[bool]:
    return [each["aligned"] for each in criterion["versions"]]


def test_set_is_its_projects_alone(
    client: Asker, stranger: Asker, store: Store, project: Project
) -> None:
    client.post("/criteria", SHORT)
    fill(store, project)
    missing = stranger.ask("GET", ALIGNMENT)
    assert (missing.status, missing.json["message"]) == (404, "Criterion short not found")
    stranger.post("/criteria", SHORT)
    said: dict[str, Any] = stranger.get(ALIGNMENT)
    assert (said["rows"], said["versions"], said["comparison"]) == (0, [], None)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("passes=2", "passes"),
        ("passes=x", "passes"),
        ("earlier=v1", "later"),
        ("later=v1", "earlier"),
        ("earlier=1&later=v2", "earlier"),
        ("other=1", "other"),
    ],
)
def test_wrong_query_is_refused_by_the_name(client: Asker, query: str, param: str) -> None:
    client.post("/criteria", SHORT)
    answer = client.ask("GET", f"{ALIGNMENT}?{query}")
    assert (answer.status, answer.json["error"]["param"]) == (400, param)
