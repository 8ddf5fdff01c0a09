"""The connection to the database: two kinds of transaction, and one error when it is away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Dialect,
    Engine,
    Select,
    Table,
    create_engine,
    exc,
    func,
    make_url,
    select,
    text,
)

from standpipe.errors import BadRequest, ConfigError, StoreUnavailable
from standpipe.store.kind import Kind
from standpipe.store.look_up import LookUp, positional
from standpipe.store.schema import metadata
from standpipe.store.sqlite import Sqlite
from standpipe.store.trouble import why

_POSTGRES = "postgresql"
# As operators write it: psycopg 3 is the driver we know.
_WRITTEN = {"postgres": "postgresql+psycopg", _POSTGRES: "postgresql+psycopg"}

# What a caller did wrong or we did: these are not "the store is away".
_OURS = (exc.IntegrityError, exc.ProgrammingError, exc.NotSupportedError)

# What PostgreSQL calls the same and means otherwise: tables or columns are not there yet or of an
# earlier form, we may not use them, what was prepared is stale.
_AWAY = {"42P01", "42703", "42809", "3F000", "42501", "0A000"}

# Another transaction was quicker: two that wait for each other, a partition that has gone.
_OVERTAKEN = {"40001", "40P01", "23514"}


class Overtaken(StoreUnavailable):
    """Another transaction came first; the same again may well succeed at once."""


class Database:
    """An engine and its transactions; safe to use from any thread."""

    def __init__(self, engine: Engine, kind: Kind) -> None:
        self._engine = engine
        self._kind = kind
        # Made once: compiling the widest takes as long as inserting a hundred rows.
        self._inserts = {
            table: _insert_ignoring(table, engine.dialect) for table in metadata.tables.values()
        }
        self._reader = kind.reader(engine)
        self._writer = kind.writer(engine)
        self._look_ups: dict[Select[Any], LookUp] = {}

    @classmethod
    def open(cls, url: str, busy_timeout_s: float) -> Database:
        """Return the database at a SQLAlchemy URL; nothing is connected yet.

        Raises ConfigError for a URL that names no database we can speak to.
        """
        parsed = _parsed(url)
        kind = _kind_of(parsed)
        options = kind.options(parsed, busy_timeout_s)
        try:
            # Without the parameters, no content can get into a message of an error.
            engine = create_engine(
                parsed, hide_parameters=True, pool_timeout=busy_timeout_s, **options
            )
        except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise _no_database() from error
        kind.prepare(engine, busy_timeout_s)
        return cls(engine, kind)

    def close(self) -> None:
        """Close all connections."""
        for each in self._look_ups.values():
            each.close()
        self._engine.dispose()

    @contextmanager
    def reading(self, *, unhurried: bool = False) -> Iterator[Connection]:
        """Run a transaction that only reads, and sees one state of the database.

        `unhurried` is for what an operator waits for: nothing in it is given up for taking long.
        """
        with _as_unavailable(), self._reader.connect() as connection:
            if not unhurried:
                yield connection
                return
            with self._kind.unhurried(connection):
                yield connection

    @contextmanager
    def writing(self, *, unhurried: bool = False) -> Iterator[Connection]:
        """Run a transaction that writes: committed at the end, rolled back on any error."""
        with (
            _as_unavailable(),
            self._writer.begin() as connection,
            self._kind.unhurried(connection) if unhurried else nullcontext(),
        ):
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Run a transaction that changes the tables; others that want the same wait for it."""
        with self.writing(unhurried=True) as connection:
            self._kind.migrate_alone(connection)
            yield connection

    def look_up(self, query: Select[Any], *values: Any) -> tuple[Any, ...] | None:
        """Return the one row of a query that is asked again and again, outside of a transaction.

        The values are in the order in which the query, which must always be the same one, has them.
        """
        found = self._look_ups.get(query)
        if found is None:
            found = self._look_ups.setdefault(query, LookUp(self._engine, self._kind, query))
        with _as_unavailable():
            return found.ask(*values)

    def ping(self) -> None:
        """Ask the database anything; StoreUnavailable if it does not answer."""
        with self.reading() as connection:
            connection.execute(text("SELECT 1"))

    def version(self) -> tuple[str, int]:
        """Return what kind of database it is, such as `postgresql`, and its major version."""
        with self.reading() as connection:
            found = connection.dialect.server_version_info or ()
        return self._engine.dialect.name, int(found[0]) if found else 0

    def clock(self) -> float:
        """Return the database's wall clock in seconds since the Unix epoch."""
        with self.reading() as connection:
            found: datetime = connection.execute(select(func.current_timestamp())).scalar_one()
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()

    def insert_ignoring(
        self, connection: Connection, table: Table, tuples: list[tuple[Any, ...]]
    ) -> int:
        """Insert tuples in the order of the table's columns; return how many were not there.

        A row whose primary key is there already changes nothing.
        """
        if not tuples:
            return 0
        return connection.exec_driver_sql(self._inserts[table], tuples).rowcount

    def insert_new(
        self, connection: Connection, table: Table, tuples: list[tuple[Any, ...]]
    ) -> None:
        """Insert tuples in the order of the table's columns, none of which was there just now.

        Raises Overtaken if another transaction has inserted some of them since.
        """
        insert = self._inserts[table]
        if tuples and not self._kind.insert_new(connection, table, insert, tuples):
            raise Overtaken(f"another drain was quicker with some rows of {table}")

    def share_contents(self, connection: Connection) -> None:
        """Keep others from removing contents until the transaction ends; it only adds some."""
        self._kind.share_contents(connection)

    def own_contents(self, connection: Connection) -> None:
        """Keep others from adding and removing contents until the transaction ends."""
        self._kind.own_contents(connection)

    def make_room(self, ids: Iterable[str], *, anew: bool = False) -> None:
        """Make the partitions that records with these ids belong to, and some ahead of need.

        `anew` after a record found none: somebody may have removed what we know to be there.
        """
        with _as_unavailable():
            self._kind.make_room(self._engine, ids, anew=anew)

    def drop_empty_partitions(self) -> int:
        """Remove the partitions of past months that are empty; return how many there were."""
        with _as_unavailable():
            return self._kind.drop_empty_partitions(self._engine)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        # Not from the error: it may quote the URL, and so a password.
        raise _no_database() from None
    return parsed.set(drivername=_WRITTEN.get(parsed.drivername, parsed.drivername))


