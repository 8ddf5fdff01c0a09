"""The tables as they are now; the migrations lead here, and a test holds the two equal.

Every query on a project's records has the project in it, so `project_id` is first in each index.
Of some indexes SQLite has another form, whose columns are led by a span of ids; see spans.py.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

#: Columns that are there for running processes of an earlier version alone: table and name. The
#: migration after the next may drop them.
LEFT_BEHIND = {("records", "cost")}

#: The columns of `records` that hold its texts: those of 0001 and those of today.
TEXTS = ("request", "response", "request_head", "request_body", "response_body")

#: The condition that a row of `records` has a text.
HAS_TEXT = (
    "request_body IS NOT NULL OR response_body IS NOT NULL"
    " OR request IS NOT NULL OR response IS NOT NULL"
)

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
    # How long its records are kept; null for what the configuration says.
    Column("content_days", Double),
    Column("records_days", Double),
    Column("content_bytes", BigInteger),
    #: What its keys may do together: JSON of `Limits`; null for no limits.
    Column("limits", Text),
    #: What a judge's kappa has to be at least; null for what is usual.
    Column("alignment_bar", Double),
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
    #: What is kept of its calls' text; null for what the configuration says.
    Column("content", Text),
    #: It may use the admin API; null is false.
    Column("admin", Boolean),
    #: From when on it works no more; null for never.
    Column("expires_at", BigInteger),
    #: Patterns of the models it may ask for: a JSON list; null for all.
    Column("models", Text),
    #: What it may do: JSON of `Limits`; null for no limits of its own.
    Column("limits", Text),
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
    # Texts as 0001 kept them; rows of today have them in the three below.
    Column("request", Text),
    Column("response", Text),
    #: US dollars times 10^12, so that sums are exact.
    Column("cost_pico", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("cache_write_1h_tokens", BigInteger),
    #: See content.py: the last of the request's messages in `prefixes`, and what is left of it.
    Column("request_head", LargeBinary),
    Column("request_body", LargeBinary),
    Column("response_body", LargeBinary),
    Index(None, "project_id", "requested_at", "id"),
    # These two hold the order too: SQLite would rather walk the first in order than sort.
    Index(None, "project_id", "model", "requested_at", "id"),
    Index(None, "project_id", "completion_id", "requested_at").ddl_if(dialect="postgresql"),
    Index("ix_records_span_completion_id", text("substr(id, 1, 6)"), "completion_id").ddl_if(
        dialect="sqlite"
    ),
    Index(None, "request_head"),
    # For retention: the records that still have a text, the oldest first.
    Index(
        "ix_records_with_text",
        "project_id",
        "requested_at",
        # PostgreSQL's has the same condition. To say so here would import all that SQLAlchemy knows
        # of PostgreSQL, wherever a table is needed: a fifth of a worker's start.
        sqlite_where=text(HAS_TEXT),
    ),
)

# Messages, each once in a project. The hash is of the project and the content together, so that no
# project's can be another's.
contents = Table(
    "contents",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# Lists of messages, each its last message and the list before that: conversations that go on share
# all that went before.
prefixes = Table(
    "prefixes",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("parent", LargeBinary),
    Column("content", LargeBinary, nullable=False),
    Index(None, "parent"),
    Index(None, "content"),
    sqlite_with_rowid=False,
)

# What a project's texts take, kept with each change of them.
project_sizes = Table(
    "project_sizes",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("content_bytes", BigInteger, nullable=False),
)


def _usage(table: str, time: str) -> Table:
    """Return a table of what was used in each stretch of time by a key with a model.

    The rows whose `name` is empty are all of it; the others are the calls whose metadata has that
    value under that name, again. What a report reads, a time of one of the two, lies together.
    """
    return Table(
        table,
        metadata,
        Column("project_id", Text, primary_key=True),
        Column("name", Text, primary_key=True),
        #: When it begins, microseconds since the epoch.
        Column(time, BigInteger, primary_key=True),
        Column("value", Text, primary_key=True),
        #: Empty for calls without one; so is `model`.
        Column("key_id", Text, primary_key=True),
        Column("model", Text, primary_key=True),
        Column("calls", BigInteger, nullable=False),
        #: Calls whose outcome is not `complete`.
        Column("failed", BigInteger, nullable=False),
        #: Calls that have a price, and calls that have usage and none.
        Column("priced", BigInteger, nullable=False),
        Column("unpriced", BigInteger, nullable=False),
        Column("prompt_tokens", BigInteger, nullable=False),
        Column("completion_tokens", BigInteger, nullable=False),
        Column("cached_tokens", BigInteger, nullable=False),
        Column("cache_write_tokens", BigInteger, nullable=False),
        Column("reasoning_tokens", BigInteger, nullable=False),
        Column("audio_tokens", BigInteger, nullable=False),
        Column("cost_pico", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


usage_hours = _usage("usage_hours", "hour")
#: The same again by days, of which a report on a month reads a twentieth of the rows.
usage_days = _usage("usage_days", "day")

# The oldest version of the schema that a Standpipe may be of and use this database, one row.
compatibility = Table(
    "compatibility",
    metadata,
    Column("oldest", Text, primary_key=True),
)

# The map in records.metadata again, one row a name, for filters.
record_metadata = Table(
    "record_metadata",
    metadata,
    Column("record_id", Text, ForeignKey("records.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Index(None, "project_id", "name", "value", "record_id").ddl_if(dialect="postgresql"),
    Index(
        "ix_record_metadata_span_name_value_project_id",
        text("substr(record_id, 1, 6)"),
        "name",
        "value",
        "project_id",
    ).ddl_if(dialect="sqlite"),
    sqlite_with_rowid=False,
)

spool_positions = Table(
    "spool_positions",
    metadata,
    Column("segment", Text, primary_key=True),
    Column("offset", BigInteger, nullable=False),
    #: When the segment was first read: a tombstone older than every segment has done its work.
    Column("first_read_at", BigInteger, nullable=False),
    #: When its node last said that it has the segment; null for what an earlier version read.
    Column("seen_at", BigInteger),
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
    Index(None, "deleted_at"),
)

# What was changed by whom through the admin API or the command line, never with a secret in it.
audit = Table(
    "audit",
    metadata,
    #: UUIDv7, so that ids sort by time.
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    #: Public id of the admin key, or `cli`.
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("project_id", Text),
    #: Id of what was changed.
    Column("target", Text),
    #: JSON.
    Column("detail", Text, nullable=False),
    Index(None, "project_id", "id"),
)

# Answers that identical calls of a project are given again. No foreign key to projects: what a
# removed one has left is deleted little by little.
cached_answers = Table(
    "cached_answers",
    metadata,
    Column("project_id", Text, primary_key=True),
    #: Of all that can change the answer.
    Column("hash", LargeBinary, primary_key=True),
    Column("written_at", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    #: The oldest go first, and what all take is added up from it.
    Index(None, "written_at", "bytes"),
)

# What answers are judged by: names of a project, and under each what it was and is.
criteria = Table(
    "criteria",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("project_id", "slug", name="uq_criteria_project_id_slug"),
)

criterion_versions = Table(
    "criterion_versions",
    metadata,
    Column("criterion_id", Text, ForeignKey("criteria.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("project_id", Text, nullable=False),
    #: JSON of what the version is; the store does not look into it.
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# What people say of answers, to hold judges against.
alignment_rows = Table(
    "alignment_rows",
    metadata,
    Column("criterion_id", Text, ForeignKey("criteria.id", ondelete="CASCADE"), primary_key=True),
    #: Made of the case.
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    #: JSON of what is judged.
    Column("case_text", Text, nullable=False),
    #: PASS or FAIL; null where nobody has said.
    Column("judgement", Text),
    Column("created_at", BigInteger, nullable=False),
)

alignment_verdicts = Table(
    "alignment_verdicts",
    metadata,
    Column("criterion_id", Text, primary_key=True),
    Column("row_id", Text, primary_key=True),
    #: The version's.
    Column("number", BigInteger, primary_key=True),
    Column("project_id", Text, nullable=False),
    #: Null where there is an error.
    Column("score", Double),
    Column("explanation", Text),
    Column("error", Text),
    Column("made_at", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["criterion_id", "row_id"],
        ["alignment_rows.criterion_id", "alignment_rows.id"],
        name="fk_alignment_verdicts_row",
        ondelete="CASCADE",
    ),
)
