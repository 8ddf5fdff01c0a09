"""Brings the tables to the newest migration; forward only, all pending ones in one transaction."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from standpipe.errors import ConfigError
from standpipe.store.database import Database
from standpipe.store.schema import HEAD

_MIGRATIONS = Path(__file__).parent / "migrations"


def revision(database: Database) -> str | None:
    """Return the newest migration that ran, None for an empty database."""
    with database.reading() as connection:
        return _revision(connection)


def migrate(database: Database) -> None:
    """Run the migrations that have not run; two processes doing so at once is safe.

    Raises ConfigError if a newer Standpipe has migrated this database.
    """
    with database.writing() as connection:
        if _revision(connection) != HEAD:
            _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def _upgrade(connection: Connection) -> None:
    # Alembic takes a fifth of a second to import, and only this needs it.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        message = f"the store cannot be migrated by this version of standpipe: {error}"
        raise ConfigError(message) from error