def _kind_of(url: URL) -> Kind:
    if url.drivername != _WRITTEN[_POSTGRES]:
        return Sqlite()
    try:
        from standpipe.store.postgres import Postgres
    except ModuleNotFoundError as error:
        message = "store.url is a PostgreSQL, which needs: pip install 'standpipe[postgres]'"
        raise ConfigError(message) from error
    return Postgres()


def _no_database() -> ConfigError:
    return ConfigError(
        "store.url is not a database we can open; try sqlite:////path/standpipe.db"
        " or postgresql://user:password@host/database"
    )


def _insert_ignoring(table: Table, dialect: Dialect) -> str:
    quoted = dialect.identifier_preparer.quote
    key = ", ".join(quoted(column.name) for column in table.primary_key)
    return f"{table.insert().compile(dialect=positional(dialect))} ON CONFLICT ({key}) DO NOTHING"


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except exc.TimeoutError as error:
        message = "the store cannot be used: all its connections are busy"
        raise StoreUnavailable(message, "its connections are all busy") from error
    except exc.DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if isinstance(error, exc.DataError):
            raise BadRequest("a text or a number is none that the store can hold") from error
        if isinstance(error, _OURS) and state not in _AWAY | _OVERTAKEN:
            raise
        kind = Overtaken if state in _OVERTAKEN else StoreUnavailable
        raise kind(f"the store cannot be used: {_said(error)}", why(error.orig)) from error


def _said(error: exc.DBAPIError) -> str:
    # Of PostgreSQL the first part alone: what follows may quote a row.
    diagnosis = getattr(error.orig, "diag", None)
    return (diagnosis and diagnosis.message_primary) or str(error.orig)
