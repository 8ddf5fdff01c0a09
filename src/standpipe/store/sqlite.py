"""What SQLite needs and no other database knows: pragmas and how a transaction begins.

The driver's own transaction handling is switched off, because it begins late and deferred: a
transaction that reads first and then writes would fail at once where another has written since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry
from typing_extensions import override

from standpipe.store.kind import Kind

# Execution option of a transaction that will write.
_WRITES = "standpipe_writes"

# page_size only counts before the first table, and must come before journal_mode. Larger pages than
# SQLite's own take an eighth less of the drain's time, since hardly anything of a new record lands
# on a page that no other of its batch does; see spans.py.
_PRAGMAS = (
    "PRAGMA busy_timeout = {busy_timeout_ms}",
    "PRAGMA page_size = 16384",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    # 64 MiB: a batch of the drain's is some of them, and the pages that every batch changes are not
    # to be written to the file itself after each.
    "PRAGMA wal_autocheckpoint = 4000",
    # 8 MiB, for SQLite's own 2 MiB are 125 such pages: both together take a tenth less time in a
    # million records, and 16 MiB hardly less than 8.
    "PRAGMA cache_size = -8192",
    "PRAGMA foreign_keys = ON",
)


class Sqlite(Kind):
    """A file, which has one writer at a time: a transaction that writes is alone as it is."""

    @override
    def options(self, url: URL, busy_timeout_s: float) -> dict[str, Any]:
        return {}

    @override
    def prepare(self, engine: Engine, busy_timeout_s: float) -> None:
        pragmas = [line.format(busy_timeout_ms=round(busy_timeout_s * 1000)) for line in _PRAGMAS]

        def set_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
            connection.isolation_level = None
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(pragma)
            cursor.close()

        event.listen(engine, "connect", set_up)
        event.listen(engine, "begin", _begin)

    @override
    def reader(self, engine: Engine) -> Engine:
        return engine

    @override
    def writer(self, engine: Engine) -> Engine:
        return engine.execution_options(**{_WRITES: True})

    @override
    def unhurried(self, connection: Connection) -> AbstractContextManager[None]:
        return nullcontext()

    @override
    def without_transactions(self, driver: Any) -> None: ...

    @override
    def migrate_alone(self, connection: Connection) -> None: ...

    @override
    def share_contents(self, connection: Connection) -> None: ...

    @override
    def own_contents(self, connection: Connection) -> None: ...

    @override
    def insert_new(
        self, connection: Connection, table: Table, insert: str, tuples: Sequence[tuple[Any, ...]]
    ) -> bool:
        return connection.exec_driver_sql(insert, list(tuples)).rowcount == len(tuples)

    @override
    def make_room(self, engine: Engine, ids: Iterable[str], *, anew: bool) -> None: ...

    @override
    def drop_empty_partitions(self, engine: Engine) -> int:
        return 0


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
