"""What administrators do over HTTP: the projects and keys of all, and who changed them.

Whoever asks is checked in front of the handlers: none of them can forget to. What they change goes
through a store that notes whose doing it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from standpipe.api import admin_forms as forms
from standpipe.api.freshness import Freshness
from standpipe.api.http import Json, convert, read_json, reader
from standpipe.calls.callers import Caller, Callers
from standpipe.errors import BadRequest, Forbidden, NotFound
from standpipe.store.rows import Project
from standpipe.store.store import Store
from standpipe.store.tokens import new_token

Handler = Callable[[Request], Awaitable[Response]]
#: A handler that is told who asks.
AdminHandler = Callable[[Request, Caller], Awaitable[Response]]


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of the audit log."""

    project: str | None = None
    after: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


def guarded(callers: Callers, handle: AdminHandler) -> Handler:
    """Return a handler that answers those alone who hold an admin key.

    A read-only one reads. Nothing of the request is looked at before that.
    """

    async def answer(request: Request) -> Response:
        caller = await reader(request, callers)
        if not caller.admin:
            raise Forbidden("this needs an admin key (`standpipe keys create --admin` makes one)")
        if caller.read_only and request.method not in ("GET", "HEAD"):
            raise Forbidden("this admin key is read-only")
        return await handle(request, caller)

    return answer


class Admin:
    """The handlers of projects and keys, and of the log of their changes."""

    def __init__(self, store: Store, freshness: Freshness) -> None:
        self._store = store
        self._freshness = freshness

    def handlers(self) -> dict[str, AdminHandler]:
        """Return them by the names of their operations; they are to be guarded."""
        return {
            "listProjects": self._list_projects,
            "createProject": self._create_project,
            "getProject": self._get_project,
            "updateProject": self._update_project,
            "deleteProject": self._delete_project,
            "listKeys": self._list_keys,
            "createKey": self._create_key,
            "updateKey": self._update_key,
            "revokeKey": self._revoke_key,
            "listAudit": self._list_audit,
        }

    async def _list_projects(self, _: Request, __: Caller) -> Response:
        projects = await self._freshness.ask(self._store.projects)
        sizes = await self._freshness.ask(self._store.content_sizes)
        data = [forms.shown_project(each, sizes.get(each.id, 0)) for each in projects]
        return Json({"object": "list", "data": data})

    async def _create_project(self, request: Request, caller: Caller) -> Response:
        said = forms.columns(await read_json(request, forms.NewProject))
        _refuse_no_name(said)
        add = self._store.acting_as(caller.key).add_project
        project = await self._freshness.ask(add, said.pop("name"), said)
        return Json(forms.shown_project(project, 0))

    async def _get_project(self, request: Request, _: Caller) -> Response:
        return await self._shown(await self._project(request))

    async def _update_project(self, request: Request, caller: Caller) -> Response:
        said = forms.columns(await read_json(request, forms.ProjectChange))
        _refuse_no_name(said)
        project = await self._project(request)
        change = self._store.acting_as(caller.key).change_project
        changed = await self._freshness.ask(change, project.id, said)
        if changed is None:
            raise _no_project(project.id)
        return await self._shown(changed)

    async def _delete_project(self, request: Request, caller: Caller) -> Response:
        project = await self._project(request)
        if project.id == caller.project:
            raise BadRequest("the project of the key that asks cannot be deleted with it")
        end = self._store.acting_as(caller.key).end_project
        if not await self._freshness.ask(end, project.id):
            raise _no_project(project.id)
        return Json({"id": project.id, "object": "project.deleted", "deleted": True})

    async def _list_keys(self, request: Request, _: Caller) -> Response:
        project = await self._project(request)
        keys = await self._freshness.ask(self._store.keys, project.id)
        return Json({"object": "list", "data": [forms.shown_key(each) for each in keys]})

    async def _create_key(self, request: Request, caller: Caller) -> Response:
        said = {"name": "", **forms.columns(await read_json(request, forms.NewKey))}
        project = await self._project(request)
        _, token = new_token()
        add = self._store.acting_as(caller.key).add_key
        key = await self._freshness.ask(add, project.id, token=token, **said)
        return Json(forms.shown_key(key, token))

    async def _update_key(self, request: Request, caller: Caller) -> Response:
        said = forms.columns(await read_json(request, forms.KeyChange))
        change = self._store.acting_as(caller.key).change_key
        key = await self._freshness.ask(change, _id(request), said)
        if key is None:
            raise _no_key(_id(request))
        return Json(forms.shown_key(key))

    async def _revoke_key(self, request: Request, caller: Caller) -> Response:
        revoke = self._store.acting_as(caller.key).revoke_key
        if not await self._freshness.ask(revoke, _id(request)):
            raise _no_key(_id(request))
        return Json({"id": _id(request), "object": "key.revoked", "revoked": True})

    async def _list_audit(self, request: Request, _: Caller) -> Response:
        page = convert(dict(request.query_params), Page)
        found = await self._freshness.ask(
            self._store.audit_log, page.project, before=page.after, limit=page.limit + 1
        )
        data = [forms.shown_entry(each) for each in found[: page.limit]]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
        has_more = len(found) > page.limit
        listed = {"object": "list", "data": data, "first_id": None, "last_id": None}
        return Json({**listed, **ends, "has_more": has_more})

    async def _project(self, request: Request) -> Project:
        """Return the project that the path names, by its id or its name."""
        project = await self._freshness.ask(self._store.project, _id(request))
        if project is None:
            raise _no_project(_id(request))
        return project

    async def _shown(self, project: Project) -> Response:
        sizes = await self._freshness.ask(self._store.content_sizes)
        return Json(forms.shown_project(project, sizes.get(project.id, 0)))


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _refuse_no_name(said: dict[str, object]) -> None:
    if said.get("name") == "":
        raise BadRequest("name: a project's name cannot be empty", param="name")


def _no_project(name: str) -> NotFound:
    return NotFound(f"there is no project {name!r}")


def _no_key(key: str) -> NotFound:
    return NotFound(f"there is no key {key!r} that works")
