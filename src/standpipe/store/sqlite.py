"""What SQLite needs and no other database knows: pragmas and how a transaction begins.

The driver's own transaction handling is switched off, because it begins late and deferred: a
transaction that reads first and then writes would fail at once where another has written since.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

#: Execution option of a transaction that will write.
WRITES = "standpipe_writes"

# page_size only counts before the first table, and must come before journal_mode.
_PRAGMAS = (
    "PRAGMA busy_timeout = {busy_timeout_ms}",
    "PRAGMA page_size = 16384",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)


def prepare(engine: Engine, busy_timeout_s: float) -> None:
    """Set up each connection the engine makes, and begin its transactions explicitly."""
    pragmas = [line.format(busy_timeout_ms=round(busy_timeout_s * 1000)) for line in _PRAGMAS]

    def set_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", _begin)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
