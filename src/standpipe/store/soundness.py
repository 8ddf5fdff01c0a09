"""Whether the tables are at one with each other, and whether what the spool held is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Select,
    and_,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    union_all,
)
from zstandard import ZstdError

from standpipe.store.contents import Texts
from standpipe.store.contents import texts as contents_of
from standpipe.store.database import Database
from standpipe.store.many import present
from standpipe.store.removal import SIZE
from standpipe.store.schema import (
    contents,
    open_streams,
    prefixes,
    project_sizes,
    projects,
    records,
    tombstones,
    usage_hours,
)
from standpipe.store.usage import HOUR_US, Sums, sum_days, wrong_days
from standpipe.wire.record import Usage

#: Hour, key and model.
Place = tuple[int, str, str]

# Costs are summed in two halves, since all of them might be more than the database can count.
_HALF = 2**32
_LARGEST = 2**63 - 1

_another = prefixes.alias("another")

#: Texts that calls should have and that cannot be read: each query counts what is not there.
_UNREADABLE = (
    select(func.count())
    .select_from(records)
    .where(
        records.c.request_head.is_not(None),
        ~select(prefixes.c.hash).where(prefixes.c.hash == records.c.request_head).exists(),
    ),
    select(func.count())
    .select_from(prefixes)
    .where(
        prefixes.c.parent.is_not(None),
        ~select(_another.c.hash).where(_another.c.hash == prefixes.c.parent).exists(),
    ),
    select(func.count())
    .select_from(prefixes)
    .where(
        ~select(contents.c.hash).where(contents.c.hash == prefixes.c.content).exists(),
    ),
)
#: What takes room and is of no use.
_UNUSED = (
    select(func.count())
    .select_from(prefixes)
    .where(
        ~select(records.c.id).where(records.c.request_head == prefixes.c.hash).exists(),
        ~select(_another.c.hash).where(_another.c.parent == prefixes.c.hash).exists(),
    ),
    select(func.count())
    .select_from(contents)
    .where(
        ~select(prefixes.c.hash).where(prefixes.c.content == contents.c.hash).exists(),
    ),
)

_HAS_USAGE = or_(*(records.c[name].is_not(None) for name in Usage.__struct_fields__))

#: What the figures of an hour are the sums of; the cost comes last, in two halves.
_SUMMED = {
    "calls": func.count(),
    "failed": func.sum(case((records.c.outcome != "complete", 1), else_=0)),
    "priced": func.count(records.c.cost_pico),
    "unpriced": func.sum(case((and_(records.c.cost_pico.is_(None), _HAS_USAGE), 1), else_=0)),
    "prompt_tokens": func.sum(records.c.prompt_tokens),
    "completion_tokens": func.sum(records.c.completion_tokens),
    "cached_tokens": func.sum(records.c.cached_tokens),
    "cache_write_tokens": func.sum(records.c.cache_write_tokens),
    "reasoning_tokens": func.sum(records.c.reasoning_tokens),
    "prompt_audio_tokens": func.sum(records.c.prompt_audio_tokens),
    "completion_audio_tokens": func.sum(records.c.completion_audio_tokens),
    "high": func.sum(records.c.cost_pico // _HALF),
    "low": func.sum(records.c.cost_pico % _HALF),
}
_FIGURES = Sums.__struct_fields__
#: Usage that says nothing was counted when it came and is none now.
_UNSURE = _FIGURES.index("unpriced")
_WHERE = {
    "its_hour": records.c.requested_at - records.c.requested_at % literal_column(str(HOUR_US)),
    "its_key": func.coalesce(records.c.key_id, literal_column("''")),
    "its_model": func.coalesce(records.c.model, literal_column("''")),
}


class Soundness:
    """The verbs of `standpipe verify`; all are about all projects."""

    _database: Database

    def unknown(self, owners: Mapping[str, str]) -> set[str]:
        """Return those ids of records that are not there and should be.

        `owners` has the project of each. What was deleted, or is an open stream, is not meant.
        """
        with self._database.reading() as connection:
            left = owners.keys() - present(connection, records.c.id, owners)
            left -= present(connection, open_streams.c.id, left)
            graves = left | {owners[each] for each in left}
            buried = present(connection, tombstones.c.record_id, graves)
        return {each for each in left if not {each, owners[each]} & buried}

    def kept_texts(self, ids: Sequence[str]) -> dict[str, Texts | None]:
        """Return the texts of those records that are there; None for what cannot be read."""
        query = select(records).where(records.c.id.in_(ids))
        try:
            with self._database.reading() as connection:
                found = connection.execute(query).all()
                both = contents_of(connection, found)
        except (ZstdError, msgspec.DecodeError, UnicodeDecodeError):
            if len(ids) == 1:
                return {ids[0]: None}
            half = len(ids) // 2
            return self.kept_texts(ids[:half]) | self.kept_texts(ids[half:])
        return {row.id: texts for row, texts in zip(found, both, strict=True)}

    def faults(self) -> dict[str, int]:
        """Return what is wrong with the tables and how often; 0 for what is right.

        `unreadable` texts; `unused` messages; the `sizes` of so many projects; the `usage` of so
        many hours, among those whose calls are all there, and of so many sums of a day.
        """
        with self._database.reading(unhurried=True) as connection:
            ids = connection.scalars(select(projects.c.id)).all()
            return {
                "unreadable": sum(connection.scalar(query) or 0 for query in _UNREADABLE),
                "unused": sum(connection.scalar(query) or 0 for query in _UNUSED),
                "sizes": len(_sizes(connection, owned=True)),
                "usage": sum(
                    len(_wrong_hours(connection, each)) + wrong_days(connection, each)
                    for each in ids
                ),
            }

    def recount(self) -> None:
        """Count anew what the texts of each project take, and what was used in such hours."""
        with self._database.writing(unhurried=True) as connection:
            # No record is added or removed meanwhile.
            self._database.own_contents(connection)
            sizes = _sizes(connection, owned=False)
            connection.execute(delete(project_sizes))
            found = [{"project_id": each, "content_bytes": size} for each, size in sizes.items()]
            if found:
                connection.execute(project_sizes.insert(), found)
            for project_id in connection.scalars(select(projects.c.id)).all():
                _recount_usage(connection, project_id)
                sum_days(connection, project_id)


def _sizes(connection: Connection, *, owned: bool) -> dict[str, int]:
    """Return what the texts of each project take; with `owned`, less what is written down of it.

    Projects for which that is nothing are left out.
    """
    found: list[Select[Any]] = [
        select(contents.c.project_id, func.length(contents.c.body).label("size")),
        select(records.c.project_id, SIZE),
    ]
    if owned:
        found.append(select(project_sizes.c.project_id, -project_sizes.c.content_bytes))
    every = union_all(*found).subquery()
    summed = select(every.c.project_id, func.sum(every.c.size)).group_by(every.c.project_id)
    return {project: int(size) for project, size in connection.execute(summed) if size}


def _wrong_hours(connection: Connection, project_id: str) -> dict[Place, list[int]]:
    """Return the right sums of those hours of a project whose sums are not those of its records.

    Where records were deleted since, the sums have more calls, and nobody can say.
    """
    kept = _kept_hours(connection, project_id)
    return {
        place: sums
        for place, sums in _counted_hours(connection, project_id).items()
        if place not in kept
        or kept[place][0] < sums[0]
        or (kept[place][0] == sums[0] and _sure(kept[place]) != _sure(sums))
    }


def _recount_usage(connection: Connection, project_id: str) -> None:
    for (hour, key, model), sums in _wrong_hours(connection, project_id).items():
        place: dict[str, Any] = {"project_id": project_id, "name": "", "value": ""}
        place |= {"hour": hour, "key_id": key, "model": model}
        same = [usage_hours.c[name] == value for name, value in place.items()]
        connection.execute(delete(usage_hours).where(*same))
        figures = dict(zip(_FIGURES, sums, strict=True))
        connection.execute(usage_hours.insert().values(**place, **figures))


def _sure(sums: list[int]) -> list[int]:
    return sums[:_UNSURE] + sums[_UNSURE + 1 :]


def _kept_hours(connection: Connection, project_id: str) -> dict[Place, list[int]]:
    """Return what is written down of each hour, key and model: the calls first."""
    columns = usage_hours.c
    figures = [columns[name] for name in _FIGURES]
    query = select(columns.hour, columns.key_id, columns.model, *figures).where(
        columns.project_id == project_id, columns["name"] == ""
    )
    return {(row[0], row[1], row[2]): list(row[3:]) for row in connection.execute(query)}


def _counted_hours(connection: Connection, project_id: str) -> dict[Place, list[int]]:
    """Return the same as the calls themselves have it."""
    where = [column.label(name) for name, column in _WHERE.items()]
    query = (
        select(*where, *_SUMMED.values())
        .where(records.c.project_id == project_id, records.c.requested_at >= 0)
        .group_by(*_WHERE)
    )
    return {(row[0], row[1], row[2]): _sums(row[3:]) for row in connection.execute(query)}


def _sums(found: Sequence[int | None]) -> list[int]:
    *figures, heard, spoken, high, low = (int(each or 0) for each in found)
    return [*figures, heard + spoken, min(high * _HALF + low, _LARGEST)]
