"""The verbs on criteria: names of a project, each with versions that never change."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, Row, Select, delete, exc, func, select

from standpipe.errors import BadRequest, NotFound
from standpipe.store.database import Database
from standpipe.store.rows import now_us
from standpipe.store.schema import criteria, criterion_versions, projects

#: Criteria that a project may have, and versions that one may have.
MOST = 1000


class CriterionVersion(msgspec.Struct, frozen=True):
    """What a criterion was from some time on."""

    #: 1 for the first.
    number: int
    #: JSON of what the version is.
    definition: str
    created_at: int


class Criterion(msgspec.Struct, frozen=True):
    """Something that answers are judged by."""

    id: str
    project: str
    #: By which callers name it, the only one of the project.
    slug: str
    #: For people; may be empty.
    name: str
    created_at: int
    #: The oldest first; at least one.
    versions: tuple[CriterionVersion, ...]

    @property
    def latest(self) -> CriterionVersion:
        """The version that is meant where none is named."""
        return self.versions[-1]

    def version(self, number: int) -> CriterionVersion | None:
        """Return a version; None if there is none of that number."""
        return next((each for each in self.versions if each.number == number), None)


class Criteria:
    """The verbs on criteria."""

    _database: Database

    def add_criterion(
        self, project_id: str, slug: str, definition: str, name: str = ""
    ) -> Criterion:
        """Make a criterion with its first version.

        Raises NotFound if there is no such project, and BadRequest if it has one of that slug, or
        as many as it may have.
        """
        now = now_us()
        made = Criterion(
            *(str(uuid4()), project_id, slug, name, now), (CriterionVersion(1, definition, now),)
        )
        try:
            with self._database.writing() as connection:
                _check_room(connection, project_id)
                _insert(connection, made)
        except exc.IntegrityError as error:
            message = f"there is a criterion {slug!r} already; add a version to it"
            raise BadRequest(message, param="id") from error
        return made

    def add_criterion_version(
        self, project_id: str, slug: str, definition: str
    ) -> Criterion | None:
        """Give a criterion another version; None if there is no such criterion.

        One that is what the latest is adds none. Raises BadRequest where it has as many as it may.
        """
        with self._database.writing() as connection:
            its = select(criteria.c.id).where(*_is(project_id, slug)).with_for_update()
            if connection.scalar(its) is None:
                return None
            found = found_criteria(connection, of_criteria(project_id, [slug]))[0]
            if found.latest.definition == definition:
                return found
            if found.latest.number >= MOST:
                raise BadRequest(f"a criterion may have {MOST} versions; make another one")
            version = CriterionVersion(found.latest.number + 1, definition, now_us())
            _insert_version(connection, found, version)
        return msgspec.structs.replace(found, versions=(*found.versions, version))

    def criteria(
        self, project_id: str | None, slugs: Collection[str] | None = None
    ) -> list[Criterion]:
        """Return the criteria of a project, or of all for None, by slug; only those `slugs`."""
        with self._database.reading() as connection:
            return found_criteria(connection, of_criteria(project_id, slugs))

    def remove_criterion(self, project_id: str, slug: str) -> bool:
        """Delete a criterion with all of its versions; False if there is none."""
        with self._database.writing() as connection:
            return bool(connection.execute(delete(criteria).where(*_is(project_id, slug))).rowcount)

    def restore_criterion(self, criterion: Criterion) -> bool:
        """Put a criterion back as it was; False where it is there, or its project is not."""
        with self._database.writing() as connection:
            there = select(criteria.c.id).where(*_is(criterion.project, criterion.slug))
            is_there = connection.scalar(there) is not None
            if is_there or not _has_project(connection, criterion.project):
                return False
            _insert(connection, criterion)
        return True


def _is(project_id: str, slug: str) -> tuple[Any, Any]:
    return criteria.c.project_id == project_id, criteria.c.slug == slug


def of_criteria(project_id: str | None, slugs: Collection[str] | None = None) -> Select[Any]:
    """Return the query of a project's criteria, or of all for None; of those `slugs` alone."""
    query = select(criteria, *_VERSION).join(
        criterion_versions, criterion_versions.c.criterion_id == criteria.c.id
    )
    if project_id is not None:
        query = query.where(criteria.c.project_id == project_id)
    if slugs is not None:
        query = query.where(criteria.c.slug.in_(slugs))
    return query.order_by(criteria.c.project_id, criteria.c.slug, criterion_versions.c.number)


_VERSION = (
    criterion_versions.c.number,
    criterion_versions.c.definition,
    criterion_versions.c.created_at.label("made_at"),
)
_COLUMNS = len(criteria.columns)


def found_criteria(connection: Connection, query: Select[Any]) -> list[Criterion]:
    """Return the criteria that such a query finds."""
    rows = groupby(connection.execute(query), key=lambda row: tuple(row[:_COLUMNS]))
    return [_criterion(columns, versions) for columns, versions in rows]


def _criterion(columns: tuple[Any, ...], rows: Iterable[Row[Any]]) -> Criterion:
    criterion_id, project, slug, name, created_at = columns
    versions = tuple(CriterionVersion(*row[_COLUMNS:]) for row in rows)
    return Criterion(criterion_id, project, slug, name, created_at, versions)


def _check_room(connection: Connection, project_id: str) -> None:
    if not _has_project(connection, project_id):
        raise NotFound(f"there is no project {project_id!r}")
    count = select(func.count()).where(criteria.c.project_id == project_id)
    if (connection.scalar(count) or 0) >= MOST:
        raise BadRequest(f"a project may have {MOST} criteria; delete some")


def _has_project(connection: Connection, project_id: str) -> bool:
    it = select(projects.c.id).where(projects.c.id == project_id)
    # Kept until the criterion is there: a removal waits, and then removes this one too.
    return connection.scalar(it.with_for_update(read=True)) is not None


def _insert(connection: Connection, criterion: Criterion) -> None:
    values = {name: getattr(criterion, name) for name in ("id", "slug", "name", "created_at")}
    connection.execute(criteria.insert().values(**values, project_id=criterion.project))
    for version in criterion.versions:
        _insert_version(connection, criterion, version)


def _insert_version(connection: Connection, of: Criterion, version: CriterionVersion) -> None:
    values = {**msgspec.structs.asdict(version), "criterion_id": of.id, "project_id": of.project}
    connection.execute(criterion_versions.insert().values(**values))
