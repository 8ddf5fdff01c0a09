"""The verbs on keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from msgspec.structs import astuple, replace
from sqlalchemy import ColumnElement, Connection, Select, exc, select, update

from standpipe.config import Content
from standpipe.errors import BadRequest, NotFound
from standpipe.store import audit
from standpipe.store.database import Database
from standpipe.store.rows import Key, now_us
from standpipe.store.schema import api_keys, projects
from standpipe.store.tokens import hash_token, public_id_of


class Keys:
    """The verbs on keys."""

    _database: Database
    _actor: str

    def add_key(
        self,
        project_id: str,
        *,
        name: str,
        read_only: bool,
        token: str,
        content: Content | None = None,
        admin: bool = False,
        expires_at: int | None = None,
        models: str | None = None,
        limits: str | None = None,
    ) -> Key:
        """Keep a key: the hash of its token and its public id, never the token.

        The others are as in `Key`.

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
                    admin=admin,
                    expires_at=expires_at,
                    models=models,
                    limits=limits,
                )
                connection.execute(api_keys.insert(), _values(key))
                self._note_key(connection, "created", key, audit.made(_chosen(key)))
        except exc.IntegrityError as error:
            raise BadRequest("this key was added before; a revoked key stays revoked") from error
        return key

    def keys(self, project_id: str | None) -> list[Key]:
        """Return the keys of a project, or of all for None; revoked ones too, oldest first."""
        query = select(*_COLUMNS).join(projects, projects.c.id == api_keys.c.project_id)
        if project_id is not None:
            query = query.where(api_keys.c.project_id == project_id)
        return self._found(query.order_by(api_keys.c.created_at, api_keys.c.id))

    def key_by_hash(self, token_hash: bytes) -> Key | None:
        """Return the key whose token has this hash; None if it is unknown or revoked."""
        is_it = api_keys.c.token_hash == token_hash
        query = _query().where(is_it, api_keys.c.revoked_at.is_(None))
        return next(iter(self._found(query)), None)

    def keys_changed_since(self, updated_at: int) -> list[Key]:
        """Return the keys made or revoked at this time or later, those of removed projects too.

        Writers on several machines have several clocks: ask with a margin of some seconds.
        """
        query = _query().where(api_keys.c.updated_at >= updated_at)
        return self._found(query.order_by(api_keys.c.updated_at))

    def revoke_key(self, key_id: str) -> bool:
        """End a key for good; False if it is unknown or was revoked before."""
        with self._database.writing() as connection:
            if not revoke(connection, api_keys.c.id == key_id):
                return False
            key = Key(*connection.execute(audit.locked(api_keys, key_id)).one())
            self._note_key(connection, "revoked", key, {"name": key.name})
        return True

    def change_key(self, key_id: str, changes: Mapping[str, Any]) -> Key | None:
        """Change what a key may do or what is kept of its calls; None if unknown or revoked.

        A change is named as the field of `Key`.
        """
        with self._database.writing() as connection:
            key = _working(connection, key_id)
            detail = audit.differences(key, changes) if key else {}
            if key and detail:
                changed = {**changes, "updated_at": now_us()}
                key = replace(key, **changed)
                connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(changed))
                self._note_key(connection, "changed", key, detail)
        return key

    def _note_key(
        self, connection: Connection, what: str, key: Key, detail: Mapping[str, Any]
    ) -> None:
        audit.note(connection, self._actor, f"key.{what}", key.project, key.id, detail)

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


def _working(connection: Connection, key_id: str) -> Key | None:
    """Return a key that is not revoked, kept as it is until the transaction ends."""
    row = connection.execute(audit.locked(api_keys, key_id)).first()
    return Key(*row) if row and row.revoked_at is None else None


#: What whoever makes a key says of it.
_CHOSEN = ("name", "read_only", "content", "admin", "expires_at", "models", "limits")


def _chosen(key: Key) -> dict[str, Any]:
    return {name: getattr(key, name) for name in _CHOSEN if getattr(key, name) not in ("", False)}


def _values(key: Key) -> dict[str, Any]:
    # The last is the project's.
    return dict(zip(api_keys.columns.keys(), astuple(key)[:-1], strict=True))


_COLUMNS = (*api_keys.columns, projects.c.limits)


def _query() -> Select[Any]:
    """Return the query of keys with their projects' limits, those of removed projects too."""
    return select(*_COLUMNS).outerjoin(projects, projects.c.id == api_keys.c.project_id)
