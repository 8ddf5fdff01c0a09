"""The verbs on projects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from msgspec.structs import asdict, replace
from sqlalchemy import Connection, delete, exc, or_, select, update

from standpipe.errors import BadRequest
from standpipe.store import audit
from standpipe.store.cache import remove_cached
from standpipe.store.database import Database
from standpipe.store.keys import revoke
from standpipe.store.removal import AT_ONCE, remove_records
from standpipe.store.rows import Project, now_us
from standpipe.store.schema import (
    api_keys,
    cached_answers,
    criteria,
    project_sizes,
    projects,
    records,
    tombstones,
    usage_days,
    usage_hours,
)


class Projects:
    """The verbs on projects."""

    _database: Database
    _actor: str

    def add_project(self, name: str, settings: Mapping[str, Any] | None = None) -> Project:
        """Make a project; BadRequest if the name is taken.

        `settings` are named as the fields of `Project`.
        """
        project = Project(str(uuid4()), name, now_us(), **(settings or {}))
        detail = audit.made({"name": name, **(settings or {})})
        try:
            with self._database.writing() as connection:
                connection.execute(projects.insert().values(asdict(project)))
                self._note_project(connection, "created", project.id, detail)
        except exc.IntegrityError as error:
            raise _name_taken(name) from error
        return project

    def projects(self) -> list[Project]:
        """Return all projects, oldest first."""
        query = select(projects).order_by(projects.c.created_at, projects.c.id)
        with self._database.reading() as connection:
            return [Project(*found) for found in connection.execute(query)]

    def project(self, name_or_id: str) -> Project | None:
        """Return the project of this id, or else of this name."""
        is_it = or_(projects.c.id == name_or_id, projects.c.name == name_or_id)
        with self._database.reading() as connection:
            found = [Project(*row) for row in connection.execute(select(projects).where(is_it))]
        return min(found, key=lambda project: project.id != name_or_id, default=None)

    def rename_project(self, project_id: str, name: str) -> Project | None:
        """Give a project another name; BadRequest if it is taken, None if there is no project."""
        return self.change_project(project_id, {"name": name})

    def change_project(self, project_id: str, changes: Mapping[str, Any]) -> Project | None:
        """Change a project's name, its limits or how long it keeps what; None if there is none.

        A change is named as the field of `Project`; None is for what the configuration says.
        Raises BadRequest if the name is taken.
        """
        try:
            with self._database.writing() as connection:
                project = _locked(connection, project_id)
                detail = audit.differences(project, changes) if project else {}
                if detail:
                    change = update(projects).where(projects.c.id == project_id)
                    connection.execute(change.values(**changes))
                    if "limits" in detail:
                        _touch_keys(connection, project_id)
                    self._note_project(connection, "changed", project_id, detail)
        except exc.IntegrityError as error:
            raise _name_taken(changes["name"]) from error
        return project and replace(project, **changes)

    def content_sizes(self) -> dict[str, int]:
        """Return how many bytes the texts of each project take that has any."""
        with self._database.reading() as connection:
            found = connection.execute(select(project_sizes))
            return {row.project_id: row.content_bytes for row in found}

    def remove_project(self, project_id: str) -> bool:
        """Delete a project with its keys, records and metadata; False if there is none.

        Its keys stop working at once; its records go in batches after that.
        """
        if not self.end_project(project_id):
            return False
        while self._remove_some(project_id):
            pass
        return True

    def end_project(self, project_id: str) -> bool:
        """Delete a project and end its keys; False if there is none.

        Its records are left to `finish_removals`, and nobody sees them any more.
        """
        with self._database.writing() as connection:
            project = _locked(connection, project_id)
            if project is None:
                return False
            connection.execute(delete(projects).where(projects.c.id == project_id))
            connection.execute(delete(criteria).where(criteria.c.project_id == project_id))
            keys = revoke(connection, api_keys.c.project_id == project_id)
            connection.execute(
                tombstones.insert().values(
                    record_id=project_id, project_id=project_id, deleted_at=now_us()
                )
            )
            detail = {"name": project.name, "keys_revoked": keys}
            self._note_project(connection, "removed", project_id, detail)
        return True

    def finish_removals(self) -> int:
        """Delete some of what removed projects have left, as after a crash; 0 if nothing is left.

        The number is that of the records and the cached answers.
        """
        left = (
            select(table.c.project_id).where(table.c.project_id == tombstones.c.project_id).exists()
            for table in (records, cached_answers)
        )
        query = select(tombstones.c.project_id).where(
            tombstones.c.record_id == tombstones.c.project_id, or_(*left)
        )
        with self._database.reading() as connection:
            project_id = connection.scalar(query.limit(1))
        return 0 if project_id is None else self._remove_some(project_id)

    def _note_project(
        self, connection: Connection, what: str, project_id: str, detail: Mapping[str, Any]
    ) -> None:
        audit.note(connection, self._actor, f"project.{what}", project_id, project_id, detail)

    def _remove_some(self, project_id: str) -> int:
        """Delete some of a removed project's records, or with the last what else there is."""
        some = select(records.c.id).where(records.c.project_id == project_id).limit(AT_ONCE)
        with self._database.writing() as connection:
            ids = connection.scalars(some).all()
            remove_records(self._database, connection, project_id, ids, bury=False)
            cached = remove_cached(connection, project_id)
            if len(ids) < AT_ONCE:
                for table in (usage_hours, usage_days, project_sizes):
                    connection.execute(delete(table).where(table.c.project_id == project_id))
        return len(ids) + cached


def _locked(connection: Connection, project_id: str) -> Project | None:
    row = connection.execute(audit.locked(projects, project_id)).first()
    return Project(*row) if row else None


def _touch_keys(connection: Connection, project_id: str) -> None:
    """Let all workers look at a project's keys again: they know keys, not projects."""
    of_project = update(api_keys).where(api_keys.c.project_id == project_id)
    connection.execute(of_project.values(updated_at=now_us()))


def _name_taken(name: str) -> BadRequest:
    return BadRequest(f"there is a project named {name!r} already", param="name")
