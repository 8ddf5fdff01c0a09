"""Criteria as callers name them."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from standpipe.criteria import selection
from standpipe.criteria.library import Library
from standpipe.errors import BadRequest, NotFound, Unavailable
from standpipe.store import Store
from standpipe.store.criteria import Criterion, CriterionVersion

FOUND = [
    Criterion(
        *("id", "p", slug, "", 0),
        tuple(CriterionVersion(n, f'{{"kind":"length","max":{n}}}', 0) for n in (1, 2)),
    )
    for slug in ("short", "highlight-format")
]


def names(*texts: str) -> list[str]:
    selected = selection.select([selection.parse(text) for text in texts], FOUND)
    return [each.name for each in selected]


def test_latest_version_is_meant_where_none_is_named() -> None:
    assert names("short@v1", "highlight-format") == ["short@v1", "highlight-format@v2"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("invalid-criterion-name", "Criterion invalid-criterion-name not found"),
        ("invalid@v1", "Criterion invalid not found"),
        ("", "Criterion  not found"),
        (
            "highlight-format@fake-version",
            "Criterion version fake-version not found for criterion highlight-format",
        ),
        ("short@v3", "Criterion version v3 not found for criterion short"),
        ("short@v0", "Criterion version v0 not found for criterion short"),
        ("short@v01", "Criterion version v01 not found for criterion short"),
        ("short@", "Criterion version  not found for criterion short"),
        ("short@v1@v1", "Criterion version v1@v1 not found for criterion short"),
    ],
)
def test_what_there_is_not_is_told_in_openpipes_words(name: str, message: str) -> None:
    with pytest.raises(NotFound) as refused:
        names(name)
    assert refused.value.message == message


def test_criterion_given_twice_is_refused() -> None:
    with pytest.raises(BadRequest, match="'short' is given twice"):
        names("short@v1", "short@v2")


def test_store_that_is_away_is_no_missing_criterion(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'nowhere' / 'standpipe.db'}"
    away = pytest.raises(Unavailable, match="the store is away")
    with closing(Store.open(url)) as store, away:
        asyncio.run(Library(store).select("p", ["short"]))
