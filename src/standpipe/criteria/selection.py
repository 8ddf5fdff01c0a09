"""Criteria as callers name them, `slug` or `slug@v2`, and the versions that are meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from standpipe.criteria import definition
from standpipe.criteria.definition import Definition
from standpipe.errors import BadRequest, NotFound
from standpipe.store.criteria import Criterion, CriterionVersion

_VERSION = re.compile(r"v([1-9][0-9]{0,8})")


class Reference(NamedTuple):
    """A name that a caller gave."""

    slug: str
    #: As it was written behind the `@`; None where none was.
    version: str | None


class Selected(msgspec.Struct, frozen=True):
    """A version to judge by."""

    slug: str
    number: int
    definition: Definition

    @property
    def name(self) -> str:
        """The version's whole name."""
        return f"{self.slug}@v{self.number}"


def parse(text: str) -> Reference:
    """Return what a caller's name says."""
    slug, at, version = text.partition("@")
    return Reference(slug, version if at else None)


def select(references: Sequence[Reference], found: Iterable[Criterion]) -> list[Selected]:
    """Return the versions that are meant, in their order, out of those that were found.

    Raises NotFound for one that there is not (spec 1.7), BadRequest for a criterion given twice:
    its results would have one name.
    """
    known = {each.slug: each for each in found}
    selected: dict[str, Selected] = {}
    for reference in references:
        version = _version(known, reference)
        if reference.slug in selected:
            raise BadRequest(f"the criterion {reference.slug!r} is given twice", param="criteria")
        what = definition.read(version.definition)
        selected[reference.slug] = Selected(reference.slug, version.number, what)
    return list(selected.values())


def missing(slug: str) -> str:
    """Return what is said where there is no such criterion."""
    return f"Criterion {slug[:256]} not found"


def _version(known: dict[str, Criterion], reference: Reference) -> CriterionVersion:
    criterion = known.get(reference.slug)
    if criterion is None:
        raise NotFound(missing(reference.slug))
    if reference.version is None:
        return criterion.latest
    number = _VERSION.fullmatch(reference.version)
    version = criterion.version(int(number[1])) if number else None
    if version is None:
        raise NotFound(
            f"Criterion version {reference.version[:256]} not found for criterion {reference.slug}"
        )
    return version
