"""The verbs on alignment sets: rows that people judge, and what versions of a criterion say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, and_, case, delete, func, literal, select, update

from standpipe.errors import BadRequest
from standpipe.store.database import Database
from standpipe.store.rows import now_us
from standpipe.store.schema import alignment_rows, alignment_verdicts, criteria, projects

#: Rows that a criterion may have.
MOST = 10_000


class NewAlignmentRow(msgspec.Struct, frozen=True):
    """A row that is to be in a set."""

    #: The same for the same case.
    id: str
    #: JSON of what is judged; the store does not look into it.
    case: str
    #: PASS or FAIL, as people said; None where nobody has.
    judgement: str | None = None


class AlignmentVerdict(msgspec.Struct, frozen=True):
    """What a version said of a row."""

    #: The version's.
    number: int
    #: From 0, it fails, to 1; None where the judge could not say.
    score: float | None
    explanation: str | None
    #: Why there is no score.
    error: str | None
    made_at: int


class AlignmentRow(msgspec.Struct, frozen=True):
    """A row of a criterion's set."""

    #: Id of the criterion.
    criterion: str
    id: str
    #: JSON, as of a new row; empty where it was not asked for.
    case: str
    judgement: str | None
    created_at: int
    #: The oldest version first.
    verdicts: tuple[AlignmentVerdict, ...] = ()


class AlignmentTally(msgspec.Struct, frozen=True):
    """How many rows that people gave one judgement a version passed, and how many others."""

    #: Id of the criterion.
    criterion: str
    #: The version's.
    number: int
    #: The project's, None where it has none of its own.
    bar: float | None
    #: PASS or FAIL.
    judgement: str
    #: Rows that it was asked of, those of them that it could judge, and those that it passed.
    asked: int
    judged: int
    passed: int


_rows, _verdicts = alignment_rows.c, alignment_verdicts.c


class Alignment:
    """The verbs on alignment sets; each takes the project's id and the criterion's slug."""

    _database: Database

    def add_alignment_rows(
        self, project_id: str, slug: str, rows: Sequence[NewAlignmentRow]
    ) -> int | None:
        """Put rows into a set and return how many are new; None if there is no such criterion.

        A row that is there takes the judgement that is given with it. Raises BadRequest where the
        set would have more rows than it may.
        """
        with self._database.writing() as connection:
            owner = _criterion(connection, project_id, slug)
            if owner is None:
                return None
            now = now_us()
            tuples = [
                (owner, each.id, project_id, each.case, None, now + place)
                for place, each in enumerate(rows)
            ]
            new = self._database.insert_ignoring(connection, alignment_rows, tuples)
            for each in rows:
                if each.judgement is not None:
                    _judge(connection, owner, each.id, each.judgement)
            count = select(func.count()).where(_rows.criterion_id == owner)
            if (connection.scalar(count) or 0) > MOST:
                raise BadRequest(f"an alignment set may have {MOST} rows")
        return new

    def alignment_rows(
        self, project_id: str, slug: str, *, cases: bool = True
    ) -> list[AlignmentRow] | None:
        """Return a set as it was made, with its cases or without; None if there is no criterion."""
        with self._database.reading() as connection:
            owner = connection.scalar(_of(project_id, slug))
            return None if owner is None else list(found_rows(connection, owner, cases=cases))

    def alignment_tallies(
        self, project_id: str | None, slugs: Collection[str] | None = None, *, passes: float
    ) -> list[AlignmentTally]:
        """Count what versions said of the rows that people have judged.

        Of a project's criteria, or of all for None; only those `slugs`. `passes` is the score from
        which on a row does.
        """
        with self._database.reading() as connection:
            query = _tallies(project_id, slugs, passes)
            return [AlignmentTally(*found) for found in connection.execute(query)]

    def judge_alignment_row(
        self, project_id: str, slug: str, row_id: str, judgement: str | None
    ) -> bool:
        """Note what people say of a row, PASS, FAIL or None for nothing; False if there is none."""
        with self._database.writing() as connection:
            owner = _criterion(connection, project_id, slug)
            return owner is not None and _judge(connection, owner, row_id, judgement)

    def remove_alignment_row(self, project_id: str, slug: str, row_id: str) -> bool:
        """Take a row out of a set, with what was said of it; False if it is not there."""
        with self._database.writing() as connection:
            owner = _criterion(connection, project_id, slug)
            its = (_rows.criterion_id == owner, _rows.id == row_id)
            return bool(connection.execute(delete(alignment_rows).where(*its)).rowcount)

    def add_alignment_verdict(
        self, project_id: str, slug: str, row_id: str, verdict: AlignmentVerdict
    ) -> bool:
        """Keep what a version said of a row, in place of what it said before.

        False if the row is not there.
        """
        with self._database.writing() as connection:
            owner = _criterion(connection, project_id, slug)
            its = (_rows.criterion_id == owner, _rows.id == row_id)
            row = select(_rows.id).where(*its).with_for_update()
            if connection.scalar(row) is None:
                return False
            of_row = (_verdicts.criterion_id == owner, _verdicts.row_id == row_id)
            old = delete(alignment_verdicts).where(*of_row, _verdicts.number == verdict.number)
            connection.execute(old)
            self._insert_verdicts(connection, str(owner), project_id, row_id, [verdict])
        return True

    def restore_alignment_row(self, row: AlignmentRow) -> bool:
        """Put a row back with its verdicts; False where it is there, or its criterion is not."""
        with self._database.writing() as connection:
            its = select(criteria.c.project_id).where(criteria.c.id == row.criterion)
            project_id = connection.scalar(its.with_for_update(read=True))
            if project_id is None:
                return False
            values = (row.criterion, row.id, project_id, row.case, row.judgement, row.created_at)
            if not self._database.insert_ignoring(connection, alignment_rows, [values]):
                return False
            self._insert_verdicts(connection, row.criterion, project_id, row.id, row.verdicts)
        return True

    def _insert_verdicts(
        self,
        connection: Connection,
        criterion_id: str,
        project_id: str,
        row_id: str,
        verdicts: Iterable[AlignmentVerdict],
    ) -> None:
        tuples = [
            (criterion_id, row_id, each.number, project_id, *msgspec.structs.astuple(each)[1:])
            for each in verdicts
        ]
        self._database.insert_ignoring(connection, alignment_verdicts, tuples)


