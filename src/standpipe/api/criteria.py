"""Criteria over HTTP: made, listed, given versions and deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from standpipe.api.admin import Handler
from standpipe.api.freshness import Freshness
from standpipe.api.http import Json, read_json, reader, writer
from standpipe.api.nul import refuse_nul
from standpipe.calls.callers import Callers
from standpipe.criteria import definition, selection
from standpipe.criteria.definition import Definition, refusal
from standpipe.criteria.judging import Judging
from standpipe.errors import BadRequest, NotFound
from standpipe.store.criteria import Criterion, CriterionVersion
from standpipe.store.store import Store

_LONGEST_NAME = 256


class Criteria:
    """The handlers."""

    def __init__(
        self, callers: Callers, store: Store, freshness: Freshness, judging: Judging
    ) -> None:
        self._callers = callers
        self._store = store
        self._freshness = freshness
        self._judging = judging

    def handlers(self) -> dict[str, Handler]:
        """Return them by the names of their operations."""
        return {
            "createCriterion": self._create,
            "listCriteria": self._list,
            "getCriterion": self._retrieve,
            "addCriterionVersion": self._add_version,
            "deleteCriterion": self._delete,
        }

    async def _create(self, request: Request) -> Response:
        """POST /criteria."""
        caller = await writer(request, self._callers)
        body = await read_json(request, dict[str, Any])
        slug, name = body.pop("id", None), body.pop("name", "")
        if not isinstance(slug, str):
            raise BadRequest("id: a criterion needs a name to be called by", param="id")
        if not isinstance(name, str) or len(name) > _LONGEST_NAME:
            raise refusal("name", f"must be a text of at most {_LONGEST_NAME} characters")
        definition.check_slug(slug)
        refuse_nul({"name": name})
        kept = await self._kept(body)
        add = self._store.add_criterion
        return Json(shown(await self._freshness.ask(add, caller.project, slug, kept, name)))

    async def _list(self, request: Request) -> Response:
        """GET /criteria."""
        caller = await reader(request, self._callers)
        found = await self._freshness.ask(self._store.criteria, caller.project)
        return Json({"object": "list", "data": [shown(each) for each in found]})

    async def _retrieve(self, request: Request) -> Response:
        """GET /criteria/{id}."""
        caller = await reader(request, self._callers)
        slug = _id(request)
        found = await self._freshness.ask(self._store.criteria, caller.project, [slug])
        if not found:
            raise _none(slug)
        return Json(shown(found[0]))

    async def _add_version(self, request: Request) -> Response:
        """POST /criteria/{id}/versions."""
        caller = await writer(request, self._callers)
        kept = await self._kept(await read_json(request, dict[str, Any]))
        add = self._store.add_criterion_version
        criterion = await self._freshness.ask(add, caller.project, _id(request), kept)
        if criterion is None:
            raise _none(_id(request))
        return Json(shown(criterion))

    async def _delete(self, request: Request) -> Response:
        """DELETE /criteria/{id}."""
        caller = await writer(request, self._callers)
        slug = _id(request)
        if not await self._freshness.ask(self._store.remove_criterion, caller.project, slug):
            raise _none(slug)
        return Json({"id": slug, "object": "criterion.deleted", "deleted": True})

    async def _kept(self, body: dict[str, Any]) -> str:
        """Return a version as it is kept; BadRequest names what cannot be."""
        described: Definition = definition.parse(body)
        if fault := await self._judging.fault(described):
            raise refusal(*fault)
        return definition.kept(described)


def shown(criterion: Criterion) -> dict[str, Any]:
    """Return a criterion, its versions with all that they are."""
    return {
        "id": criterion.slug,
        "object": "criterion",
        "name": criterion.name,
        "created_at": _iso(criterion.created_at),
        "version": f"v{criterion.latest.number}",
        "versions": [_version(each) for each in criterion.versions],
    }


def _version(version: CriterionVersion) -> dict[str, Any]:
    described = msgspec.json.decode(version.definition)
    number = f"v{version.number}"
    return {"version": number, "created_at": _iso(version.created_at), **described}


def _iso(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _none(slug: str) -> NotFound:
    return NotFound(selection.missing(slug))
