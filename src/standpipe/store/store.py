"""The store: every verb that the rest of Standpipe has for what it remembers."""

from __future__ import annotations

from standpipe.store import migrate
from standpipe.store.alignment import Alignment
from standpipe.store.archive import Archive
from standpipe.store.audit import CLI, AuditLog
from standpipe.store.cache import Cache
from standpipe.store.criteria import Criteria
from standpipe.store.database import Database
from standpipe.store.keys import Keys
from standpipe.store.labels import MetadataChanges
from standpipe.store.logs import Logs
from standpipe.store.positions import Positions
from standpipe.store.projects import Projects
from standpipe.store.records import Records
from standpipe.store.retention import Retention
from standpipe.store.settled import SettledSums
from standpipe.store.soundness import Soundness
from standpipe.store.usage import UsageSums


class Store(
    Projects,
    Keys,
    Positions,
    Records,
    MetadataChanges,
    Logs,
    Retention,
    UsageSums,
    SettledSums,
    Archive,
    Soundness,
    AuditLog,
    Criteria,
    Alignment,
    Cache,
):
    """A database of projects, keys, records, criteria and cached answers.

    All methods block and may be called from any thread. Each raises StoreUnavailable if the
    database cannot be reached, is locked for longer than the busy timeout, or is not migrated.
    """

    def __init__(
        self, database: Database, usage_names: tuple[str, ...] = (), actor: str = CLI
    ) -> None:
        self._database = database
        self._usage_names = usage_names
        self._actor = actor

    @classmethod
    def open(
        cls, url: str, *, busy_timeout_s: float = 5.0, usage_names: tuple[str, ...] = ()
    ) -> Store:
        """Return the store at a URL such as `sqlite:////absolute/path.db`; connect when used.

        `usage_names` are those of the metadata that usage is summed up by as records come in.
        Raises ConfigError for a URL that names no database we can speak to.
        """
        return cls(Database.open(url, busy_timeout_s), usage_names)

    def acting_as(self, actor: str) -> Store:
        """Return the same store for a key: what is changed through it is noted as its doing."""
        return type(self)(self._database, self._usage_names, actor)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def migrate(self) -> None:
        """Bring the tables to this version; ConfigError if a newer one has made them unusable."""
        migrate.migrate(self._database)

    def is_current(self) -> bool:
        """Return whether this version can use the tables as they are."""
        return migrate.is_current(self._database)

    def ping(self) -> None:
        """Ask the database anything; StoreUnavailable if it does not answer."""
        self._database.ping()

    def version(self) -> tuple[str, int]:
        """Return what kind of database it is, such as `postgresql`, and its major version."""
        return self._database.version()

    def clock(self) -> float:
        """Return the database's wall clock in seconds since the Unix epoch."""
        return self._database.clock()

    def drop_empty_partitions(self) -> int:
        """Remove the partitions of past months that are empty; return how many there were."""
        return self._database.drop_empty_partitions()
