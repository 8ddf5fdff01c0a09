"""The first tables: projects, keys, records, and the drain's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_USAGE = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "prompt_audio_tokens",
    "reasoning_tokens",
    "completion_audio_tokens",
    "completion_text_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
)


def upgrade() -> None:
    """Make the tables."""
    _owners()
    _records()
    _record_metadata()
    _drain()


def _owners() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("read_only", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index("ix_api_keys_project_id", "api_keys", ["project_id"])
    op.create_index("ix_api_keys_updated_at", "api_keys", ["updated_at"])


def _records() -> None:
    op.create_table(
        "records",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("status", sa.BigInteger),
        sa.Column("logged", sa.Boolean, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("first_byte_at", sa.BigInteger),
        sa.Column("parent", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("provider", sa.Text),
        sa.Column("provider_model", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("finish_reason", sa.Text),
        sa.Column("completion_id", sa.Text),
        sa.Column("streamed", sa.Boolean, nullable=False),
        sa.Column("cache_hit", sa.Boolean, nullable=False),
        sa.Column("usage_source", sa.Text),
        sa.Column("cost", sa.Double),
        sa.Column("price_version", sa.Text),
        sa.Column("user_agent", sa.Text),
        sa.Column("traceparent", sa.Text),
        sa.Column("retry_count", sa.BigInteger),
        *(sa.Column(name, sa.BigInteger) for name in _USAGE),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("attempts", sa.Text, nullable=False),
        sa.Column("fidelity", sa.Text, nullable=False),
        sa.Column("request", sa.Text),
        sa.Column("response", sa.Text),
        sa.PrimaryKeyConstraint("id"),
    )
    for columns in (
        ["project_id", "requested_at", "id"],
        ["project_id", "model", "requested_at", "id"],
        ["project_id", "completion_id", "requested_at"],
    ):
        op.create_index(f"ix_records_{'_'.join(columns)}", "records", columns)


def _record_metadata() -> None:
    op.create_table(
        "record_metadata",
        sa.Column("record_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("record_id", "name"),
        sa.ForeignKeyConstraint(["record_id"], ["records.id"], ondelete="CASCADE"),
    )
    columns = ["project_id", "name", "value", "record_id"]
    op.create_index(f"ix_record_metadata_{'_'.join(columns)}", "record_metadata", columns)


def _drain() -> None:
    op.create_table(
        "spool_positions",
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("first_read_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("segment"),
    )
    op.create_table(
        "open_streams",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("writer", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_open_streams_writer", "open_streams", ["writer"])
    op.create_table(
        "tombstones",
        sa.Column("record_id", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
    )
