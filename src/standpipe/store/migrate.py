"""Brings the tables to the newest migration; forward only, all pending ones in one transaction."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, select, text

from standpipe.errors import ConfigError
from standpipe.store.database import Database
from standpipe.store.revision import HEAD
from standpipe.store.schema import compatibility

_MIGRATIONS = Path(__file__).parent / "migrations"


def is_current(database: Database) -> bool:
    """Return whether this version can use the tables as they are."""
    with database.reading() as connection:
        return _is_usable(connection, _revision(connection))


def migrate(database: Database) -> None:
    """Run the migrations that have not run; two processes doing so at once is safe.

    Tables that a newer Standpipe has migrated are left alone if it says that we may use them;
    ConfigError if it does not.
    """
    with database.migrating() as connection:
        found = _revision(connection)
        if _is_usable(connection, found):
            return
        if found is not None and found > HEAD:
            raise ConfigError(
                f"the store was migrated to {found} by a newer version of standpipe, and this one"
                f" knows it up to {HEAD}: use the newer one"
            )
        _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def _is_usable(connection: Connection, found: str | None) -> bool:
    """Return whether tables of this revision will do; revisions sort by age."""
    if found is None or found <= HEAD:
        return found == HEAD
    if not inspect(connection).has_table(compatibility.name):
        return False
    return any(oldest <= HEAD for oldest in connection.scalars(select(compatibility.c.oldest)))


def _upgrade(connection: Connection) -> None:
    # Alembic takes a fifth of a second to import, and only this needs it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
