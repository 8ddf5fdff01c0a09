"""What one kind of database needs and another does not; see `sqlite.py` and `postgres.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import URL, Connection, Engine, Table


class Kind(Protocol):
    """A kind of database; it holds what is known of one database of that kind."""

    def options(self, url: URL, busy_timeout_s: float) -> dict[str, Any]:
        """Return what to make the engine with; ConfigError for a URL that cannot be meant."""

    def prepare(self, engine: Engine, busy_timeout_s: float) -> None:
        """Set up an engine and each connection that it makes."""

    def reader(self, engine: Engine) -> Engine:
        """Return the engine for transactions that see one state of the database."""

    def writer(self, engine: Engine) -> Engine:
        """Return the engine for transactions that write."""

    def unhurried(self, connection: Connection) -> AbstractContextManager[None]:
        """Let the statements of a transaction take as long as they take."""

    def without_transactions(self, driver: Any) -> None:
        """Let each statement on a connection of the driver's be a transaction of its own."""

    def migrate_alone(self, connection: Connection) -> None:
        """Wait until nobody else migrates, and keep others from it until the transaction ends."""

    def share_contents(self, connection: Connection) -> None:
        """Keep others from removing contents until the transaction ends."""

    def own_contents(self, connection: Connection) -> None:
        """Keep others from adding and removing contents until the transaction ends."""

    def insert_new(
        self, connection: Connection, table: Table, insert: str, tuples: Sequence[tuple[Any, ...]]
    ) -> bool:
        """Insert tuples in the order of the table's columns, with this statement or quicker.

        False if some were there; the transaction may be of no more use then.
        """

    def make_room(self, engine: Engine, ids: Iterable[str], *, anew: bool) -> None:
        """Make what records with these ids are to be put in; `anew`: forget what was there."""

    def drop_empty_partitions(self, engine: Engine) -> int:
        """Remove the partitions of the past that are empty; return how many there were."""
