"""Criteria, their versions, and cached answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add tables; what runs and is older does without them."""
    # PostgreSQL is to sort by bytes, as SQLite does.
    text = sa.Text(collation="C" if op.get_bind().dialect.name == "postgresql" else None)
    op.create_table(
        "criteria",
        sa.Column("id", text, nullable=False),
        sa.Column("project_id", text, nullable=False),
        sa.Column("slug", text, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_criteria"),
        sa.UniqueConstraint("project_id", "slug", name="uq_criteria_project_id_slug"),
    )
    op.create_table(
        "criterion_versions",
        sa.Column("criterion_id", text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("project_id", text, nullable=False),
        sa.Column("definition", text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("criterion_id", "number", name="pk_criterion_versions"),
        sa.ForeignKeyConstraint(
            ["criterion_id"],
            ["criteria.id"],
            name="fk_criterion_versions_criterion_id_criteria",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "cached_answers",
        sa.Column("project_id", text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("written_at", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "hash", name="pk_cached_answers"),
    )
    op.create_index("ix_cached_answers_written_at_bytes", "cached_answers", ["written_at", "bytes"])
    op.create_table(
        "alignment_rows",
        sa.Column("criterion_id", text, nullable=False),
        sa.Column("id", text, nullable=False),
        sa.Column("project_id", text, nullable=False),
        sa.Column("case_text", text, nullable=False),
        sa.Column("judgement", text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("criterion_id", "id", name="pk_alignment_rows"),
        sa.ForeignKeyConstraint(
            ["criterion_id"],
            ["criteria.id"],
            name="fk_alignment_rows_criterion_id_criteria",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "alignment_verdicts",
        sa.Column("criterion_id", text, nullable=False),
        sa.Column("row_id", text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("project_id", text, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("explanation", text),
        sa.Column("error", text),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("criterion_id", "row_id", "number", name="pk_alignment_verdicts"),
        sa.ForeignKeyConstraint(
            ["criterion_id", "row_id"],
            ["alignment_rows.criterion_id", "alignment_rows.id"],
            name="fk_alignment_verdicts_row",
            ondelete="CASCADE",
        ),
    )
    op.add_column("projects", sa.Column("alignment_bar", sa.Double))
