"""The store: every verb that the rest of Standpipe has for what it remembers."""

from __future__ import annotations

from standpipe.store import migrate
from standpipe.store.database import Database
from standpipe.store.keys import Keys
from standpipe.store.labels import MetadataChanges
from standpipe.store.logs import Logs
from standpipe.store.positions import Positions
from standpipe.store.projects import Projects
from standpipe.store.records import Records
from standpipe.store.schema import HEAD


class Store(Projects, Keys, Positions, Records, MetadataChanges, Logs):
    """A database of projects, keys and records.

    All methods block and may be called from any thread. Each raises StoreUnavailable if the
    database cannot be reached, is locked for longer than the busy timeout, or is not migrated.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str, *, busy_timeout_s: float = 5.0) -> Store:
        """Return the store at a URL such as `sqlite:////absolute/path.db`; connect when used.

        Raises ConfigError for a URL that names no database we can speak to.
        """
        return cls(Database.open(url, busy_timeout_s))

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def migrate(self) -> None:
        """Bring the tables to this version; ConfigError if a newer one has been here."""
        migrate.migrate(self._database)

    def is_current(self) -> bool:
        """Return whether the tables are those of this version."""
        return migrate.revision(self._database) == HEAD

    def ping(self) -> None:
        """Ask the database anything; StoreUnavailable if it does not answer."""
        self._database.ping()
