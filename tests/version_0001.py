"""What a Standpipe whose newest migration is 0001 does to a database: its statements, frozen.

Written out once and never made from the code, which goes on: old processes run beside new ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

import standpipe.store

PROJECT = "11111111-1111-4111-8111-111111111111"

_COLUMNS = """id, kind, project_id, key_id, requested_at, received_at, outcome, status, logged,
    updated_at, first_byte_at, parent, model, provider, provider_model, error, finish_reason,
    completion_id, streamed, cache_hit, usage_source, cost, price_version, user_agent, traceparent,
    retry_count, prompt_tokens, completion_tokens, total_tokens, cached_tokens,
    prompt_audio_tokens, reasoning_tokens, completion_audio_tokens, completion_text_tokens,
    accepted_prediction_tokens, rejected_prediction_tokens, metadata, attempts, fidelity, request,
    response"""

_INSERT_RECORD = text(
    f"""INSERT INTO records ({_COLUMNS}) VALUES (:id, 'chat', :project, 'abcdefghij', :at,
    :at + 250, 'complete', 200, :logged, :at + 300, NULL, NULL, 'gpt-4o', 'openai',
    'gpt-4o-2024-08-06', NULL, 'stop', :completion, :no, :no, 'provider', NULL, NULL, 'curl',
    NULL, 0, 7, 2, 9, 1, NULL, NULL, NULL, NULL, NULL, NULL, :metadata, '[]',
    '[]', :request, :response)
    ON CONFLICT (id) DO NOTHING"""
)
_INSERT_METADATA = text(
    "INSERT INTO record_metadata (record_id, name, value, project_id)"
    " VALUES (:id, 'prompt', 'p1', :project) ON CONFLICT (record_id, name) DO NOTHING"
)
_SELECT_RECORDS = text(
    f"SELECT {_COLUMNS} FROM records WHERE project_id = :project"
    " ORDER BY requested_at DESC, id DESC LIMIT 50"
)
_SELECT_LABELLED = text(
    """SELECT id FROM records WHERE project_id = :project AND id IN (SELECT record_id
    FROM record_metadata WHERE project_id = :project AND name = 'prompt' AND value = 'p1')
    ORDER BY requested_at, id"""
)
_SELECT_STORED = text(
    """SELECT id FROM records WHERE project_id = :project AND logged IS TRUE AND status = 200
    AND response IS NOT NULL AND kind IN ('chat', 'report') ORDER BY requested_at, id"""
)


def make_tables(connection: Connection, revision: str = "0001") -> None:
    """Run the first migration alone, or all up to a later one."""
    config = Config()
    room = Path(standpipe.store.__file__).parent / "migrations"
    config.set_main_option("script_location", str(room))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def add_owners(connection: Connection) -> None:
    """Add a project and a key to it."""
    _run(connection, "INSERT INTO projects (id, name, created_at) VALUES (:project, 'old', 5)")
    _run(
        connection,
        """INSERT INTO api_keys (id, project_id, name, token_hash, read_only, created_at,
        updated_at, revoked_at) VALUES ('abcdefghij', :project, 'k', :hash, :no, 6, 6, NULL)""",
        hash=bytes(range(32)),
        no=False,
    )


def add_record(connection: Connection, record_id: str, at: int, *, logged: bool = True) -> None:
    """Add a call as the drain does, with its metadata and how far its segment was read."""
    values = {
        "id": record_id,
        "project": PROJECT,
        "at": at,
        "logged": logged,
        "no": False,
        "completion": f"chatcmpl-{record_id[-4:]}",
        "metadata": '{"prompt":"p1"}',
        "request": '{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}',
        "response": '{"object":"chat.completion"}',
    }
    if not logged:
        values |= {"request": None, "response": None}
    connection.execute(_INSERT_RECORD, values)
    connection.execute(_INSERT_METADATA, {"id": record_id, "project": PROJECT})


def add_drains_marks(connection: Connection) -> None:
    """Note a position, an open stream and a deleted record."""
    _run(connection, "INSERT INTO spool_positions VALUES ('old-0-00000000.seg', 77, 8)")
    _run(connection, "INSERT INTO open_streams VALUES ('open', 'old-0', :payload)", payload=b"\x00")
    _run(connection, "INSERT INTO tombstones VALUES ('gone', :project, 9)")


def move_position(connection: Connection) -> int:
    """Move the position as the drain does; return how many rows that changed."""
    statement = "UPDATE spool_positions SET \"offset\" = 99 WHERE segment = 'old-0-00000000.seg'"
    return connection.execute(text(statement)).rowcount


def label(connection: Connection, record_id: str) -> None:
    """Replace a record's metadata, as the API does."""
    of_it = {"id": record_id, "project": PROJECT}
    connection.execute(
        text(
            'UPDATE records SET metadata = \'{"prompt":"p1"}\', updated_at = 10'
            " WHERE project_id = :project AND id = :id"
        ),
        of_it,
    )
    connection.execute(
        text("DELETE FROM record_metadata WHERE project_id = :project AND record_id IN (:id)"),
        of_it,
    )
    connection.execute(_INSERT_METADATA, of_it)


def delete(connection: Connection, record_id: str) -> int:
    """Delete a record as the API does; return how many rows that were."""
    of_it = {"id": record_id, "project": PROJECT}
    statement = "DELETE FROM records WHERE project_id = :project AND id = :id"
    deleted = connection.execute(text(statement), of_it).rowcount
    connection.execute(text("INSERT INTO tombstones VALUES (:id, :project, 11)"), of_it)
    return deleted


def records(connection: Connection) -> list[dict[str, Any]]:
    """Return the newest records as the API reads them."""
    found = connection.execute(_SELECT_RECORDS, {"project": PROJECT})
    return [dict(row) for row in found.mappings()]


def labelled(connection: Connection) -> list[str]:
    """Return the ids of the records with the label that all have."""
    return list(connection.scalars(_SELECT_LABELLED, {"project": PROJECT}))


def stored(connection: Connection) -> list[str]:
    """Return the ids of what it takes for stored completions."""
    return list(connection.scalars(_SELECT_STORED, {"project": PROJECT}))


def _run(connection: Connection, statement: str, **values: Any) -> None:
    connection.execute(text(statement), {"project": PROJECT, **values})
