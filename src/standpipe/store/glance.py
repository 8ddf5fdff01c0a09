"""A look at a SQLite store that a start can afford: by the driver alone, and nothing is changed.

Importing SQLAlchemy takes longer than all else that a start does before its children are there.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from standpipe.store.revision import HEAD

#: Seconds that it may wait for who writes.
_PATIENCE_S = 0.5

_REVISION = "SELECT version_num FROM alembic_version"
_KEYS = (
    "SELECT count(*) > 0, coalesce(max(k.admin), 0),"
    " coalesce(max(k.token_hash = :token_hash AND k.revoked_at IS NULL), 0)"
    " FROM api_keys k JOIN projects p ON p.id = k.project_id"
)


class Glance(NamedTuple):
    """What keys there are, revoked ones too."""

    has_key: bool
    has_admin_key: bool
    #: The one that was asked for is there, and not revoked.
    knows_key: bool


def glance(file: Path, token_hash: bytes | None) -> Glance | None:
    """Return what keys are in a store whose tables are of this version.

    None for any other store, for none, and if that cannot be told quickly: who makes what is
    missing will say what is wrong.
    """
    place = f"{file.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(place, uri=True, timeout=_PATIENCE_S)) as connection:
            if connection.execute(_REVISION).fetchall() != [(HEAD,)]:
                return None
            row = connection.execute(_KEYS, {"token_hash": token_hash}).fetchone()
    except sqlite3.Error:
        return None
    return Glance(*map(bool, row))
