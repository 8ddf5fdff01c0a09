"""The verbs on projects."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from sqlalchemy import delete, exc, or_, select, update

from standpipe.errors import BadRequest
from standpipe.store.database import Database
from standpipe.store.keys import revoke
from standpipe.store.removal import AT_ONCE, remove_records
from standpipe.store.rows import Project, now_us
from standpipe.store.schema import (
    api_keys,
    project_sizes,
    projects,
    records,
    tombstones,
    usage_hours,
)


class Projects:
    """The verbs on projects."""

    _database: Database

    def add_project(self, name: str) -> Project:
        """Make a project; BadRequest if the name is taken."""
        project = Project(id=str(uuid4()), name=name, created_at=now_us())
        insert = projects.insert().values(id=project.id, name=name, created_at=project.created_at)
        try:
            with self._database.writing() as connection:
                connection.execute(insert)
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
        change = update(projects).where(projects.c.id == project_id).values(name=name)
        try:
            with self._database.writing() as connection:
                connection.execute(change)
        except exc.IntegrityError as error:
            raise _name_taken(name) from error
        return self.project(project_id)

    def set_retention(self, project_id: str, changes: Mapping[str, float | None]) -> Project | None:
        """Say how long a project's records are kept; None if there is no project.

        A change is named as the field of `Project`; None is for what the configuration says.
        """
        with self._database.writing() as connection:
            connection.execute(
                update(projects).where(projects.c.id == project_id).values(**changes)
            )
        return self.project(project_id)

    def content_sizes(self) -> dict[str, int]:
        """Return how many bytes the texts of each project take that has any."""
        with self._database.reading() as connection:
            found = connection.execute(select(project_sizes))
            return {row.project_id: row.content_bytes for row in found}

    def remove_project(self, project_id: str) -> bool:
        """Delete a project with its keys, records and metadata; False if there is none.

        Its keys stop working at once; its records go in batches after that.
        """
        with self._database.writing() as connection:
            removed = connection.execute(delete(projects).where(projects.c.id == project_id))
            if not removed.rowcount:
                return False
            revoke(connection, api_keys.c.project_id == project_id)
            connection.execute(
                tombstones.insert().values(
                    record_id=project_id, project_id=project_id, deleted_at=now_us()
                )
            )
        while self._remove_some(project_id):
            pass
        return True

    def finish_removals(self) -> int:
        """Delete some of what removed projects have left, as after a crash; 0 if nothing is left.

        The number is that of the records.
        """
        query = select(tombstones.c.project_id).where(
            tombstones.c.record_id == tombstones.c.project_id,
            select(records.c.id).where(records.c.project_id == tombstones.c.project_id).exists(),
        )
        with self._database.reading() as connection:
            project_id = connection.scalar(query.limit(1))
        return 0 if project_id is None else self._remove_some(project_id)

    def _remove_some(self, project_id: str) -> int:
        """Delete some of a removed project's records, or with the last what else there is."""
        some = select(records.c.id).where(records.c.project_id == project_id).limit(AT_ONCE)
        with self._database.writing() as connection:
            ids = connection.scalars(some).all()
            remove_records(self._database, connection, project_id, ids, bury=False)
            if len(ids) < AT_ONCE:
                for table in (usage_hours, project_sizes):
                    connection.execute(delete(table).where(table.c.project_id == project_id))
        return len(ids)


def _name_taken(name: str) -> BadRequest:
    return BadRequest(f"there is a project named {name!r} already", param="name")
