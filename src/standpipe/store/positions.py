"""The verbs of the drain: it commits rows together with how far it has read."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from sqlalchemy import Connection, delete, func, select, update

from standpipe.errors import BadRequest
from standpipe.store import contents, usage
from standpipe.store.columns import storable, values_of
from standpipe.store.content import Packer
from standpipe.store.database import Database, Overtaken
from standpipe.store.many import in_parts, present
from standpipe.store.months import id_at
from standpipe.store.removal import AT_ONCE
from standpipe.store.rows import Batch, OpenStream, Row, now_us
from standpipe.store.schema import (
    open_streams,
    record_metadata,
    records,
    spool_positions,
    tombstones,
)

# How often a batch is tried while others are quicker or something in it must be mended.
_TRIES = 5

_DAY_US = 24 * 3600 * 1_000_000

# After how long a node that says nothing counts as lost, and its disk with it; and after how long
# nobody expects it back.
_LOST_US = 30 * _DAY_US
_FORGOTTEN_US = 365 * _DAY_US

# How long a node has been silent for its next word to be worth writing down.
_WORD_US = 3600 * 1_000_000

# How long a tombstone stays at least: the clocks of several nodes differ.
_TOMBSTONES_US = _DAY_US

# When a node was last heard of.
_SEEN_AT = func.coalesce(spool_positions.c.seen_at, spool_positions.c.first_read_at)


class Positions:
    """The verbs of the drain."""

    _database: Database
    #: Names of the metadata that usage is summed up by.
    _usage_names: tuple[str, ...]

    def add(self, batch: Batch) -> int:
        """Commit a batch in one transaction; return how many rows were really inserted.

        A row whose id is there already, or was deleted, or whose project was removed is skipped.
        A value that no column can hold is mended, not refused: one odd record must not hold up
        the spool.
        """
        rows, again = batch.rows, False
        for _ in range(_TRIES - 1):
            try:
                return self._add(batch, rows, again=again)
            except (OverflowError, UnicodeEncodeError, BadRequest):
                rows = [storable(row) for row in rows]
            except Overtaken:
                again = True
        return self._add(batch, rows, again=again)

    def positions(self) -> dict[str, int]:
        """Return how far each segment has been read, in bytes."""
        query = select(spool_positions.c.segment, spool_positions.c.offset)
        with self._database.reading() as connection:
            return {found.segment: found.offset for found in connection.execute(query)}

    def open_streams(self, writer: str | None) -> list[OpenStream]:
        """Return the streams that began and have no record yet, of one writer or of all."""
        query = select(open_streams).order_by(open_streams.c.id)
        if writer is not None:
            query = query.where(open_streams.c.writer == writer)
        with self._database.reading() as connection:
            return [OpenStream(*found) for found in connection.execute(query)]

    def forget_segment(self, segment: str, *, kept_s: float = 0.0) -> None:
        """Forget a drained segment, and the tombstones that no segment can need any more.

        `kept_s` is how long it is kept after this: it may be read again all that time.
        """
        with self._database.writing() as connection:
            connection.execute(delete(spool_positions).where(spool_positions.c.segment == segment))
            # A node that is lost holds up nothing: should it come back, it goes on where it was.
            is_there = now_us() - _LOST_US <= _SEEN_AT
            first_read = select(func.min(spool_positions.c.first_read_at)).where(is_there)
            oldest = connection.scalar(first_read)
            kept_from = now_us() - _TOMBSTONES_US - round(kept_s * 1_000_000)
            if oldest is not None:
                kept_from = min(kept_from, oldest)
            # A project's own tombstone stays: calls that its key began may still be running.
            is_records = tombstones.c.record_id != tombstones.c.project_id
            is_old = tombstones.c.deleted_at < kept_from
            connection.execute(delete(tombstones).where(is_records, is_old))

    def seen(self, segments: Iterable[str]) -> None:
        """Note that the node that has these segments is there."""
        now, at = now_us(), spool_positions.c
        with self._database.writing() as connection:
            for some in in_parts(segments):
                silent = at.segment.in_(some), now - _WORD_US > _SEEN_AT
                connection.execute(update(spool_positions).where(*silent).values(seen_at=now))

    def endless_streams(self) -> list[OpenStream]:
        """Return some of the streams that began so long ago that nobody will say how they end."""
        at = open_streams.c
        query = select(open_streams).where(at.id < id_at(now_us() - _LOST_US)).order_by(at.id)
        with self._database.reading() as connection:
            return [OpenStream(*found) for found in connection.execute(query.limit(AT_ONCE))]

    def forget_lost(self) -> int:
        """Forget how far nodes had read that nobody expects back; return of how many segments."""
        is_forgotten = now_us() - _FORGOTTEN_US > _SEEN_AT
        with self._database.writing() as connection:
            return connection.execute(delete(spool_positions).where(is_forgotten)).rowcount

    def _add(self, batch: Batch, rows: list[Row], *, again: bool) -> int:
        self._database.make_room((row.id for row in rows), anew=again)
        with self._database.writing() as connection:
            # Before we look which records were deleted: nobody deletes any after that. And who was
            # overtaken goes alone, or others might come first for ever.
            lock = self._database.own_contents if again else self._database.share_contents
            lock(connection)
            self._note_streams(connection, batch)
            for segment, offset in batch.positions.items():
                _note_position(connection, segment, offset)
            # Last, since sums that other drains add to as well are locked from there on.
            return self._insert(connection, _without_known(connection, rows))

    def _insert(self, connection: Connection, rows: list[Row]) -> int:
        if not rows:
            return 0
        packer = Packer()
        packed = [packer.pack(row.project, row.request, row.response) for row in rows]
        tuples = [values_of(row, texts) for row, texts in zip(rows, packed, strict=True)]
        self._database.insert_new(connection, records, tuples)
        pairs = [
            (row.id, name, value, row.project)
            for row in rows
            for name, value in row.metadata.items()
        ]
        self._database.insert_new(connection, record_metadata, pairs)
        kept = [(row.project, texts) for row, texts in zip(rows, packed, strict=True)]
        contents.put(self._database, connection, packer, kept)
        usage.add(connection, rows, self._usage_names)
        return len(rows)

    def _note_streams(self, connection: Connection, batch: Batch) -> None:
        tuples = [(stream.id, stream.writer, stream.payload) for stream in batch.opened]
        self._database.insert_ignoring(connection, open_streams, tuples)
        for some in in_parts(batch.closed):
            connection.execute(delete(open_streams).where(open_streams.c.id.in_(some)))


def _without_known(connection: Connection, rows: list[Row]) -> list[Row]:
    """Return the rows, each id once, that are neither in the store nor deleted from it."""
    by_id = {row.id: row for row in reversed(rows)}
    known = present(connection, records.c.id, by_id)
    buried = {*by_id, *(row.project for row in rows)}
    if connection.scalar(select(tombstones.c.record_id).limit(1)) is not None:
        known |= present(connection, tombstones.c.record_id, buried)
    # In one order everywhere, so that two drains do not wait for each other's rows.
    return [
        row
        for row in sorted(rows, key=attrgetter("id"))
        if by_id[row.id] is row and row.id not in known and row.project not in known
    ]


def _note_position(connection: Connection, segment: str, offset: int) -> None:
    at = spool_positions.c
    moved = update(spool_positions).where(at.segment == segment).values(offset=offset)
    if connection.execute(moved).rowcount:
        return
    first = {"segment": segment, "offset": offset, "first_read_at": now_us()}
    connection.execute(spool_positions.insert().values(first))
