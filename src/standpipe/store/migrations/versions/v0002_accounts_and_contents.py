"""Contents kept once, exact costs, usage by the hour, and how long to keep what."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime

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

# Of PostgreSQL's partitions of `records`: ids of other times share one before and one after.
_FIRST = (2025, 1)
_LAST = (2100, 1)
_AHEAD = 6


def upgrade() -> None:
    """Add columns and tables; nothing that 0001 reads or writes changes."""
    op.add_column("projects", sa.Column("content_days", sa.Double))
    op.add_column("projects", sa.Column("records_days", sa.Double))
    op.add_column("projects", sa.Column("content_bytes", sa.BigInteger))
    op.add_column("api_keys", sa.Column("content", sa.Text))
    _records()
    _contents()
    _usage()
    op.create_index("ix_tombstones_deleted_at", "tombstones", ["deleted_at"])
    compatibility = op.create_table(
        "compatibility",
        sa.Column("oldest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("oldest"),
    )
    op.bulk_insert(compatibility, [{"oldest": "0001"}])
    if op.get_context().dialect.name == "postgresql":
        _sort_as_bytes()
        _partition_records()
    else:
        _cluster_metadata()
        _index_by_span()


def _records() -> None:
    op.add_column("records", sa.Column("cost_pico", sa.BigInteger))
    op.add_column("records", sa.Column("cache_write_tokens", sa.BigInteger))
    op.add_column("records", sa.Column("cache_write_1h_tokens", sa.BigInteger))
    for name in ("request_head", "request_body", "response_body"):
        op.add_column("records", sa.Column(name, sa.LargeBinary))
    op.create_index("ix_records_request_head", "records", ["request_head"])
    has_text = sa.text(
        "request_body IS NOT NULL OR response_body IS NOT NULL"
        " OR request IS NOT NULL OR response IS NOT NULL"
    )
    op.create_index(
        "ix_records_with_text",
        "records",
        ["project_id", "requested_at"],
        sqlite_where=has_text,
        postgresql_where=has_text,
    )


def _contents() -> None:
    op.create_table(
        "contents",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("hash"),
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
    # Texts that 0001 kept stay as they are, and count by their characters.
    op.execute(
        "INSERT INTO project_sizes SELECT project_id,"
        " SUM(COALESCE(LENGTH(request), 0) + COALESCE(LENGTH(response), 0))"
        " FROM records GROUP BY project_id"
    )


def _usage() -> None:
    for table, time, length in (
        ("usage_hours", "hour", 3_600_000_000),
        ("usage_days", "day", 86_400_000_000),
    ):
        key = ("project_id", "name", time, "value", "key_id", "model")
        op.create_table(
            table,
            *(
                sa.Column(name, sa.BigInteger if name == time else sa.Text, nullable=False)
                for name in key
            ),
            *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
            sa.PrimaryKeyConstraint(*key),
            sqlite_with_rowid=False,
        )
        used = _USED_BEFORE.format(length=length)
        op.execute(f"INSERT INTO {table} ({', '.join((*key, *_SUMS))}) {used}")


# What 0001 kept, summed up: it knew no prices, and of its texts no metadata need be summed by.
_USED_BEFORE = """
SELECT project_id, '', requested_at - requested_at % {length}, '',
  COALESCE(key_id, ''), COALESCE(model, ''),
  COUNT(*),
  SUM(CASE WHEN outcome = 'complete' THEN 0 ELSE 1 END),
  0,
  SUM(CASE WHEN COALESCE(prompt_tokens, completion_tokens, total_tokens, cached_tokens,
    prompt_audio_tokens, reasoning_tokens, completion_audio_tokens, completion_text_tokens,
    accepted_prediction_tokens, rejected_prediction_tokens) IS NULL THEN 0 ELSE 1 END),
  COALESCE(SUM(prompt_tokens), 0),
  COALESCE(SUM(completion_tokens), 0),
  COALESCE(SUM(cached_tokens), 0),
  0,
  COALESCE(SUM(reasoning_tokens), 0),
  COALESCE(SUM(prompt_audio_tokens), 0) + COALESCE(SUM(completion_audio_tokens), 0),
  0
