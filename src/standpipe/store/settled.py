"""What the store has of what was spent: sums by key, and which calls are in them, in one look."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from sqlalchemy import Connection, func, select

from standpipe.store.database import Database
from standpipe.store.many import present
from standpipe.store.schema import records, tombstones, usage_days

# Costs are summed in two halves, since all of them might be more than the database can count.
_HALF = 2**32


class Settled(msgspec.Struct, frozen=True):
    """What the calls of a project have cost in some days, as far as they are stored."""

    #: In 10^-12 dollars, by the id of the key, "" for calls without one.
    by_key: Mapping[str, int]
    #: Those of the calls that were asked about which are in these sums.
    calls: Collection[str]


class SettledSums:
    """The verb of who counts what is spent."""

    _database: Database

    def settled(
        self, project_id: str, since: int, until: int, calls: Collection[str] = ()
    ) -> Settled:
        """Return what was spent in whole days, and which of these calls are in that.

        Both are of one state of the database. `since` and `until` are microseconds since the Unix
        epoch, the second exclusive. A call that was stored and then deleted is in the sums still.
        """
        with self._database.reading() as connection:
            by_key = _by_key(connection, project_id, since, until)
            there = present(connection, records.c.id, calls, project_id)
            there |= present(connection, tombstones.c.record_id, {*calls} - there, project_id)
        return Settled(by_key, there)


def _by_key(connection: Connection, project_id: str, since: int, until: int) -> dict[str, int]:
    columns = usage_days.c
    halves = func.sum(columns.cost_pico // _HALF), func.sum(columns.cost_pico % _HALF)
    query = select(columns.key_id, *halves).where(
        columns.project_id == project_id,
        columns.name == "",
        columns.day >= since,
        columns.day < until,
        columns.value == "",
    )
    found = connection.execute(query.group_by(columns.key_id))
    return {key: int(high) * _HALF + int(low) for key, high, low in found}
