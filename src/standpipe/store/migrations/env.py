"""Run by Alembic: migrates over the connection, and in the transaction, that migrate.py gives."""

from __future__ import annotations

from alembic import context

from standpipe.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
)
with context.begin_transaction():
    context.run_migrations()
