"""The verbs on cached answers: found by the hash of what was asked, kept for a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, select, text, tuple_

from standpipe.store.database import Database
from standpipe.store.removal import AT_ONCE
from standpipe.store.rows import now_us
from standpipe.store.schema import cached_answers, projects

#: How long an answer is given again (spec 1.8), in microseconds.
WEEK_US = 7 * 86_400_000_000

_c = cached_answers.c
_PLACE = ("project_id", "hash")
_ANSWER = select(_c.answer).where(
    _c.project_id == bindparam("project"),
    _c.hash == bindparam("hash"),
    _c.written_at >= bindparam("since"),
)
_PUT = text(
    f"{cached_answers.insert()} ON CONFLICT ({', '.join(_PLACE)}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in ("written_at", "bytes", "answer"))
)


class CachedAnswer(msgspec.Struct, frozen=True):
    """An answer that is to be given again."""

    project: str
    #: Of all that can change it.
    hash: bytes
    #: The store does not look into it.
    answer: bytes


class Cache:
    """The verbs on cached answers."""

    _database: Database

    def cached_answer(self, project_id: str, hash_: bytes, since: int) -> bytes | None:
        """Return an answer that was written at a time or later, None if there is none."""
        found = self._database.look_up(_ANSWER, project_id, hash_, since)
        return None if found is None else bytes(found[0])

    def cache_answers(self, answers: Iterable[CachedAnswer]) -> int:
        """Keep answers, in the place of earlier ones; return how many.

        Those of projects that are no more are not kept.
        """
        now = now_us()
        # In order, so that two who write the same do not wait for each other.
        wanted = sorted(answers, key=lambda each: (each.project, each.hash))
        with self._database.writing() as connection:
            there = _present(connection, {each.project for each in wanted})
            rows = [_row(each, now) for each in wanted if each.project in there]
            if rows:
                connection.execute(_PUT, rows)
        return len(rows)

    def trim_cache(self, before: int, most: int) -> int:
        """Delete some answers that were written before a time or are over so many bytes of all.

        The oldest go first. Returns how many, so 0 means that there is no more to do.
        """
        oldest = select(_c.project_id, _c.hash, _c.written_at, _c.bytes)
        oldest = oldest.order_by(_c.written_at).limit(AT_ONCE)
        with self._database.reading() as connection:
            excess = (connection.scalar(select(func.sum(_c.bytes))) or 0) - most
            found = connection.execute(oldest).all()
        freed = accumulate((row.bytes for row in found), initial=0)
        going = [
            (row.project_id, row.hash)
            for row, gone in zip(found, freed, strict=False)
            if row.written_at < before or gone < excess
        ]
        return self._forget(going)

    def _forget(self, places: Sequence[tuple[str, bytes]]) -> int:
        if places:
            with self._database.writing() as connection:
                these = tuple_(_c.project_id, _c.hash).in_(sorted(places))
                connection.execute(delete(cached_answers).where(these))
        return len(places)


def remove_cached(connection: Connection, project_id: str) -> int:
    """Delete some of a project's answers; return how many, 0 if none was left."""
    some = select(_c.hash).where(_c.project_id == project_id).limit(AT_ONCE)
    ours = delete(cached_answers).where(_c.project_id == project_id, _c.hash.in_(some))
    return connection.execute(ours).rowcount


def _present(connection: Connection, ids: set[str]) -> set[str]:
    # Kept until the answers are there: a removal waits, and then takes them too.
    query = select(projects.c.id).where(projects.c.id.in_(ids)).order_by(projects.c.id)
    return set(connection.scalars(query.with_for_update(read=True)))


def _row(answer: CachedAnswer, now: int) -> dict[str, object]:
    return {
        "project_id": answer.project,
        "hash": answer.hash,
        "written_at": now,
        "bytes": len(answer.answer),
        "answer": answer.answer,
    }
