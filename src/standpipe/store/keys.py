"""The verbs on keys."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from msgspec.structs import astuple
from sqlalchemy import ColumnElement, Connection, Select, exc, select, update

from standpipe.config import Content
from standpipe.errors import BadRequest, NotFound
from standpipe.store.database import Database
from standpipe.store.rows import Key, now_us
from standpipe.store.schema import api_keys, projects
from standpipe.store.tokens import hash_token, public_id_of


class Keys:
    """The verbs on keys."""

    _database: Database

    def add_key(
        self,
        project_id: str,
        *,
        name: str,
        read_only: bool,
        token: str,
        content: Content | None = None,
    ) -> Key:
        """Keep a key: the hash of its token and its public id, never the token.

        `content` None is what the configuration says.

        Raises NotFound if there is no such project and BadRequest if the token was added before.
        """
        try:
            with self._database.writing() as connection:
                _require_project(connection, project_id)
                now = now_us()
                key = Key(
                    id=public_id_of(token) or str(uuid4()),
                    project=project_id,
                    name=name,
                    token_hash=hash_token(token),
                    read_only=read_only,
                    created_at=now,
                    updated_at=now,
                    content=content,
                )
                connection.execute(api_keys.insert(), _values(key))
        except exc.IntegrityError as error:
            raise BadRequest("this key was added before; a revoked key stays revoked") from error
        return key

    def keys(self, project_id: str | None) -> list[Key]:
        """Return the keys of a project, or of all for None; revoked ones too, oldest first."""
        query = select(api_keys).join(projects, projects.c.id == api_keys.c.project_id)
        if project_id is not None:
            query = query.where(api_keys.c.project_id == project_id)
        return self._found(query.order_by(api_keys.c.created_at, api_keys.c.id))

    def key_by_hash(self, token_hash: bytes) -> Key | None:
        """Return the key whose token has this hash; None if it is unknown or revoked."""
        is_it = api_keys.c.token_hash == token_hash
        query = select(api_keys).where(is_it, api_keys.c.revoked_at.is_(None))
        return next(iter(self._found(query)), None)

    def keys_changed_since(self, updated_at: int) -> list[Key]:
        """Return the keys made or revoked at this time or later, those of removed projects too.

        Writers on several machines have several clocks: ask with a margin of some seconds.
        """
        query = select(api_keys).where(api_keys.c.updated_at >= updated_at)
        return self._found(query.order_by(api_keys.c.updated_at))

    def revoke_key(self, key_id: str) -> bool:
        """End a key for good; False if it is unknown or was revoked before."""
        with self._database.writing() as connection:
            return revoke(connection, api_keys.c.id == key_id) > 0

    def set_key_content(self, key_id: str, content: Content | None) -> bool:
        """Change what is kept of a key's calls; False if it is unknown or revoked."""
        which = (api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        change = update(api_keys).where(*which).values(content=content, updated_at=now_us())
        with self._database.writing() as connection:
            return connection.execute(change).rowcount > 0

    def _found(self, query: Select[Any]) -> list[Key]:
        with self._database.reading() as connection:
            return [Key(*found) for found in connection.execute(query)]


def revoke(connection: Connection, which: ColumnElement[bool]) -> int:
    """Revoke the keys that are not revoked yet; return how many there were."""
    now = now_us()
    change = update(api_keys).where(which, api_keys.c.revoked_at.is_(None))
    return connection.execute(change.values(revoked_at=now, updated_at=now)).rowcount


def _require_project(connection: Connection, project_id: str) -> None:
    it = select(projects.c.id).where(projects.c.id == project_id)
    # Kept until the key is there: a removal waits, and then revokes this key too.
    if connection.scalar(it.with_for_update(read=True)) is None:
        raise NotFound(f"there is no project {project_id!r}")


def _values(key: Key) -> dict[str, Any]:
    return dict(zip(api_keys.columns.keys(), astuple(key), strict=True))
