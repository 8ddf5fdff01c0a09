"""What keys and projects may do, admin keys, who changed what, and which nodes are there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add columns and a table.

    A Standpipe of 0002 knows no limits: one that runs goes on, but none may start any more.
    """
    # PostgreSQL is to sort by bytes, as SQLite does.
    text = sa.Text(collation="C" if op.get_bind().dialect.name == "postgresql" else None)
    op.add_column("projects", sa.Column("limits", text))
    op.add_column("api_keys", sa.Column("admin", sa.Boolean))
    op.add_column("api_keys", sa.Column("expires_at", sa.BigInteger))
    op.add_column("api_keys", sa.Column("models", text))
    op.add_column("api_keys", sa.Column("limits", text))
    op.add_column("spool_positions", sa.Column("seen_at", sa.BigInteger))
    op.create_table(
        "audit",
        sa.Column("id", text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", text, nullable=False),
        sa.Column("action", text, nullable=False),
        sa.Column("project_id", text),
        sa.Column("target", text),
        sa.Column("detail", text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_audit_project_id_id", "audit", ["project_id", "id"])
    op.execute("UPDATE compatibility SET oldest = '0003'")
