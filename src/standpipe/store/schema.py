"""The tables as they are now; the migrations lead here, and a test holds the two equal.

Every query on a project's records has the project in it, so `project_id` is first in each index.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

#: The newest migration. Kept here so that checking it does not import Alembic.
HEAD = "0001"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
)

# No foreign key to projects: a removed project's keys stay, revoked, so that every worker that
# remembers one learns of it by `keys_changed_since`.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("read_only", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Index(None, "project_id"),
    Index(None, "updated_at"),
)

# No foreign key to projects: a record that the spool still holds when its project is unknown
# here must not stop the drain. The two long texts are last, where they cost other columns least.
records = Table(
    "records",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("key_id", Text),
    Column("requested_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", BigInteger),
    Column("logged", Boolean, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("first_byte_at", BigInteger),
    Column("parent", Text),
    Column("model", Text),
    Column("provider", Text),
    Column("provider_model", Text),
    Column("error", Text),
    Column("finish_reason", Text),
    Column("completion_id", Text),
    Column("streamed", Boolean, nullable=False),
    Column("cache_hit", Boolean, nullable=False),
    Column("usage_source", Text),
    Column("cost", Double),
    Column("price_version", Text),
    Column("user_agent", Text),
    Column("traceparent", Text),
    Column("retry_count", BigInteger),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("prompt_audio_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("completion_audio_tokens", BigInteger),
    Column("completion_text_tokens", BigInteger),
    Column("accepted_prediction_tokens", BigInteger),
    Column("rejected_prediction_tokens", BigInteger),
    Column("metadata", Text, nullable=False),
    Column("attempts", Text, nullable=False),
    Column("fidelity", Text, nullable=False),
    Column("request", Text),
    Column("response", Text),
    Index(None, "project_id", "requested_at", "id"),
    # These two hold the order too: SQLite would rather walk the first in order than sort.
    Index(None, "project_id", "model", "requested_at", "id"),
    Index(None, "project_id", "completion_id", "requested_at"),
)

# The map in records.metadata again, one row a name, for filters.
record_metadata = Table(
    "record_metadata",
    metadata,
    Column("record_id", Text, ForeignKey("records.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Index(None, "project_id", "name", "value", "record_id"),
)

spool_positions = Table(
    "spool_positions",
    metadata,
    Column("segment", Text, primary_key=True),
    Column("offset", BigInteger, nullable=False),
    #: When the segment was first read: a tombstone older than every segment has done its work.
    Column("first_read_at", BigInteger, nullable=False),
)

open_streams = Table(
    "open_streams",
    metadata,
    Column("id", Text, primary_key=True),
    Column("writer", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Index(None, "writer"),
)

# A record that was deleted and must not come back when its segment is read again.
# Where record_id is the project's own id, none of that project's records may come back.
tombstones = Table(
    "tombstones",
    metadata,
    Column("record_id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("deleted_at", BigInteger, nullable=False),
)