FROM records GROUP BY 1, 3, 5, 6
"""


def _cluster_metadata() -> None:
    """Make `record_metadata` anew, its rows in its primary key: a fifth smaller, with its index."""
    index = "ix_record_metadata_project_id_name_value_record_id"
    op.drop_index(index, "record_metadata")
    op.rename_table("record_metadata", "record_metadata_0001")
    op.create_table(
        "record_metadata",
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("record_id", "name", "value", "project_id")
        ),
        sa.PrimaryKeyConstraint("record_id", "name"),
        sa.ForeignKeyConstraint(["record_id"], ["records.id"], ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO record_metadata SELECT * FROM record_metadata_0001")
    op.drop_table("record_metadata_0001")


def _index_by_span() -> None:
    """Find values that are all over the records by spans of ids: new ones are then side by side."""
    op.drop_index("ix_records_project_id_completion_id_requested_at", "records")
    op.create_index(
        "ix_records_span_completion_id", "records", [sa.text("substr(id, 1, 6)"), "completion_id"]
    )
    op.create_index(
        "ix_record_metadata_span_name_value_project_id",
        "record_metadata",
        [sa.text("substr(record_id, 1, 6)"), "name", "value", "project_id"],
    )


def _sort_as_bytes() -> None:
    """Compare texts as SQLite does, whatever the language of the database."""
    inspector = sa.inspect(op.get_bind())
    for key in inspector.get_foreign_keys("record_metadata"):
        op.drop_constraint(str(key["name"]), "record_metadata")
    for table in inspector.get_table_names():
        for column in inspector.get_columns(table):
            if isinstance(column["type"], sa.Text):
                op.alter_column(table, column["name"], type_=sa.Text(collation="C"))


def _partition_records() -> None:
    """Make `records` anew in partitions, each of a month's ids, and move the rows over."""
    indexes = sa.inspect(op.get_bind()).get_indexes("records")
    for index in indexes:
        op.drop_index(str(index["name"]), "records")
    op.rename_table("records", "records_0001")
    op.execute("CREATE TABLE records (LIKE records_0001) PARTITION BY RANGE (id)")
    _make_partitions()
    op.execute("INSERT INTO records SELECT * FROM records_0001")
    op.drop_table("records_0001")
    op.create_primary_key("pk_records", "records", ["id"])
    for index in indexes:
        op.create_index(str(index["name"]), "records", [str(n) for n in index["column_names"]])
    op.create_foreign_key(
        "fk_record_metadata_record_id_records",
        "record_metadata",
        "records",
        ["record_id"],
        ["id"],
        ondelete="CASCADE",
    )


def _make_partitions() -> None:
    now = datetime.now(UTC)
    months = [_FIRST]
    while months[-1] != _LAST:
        year, month = months[-1]
        months.append((year + month // 12, month % 12 + 1))
    bounds = [_first_id(*month) for month in months]
    lowest, highest = op.get_bind().execute(_EXTREMES, {"a": bounds[0], "b": bounds[-1]}).one()
    from_now = bisect_right(bounds, _first_id(now.year, now.month)) - 1
    to_make = {*range(from_now, from_now + _AHEAD + 1)}
    if lowest is not None:
        to_make |= {*range(bisect_right(bounds, lowest) - 1, bisect_right(bounds, highest))}
    _make_partition("before", "MINVALUE", f"'{bounds[0]}'")
    _make_partition("after", f"'{bounds[-1]}'", "MAXVALUE")
    for at in sorted(to_make):
        name = "{}_{:02}".format(*months[at])
        _make_partition(name, f"'{bounds[at]}'", f"'{bounds[at + 1]}'")


_EXTREMES = sa.text("SELECT min(id), max(id) FROM records_0001 WHERE id >= :a AND id < :b")


def _first_id(year: int, month: int) -> str:
    """Return what the UUIDv7 of that month's first millisecond begins with."""
    milliseconds = round(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}"


def _make_partition(name: str, low: str, high: str) -> None:
    op.execute(
        f"CREATE TABLE records_{name} PARTITION OF records FOR VALUES FROM ({low}) TO ({high})"
    )
