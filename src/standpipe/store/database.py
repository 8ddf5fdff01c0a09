"""The connection to the database: two kinds of transaction, and one error when it is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Dialect, Engine, Table, create_engine, exc, text

from standpipe.errors import ConfigError, StoreUnavailable
from standpipe.store import sqlite
from standpipe.store.schema import open_streams, record_metadata, records
from standpipe.store.trouble import why

# What a caller did wrong or we did: these are not "the store is away".
_OURS = (exc.IntegrityError, exc.ProgrammingError, exc.DataError, exc.NotSupportedError)


class Database:
    """An engine and its transactions; safe to use from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Made once: compiling the widest takes as long as inserting a hundred rows.
        self._inserts = {
            table: _insert_ignoring(table, engine.dialect)
            for table in (records, record_metadata, open_streams)
        }
        self._writer = engine.execution_options(**{sqlite.WRITES: True})

    @classmethod
    def open(cls, url: str, busy_timeout_s: float) -> Database:
        """Return the database at a SQLAlchemy URL; nothing is connected yet.

        Raises ConfigError for a URL that names no database we can speak to.
        """
        try:
            # Without the parameters, no content can get into a message of an error.
            engine = create_engine(url, hide_parameters=True, pool_timeout=busy_timeout_s)
        except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
            message = "store.url is not a database we can open; try sqlite:////path/standpipe.db"
            raise ConfigError(message) from error
        if engine.dialect.name == "sqlite":
            sqlite.prepare(engine, busy_timeout_s)
        return cls(engine)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Run a transaction that only reads, and sees one state of the database."""
        with _as_unavailable(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Run a transaction that writes: committed at the end, rolled back on any error."""
        with _as_unavailable(), self._writer.begin() as connection:
            yield connection

    def ping(self) -> None:
        """Ask the database anything; StoreUnavailable if it does not answer."""
        with self.reading() as connection:
            connection.execute(text("SELECT 1"))

    def insert_ignoring(self, table: Table) -> str:
        """Return an INSERT for tuples in the order of the table's columns.

        A row whose primary key is there already changes nothing.
        """
        return self._inserts[table]


def _insert_ignoring(table: Table, dialect: Dialect) -> str:
    key = ", ".join(column.name for column in table.primary_key)
    return f"{table.insert().compile(dialect=dialect)} ON CONFLICT ({key}) DO NOTHING"


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except _OURS:
        raise
    except exc.DBAPIError as error:
        message = f"the store cannot be used: {error.orig}"
        raise StoreUnavailable(message, why(error.orig)) from error
    except exc.TimeoutError as error:
        message = "the store cannot be used: all its connections are busy"
        raise StoreUnavailable(message, "its connections are all busy") from error
