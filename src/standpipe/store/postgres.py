"""What PostgreSQL needs and no other database knows: time-outs, locks and partitions.

Imported only where a PostgreSQL is used: its driver is an extra.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.numeric import Int8BinaryDumper
from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    Connection,
    Dialect,
    Engine,
    LargeBinary,
    Table,
    Text,
    event,
    exc,
    exists,
    literal,
    select,
    table,
    text,
)
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeEngine
from typing_extensions import override

from standpipe.errors import ConfigError
from standpipe.store.kind import Kind
from standpipe.store.months import Month, first_id, months_of, next_month, to_come
from standpipe.store.rows import now_us

T = TypeVar("T")

# Seconds that a statement may take on top of the time it may wait for a lock.
_WORK_S = 5.0

# Names of our advisory locks: all have the first number, and each its own second.
_OURS = 0x7374_6E64
_MIGRATING = 1
_PARTITIONS = 2
_CONTENTS = 3

_SET = text("SELECT set_config(:name, :value, :here)")
_WHICH = "(CAST(:ours AS integer), CAST(:which AS integer))"
_LOCK = text(f"SELECT pg_advisory_xact_lock{_WHICH}")
_SHARED_LOCK = text(f"SELECT pg_advisory_xact_lock_shared{_WHICH}")

# What our columns are there.
_TYPES: Mapping[type[TypeEngine[Any]], str] = {
    Text: "text",
    LargeBinary: "bytea",
    BigInteger: "int8",
    Boolean: "bool",
}

# How long all who use the records may be held up by the removal of a partition, in milliseconds.
_BRIEFLY_MS = 200

_PARTITIONS_OF_RECORDS = text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = to_regclass('records') ORDER BY c.relname"
)


class Postgres(Kind):
    """A server, which many nodes may use at once."""

    def __init__(self) -> None:
        #: The months that there is a partition for, as far as we know.
        self._made: set[Month] = set()

    @override
    def options(self, url: URL, busy_timeout_s: float) -> dict[str, Any]:
        if "@" in (url.host or ""):
            raise ConfigError("store.url: write an @ in the password as %40")
        given = {name: value for name, value in url.query.items() if isinstance(value, str)}
        try:
            make_conninfo("", **given)
        except psycopg.Error as error:
            raise ConfigError(f"store.url: {error}") from error
        return {
            "connect_args": {k: v for k, v in _wire(busy_timeout_s).items() if k not in given},
            # A connection that the server has closed meanwhile is replaced before it is used.
            "pool_pre_ping": True,
            "pool_use_lifo": True,
        }

    @override
    def prepare(self, engine: Engine, busy_timeout_s: float) -> None:
        patience = busy_timeout_s + _WORK_S

        def connect(
            _dialect: Dialect, _entry: ConnectionPoolEntry, args: Any, options: Any
        ) -> DBAPIConnection:
            connection = _Connection.connect(*args, **options)
            connection.patience = patience + 1
            # One type for all numbers: else each size of them is a statement to prepare anew.
            connection.adapters.register_dumper(int, Int8BinaryDumper)
            return connection  # type: ignore[return-value]

        def set_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
            cursor = connection.cursor()
            for name, seconds in {
                "lock_timeout": busy_timeout_s,
                "statement_timeout": patience,
                # Whoever is cut off in the middle must not hold up the other nodes for hours.
                "idle_in_transaction_session_timeout": patience + 1,
            }.items():
                words = (name, f"{round(seconds * 1000)}ms")
                cursor.execute("SELECT set_config(%s, %s, false)", words)
            connection.commit()
            cursor.close()

        event.listen(engine, "do_connect", connect)
        event.listen(engine, "connect", set_up)
        event.listen(engine, "handle_error", _drop_if_plans_are_stale)

    @override
    def reader(self, engine: Engine) -> Engine:
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @override
    def writer(self, engine: Engine) -> Engine:
        return engine

    @override
    @contextmanager
    def unhurried(self, connection: Connection) -> Iterator[None]:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(_SET, {"name": name, "value": "0", "here": True})
        driver = cast(_Connection, connection.connection.driver_connection)
        patience, driver.patience = driver.patience, math.inf
        try:
            yield
        finally:
            driver.patience = patience

    @override
    def without_transactions(self, driver: Any) -> None:
        driver.autocommit = True

    @override
    def migrate_alone(self, connection: Connection) -> None:
        connection.execute(_LOCK, {"ours": _OURS, "which": _MIGRATING})

    @override
    def share_contents(self, connection: Connection) -> None:
        connection.execute(_SHARED_LOCK, {"ours": _OURS, "which": _CONTENTS})

    @override
    def own_contents(self, connection: Connection) -> None:
        connection.execute(_LOCK, {"ours": _OURS, "which": _CONTENTS})

    @override
    def insert_new(
        self, connection: Connection, table: Table, insert: str, tuples: Sequence[tuple[Any, ...]]
    ) -> bool:
        # COPY takes a third of what the statement would, here as there.
        driver = cast(_Connection, connection.connection.driver_connection)
        words = f"COPY {table} ({', '.join(table.columns.keys())}) FROM STDIN (FORMAT BINARY)"
        try:
            with driver.cursor().copy(words) as copy:
                copy.set_types([_TYPES[type(column.type)] for column in table.columns])
                for each in tuples:
                    copy.write_row(each)
        except psycopg.errors.UniqueViolation:
            return False
        except psycopg.Error as error:
            # As SQLAlchemy would say it, whom we have gone round.
            raise exc.DBAPIError.instance(
                words, None, error, psycopg.Error, hide_parameters=True, dialect=connection.dialect
            ) from error
        return True

    @override
    def make_room(self, engine: Engine, ids: Iterable[str], *, anew: bool) -> None:
        if anew:
            self._made.clear()
        lacking = (months_of(ids) | set(to_come(now_us()))) - self._made
        if not lacking:
            return
        with engine.begin() as connection:
            connection.execute(_LOCK, {"ours": _OURS, "which": _PARTITIONS})
            there = set(connection.scalars(_PARTITIONS_OF_RECORDS))
            for month in sorted(lacking):
                if _name(month) not in there:
                    _make(connection, month)
        self._made |= lacking

    @override
    def drop_empty_partitions(self, engine: Engine) -> int:
        past = _name(to_come(now_us())[0])
        with engine.connect() as connection:
            names = connection.scalars(_PARTITIONS_OF_RECORDS).all()
        months = [name for name in names if name[-7:-5].isdigit() and name < past]
        return sum(_drop_if_empty(engine, name) for name in months)


class _Connection(psycopg.Connection[Any]):
    """A connection that does not wait for ever for a server that hangs."""

    #: Seconds that a statement may take.
    patience = math.inf

    @override
    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        return super().wait(self._patiently(gen), *args, **options)

    def _patiently(self, statement: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        deadline = time.monotonic() + self.patience
        try:
            state = next(statement)
            while True:
                # Nothing is ready every tenth of a second or so that nothing comes.
                ready = yield state
                if not ready and time.monotonic() > deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError("timeout: the server does not answer")
                state = statement.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result


def _wire(busy_timeout_s: float) -> dict[str, Any]:
    """Return how a connection is made, and when a server that fell silent counts as gone."""
    return {
        "application_name": "standpipe",
        "connect_timeout": max(2, math.ceil(busy_timeout_s)),
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }


def _drop_if_plans_are_stale(context: ExceptionContext) -> None:
    # Somebody migrated the tables: what this connection has prepared can never be used again.
    if isinstance(context.original_exception, psycopg.errors.FeatureNotSupported):
        context.is_disconnect = True


def _name(month: Month) -> str:
    return "records_{}_{:02}".format(*month)


def _make(connection: Connection, month: Month) -> None:
    # Made and then attached: to create it in its place would hold up everyone who reads.
    name = _name(month)
    low, high = first_id(month), first_id(next_month(month))
    connection.execute(text(f"CREATE TABLE {name} (LIKE records INCLUDING ALL)"))
    connection.execute(
        text(f"ALTER TABLE records ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")
    )


def _drop_if_empty(engine: Engine, name: str) -> bool:
    is_empty = select(~exists(select(literal(1)).select_from(table(name))))
    try:
        with engine.begin() as connection:
            if not connection.scalar(is_empty):
                return False
            value = f"{_BRIEFLY_MS}ms"
            connection.execute(_SET, {"name": "lock_timeout", "value": value, "here": True})
            connection.execute(text("LOCK TABLE records IN ACCESS EXCLUSIVE MODE"))
            if connection.scalar(is_empty):
                connection.execute(text(f"ALTER TABLE records DETACH PARTITION {name}"))
                connection.execute(text(f"DROP TABLE {name}"))
                return True
    except exc.OperationalError:
        return False  # somebody is reading at length: another time
    return False
