"""Contents kept once, exact costs, usage by the hour, and how long to keep what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SUMS = (
    "calls",
    "failed",
    "priced",
    "unpriced",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "cost_pico",
)


def upgrade() -> None:
    """Add columns and tables; nothing that 0001 reads or writes changes."""
    op.add_column("projects", sa.Column("content_days", sa.Double))
    op.add_column("projects", sa.Column("records_days", sa.Double))
    op.add_column("projects", sa.Column("content_bytes", sa.BigInteger))
    op.add_column("api_keys", sa.Column("content", sa.Text))
    _records()
    _contents()
    _usage()
    compatibility = op.create_table(
        "compatibility",
        sa.Column("oldest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("oldest"),
    )
    op.bulk_insert(compatibility, [{"oldest": "0001"}])


def _records() -> None:
    op.add_column("records", sa.Column("cost_pico", sa.BigInteger))
    op.add_column("records", sa.Column("cache_write_tokens", sa.BigInteger))
    op.add_column("records", sa.Column("cache_write_1h_tokens", sa.BigInteger))
    for name in ("request_head", "request_body", "response_body"):
        op.add_column("records", sa.Column(name, sa.LargeBinary))
    op.create_index("ix_records_request_head", "records", ["request_head"])


def _contents() -> None:
    op.create_table(
        "contents",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("hash"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "prefixes",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("parent", sa.LargeBinary),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("hash"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_prefixes_parent", "prefixes", ["parent"])
    op.create_index("ix_prefixes_content", "prefixes", ["content"])
    op.create_table(
        "project_sizes",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("content_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("project_id"),
    )


def _usage() -> None:
    key = ("project_id", "hour", "key_id", "model", "name", "value")
    op.create_table(
        "usage_hours",
        *(
            sa.Column(name, sa.BigInteger if name == "hour" else sa.Text, nullable=False)
            for name in key
        ),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
        sa.PrimaryKeyConstraint(*key),
    )
    columns = ["project_id", "name", "value", "hour"]
    op.create_index(f"ix_usage_hours_{'_'.join(columns)}", "usage_hours", columns)
