"""One statement asked again and again: beside the transactions of `database.py`.

A look at one row takes a tenth of what it does in a transaction of SQLAlchemy's, which is several
times what the database itself takes. For what may be asked with each call, that counts.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal, Protocol, cast

from sqlalchemy import Dialect, Engine, Select, exc
from sqlalchemy.engine.default import DefaultDialect

from standpipe.store.kind import Kind

# A driver's way to name parameters, and its way to count them.
_POSITIONAL: dict[str, Literal["qmark", "format"]] = {"qmark": "qmark", "pyformat": "format"}


class _Found(Protocol):
    def fetchone(self) -> tuple[Any, ...] | None: ...


class _Driver(Protocol):
    """A connection as both drivers have it."""

    def execute(self, words: str, values: tuple[Any, ...], /) -> _Found: ...

    def close(self) -> None: ...


class LookUp:
    """A query for one row; may be asked from any thread, each on a connection of its own."""

    def __init__(self, engine: Engine, kind: Kind, query: Select[Any]) -> None:
        self._engine = engine
        self._kind = kind
        self._words = str(query.compile(dialect=positional(engine.dialect)))
        dialect = cast(DefaultDialect, engine.dialect)
        self._error: type[Exception] = dialect.loaded_dbapi.Error
        self._idle: list[_Driver] = []

    def ask(self, *values: Any) -> tuple[Any, ...] | None:
        """Return the row for these values, in the order in which the query has them.

        Raises what SQLAlchemy does where the database cannot say.
        """
        driver = self._taken()
        try:
            found = driver.execute(self._words, values).fetchone()
        except self._error as error:
            with suppress(self._error):
                driver.close()
            raise self._raised(error) from error
        self._idle.append(driver)
        return found

    def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop().close()

    def _taken(self) -> _Driver:
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _connect(self) -> _Driver:
        try:
            taken = self._engine.raw_connection()
        except self._error as error:
            raise self._raised(error) from error
        driver = taken.driver_connection
        taken.detach()  # from the pool, which would look after it each time
        self._kind.without_transactions(driver)
        return cast(_Driver, driver)

    def _raised(self, error: Exception) -> BaseException:
        """Return what SQLAlchemy raises for a driver's error."""
        return exc.DBAPIError.instance(
            *(self._words, None, error, self._error),
            hide_parameters=True,
            dialect=self._engine.dialect,
        )


def positional(dialect: Dialect) -> DefaultDialect:
    """Return a dialect that writes a statement as its driver takes values by their places."""
    return cast(type[DefaultDialect], type(dialect))(paramstyle=_POSITIONAL[dialect.paramstyle])