def found_rows(
    connection: Connection, criterion_id: str | None, *, cases: bool = True
) -> Iterator[AlignmentRow]:
    """Yield the rows of a criterion, or of all for None, with what was said of them."""
    said = _said(connection, criterion_id)
    text = _rows.case_text if cases else literal("")
    query = select(_rows.criterion_id, _rows.id, text, _rows.judgement, _rows.created_at)
    if criterion_id is not None:
        query = query.where(_rows.criterion_id == criterion_id)
    for found in connection.execute(query.order_by(_rows.created_at, _rows.id)):
        yield AlignmentRow(*found, verdicts=tuple(said[found[0], found[1]]))


def _said(
    connection: Connection, criterion_id: str | None
) -> defaultdict[tuple[str, str], list[AlignmentVerdict]]:
    query = select(
        *(_verdicts.criterion_id, _verdicts.row_id, _verdicts.number, _verdicts.score),
        *(_verdicts.explanation, _verdicts.error, _verdicts.made_at),
    ).order_by(_verdicts.number)
    if criterion_id is not None:
        query = query.where(_verdicts.criterion_id == criterion_id)
    said: defaultdict[tuple[str, str], list[AlignmentVerdict]] = defaultdict(list)
    for owner, row_id, *rest in connection.execute(query):
        said[owner, row_id].append(AlignmentVerdict(*rest))
    return said


def _tallies(project_id: str | None, slugs: Collection[str] | None, passes: float) -> Select[Any]:
    counts = (func.count(), func.count(_verdicts.score))
    passed = func.count(case((_verdicts.score >= passes, 1)))
    what = (criteria.c.id, _verdicts.number, projects.c.alignment_bar, _rows.judgement)
    whose = and_(_verdicts.criterion_id == _rows.criterion_id, _verdicts.row_id == _rows.id)
    query = (
        select(*what, *counts, passed)
        .select_from(criteria)
        .join(projects, projects.c.id == criteria.c.project_id)
        .join(alignment_rows, _rows.criterion_id == criteria.c.id)
        .join(alignment_verdicts, whose)
        .where(_rows.judgement.is_not(None))
        .group_by(*what)
    )
    if project_id is not None:
        query = query.where(criteria.c.project_id == project_id)
    return query if slugs is None else query.where(criteria.c.slug.in_(slugs))


def _criterion(connection: Connection, project_id: str, slug: str) -> Any:
    """Return a criterion's id and keep it there until the end; None if there is none."""
    return connection.scalar(_of(project_id, slug).with_for_update(read=True))


def _of(project_id: str, slug: str) -> Select[Any]:
    its = (criteria.c.project_id == project_id, criteria.c.slug == slug)
    return select(criteria.c.id).where(*its)


def _judge(connection: Connection, owner: str, row_id: str, judgement: str | None) -> bool:
    its = (_rows.criterion_id == owner, _rows.id == row_id)
    change = update(alignment_rows).where(*its).values(judgement=judgement)
    return bool(connection.execute(change).rowcount)
