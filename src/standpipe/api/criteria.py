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
from standpipe.criteria import alignment, definition, selection
from standpipe.criteria.definition import Definition, refusal
from standpipe.criteria.judging import Judging
from standpipe.errors import BadRequest, NotFound
from standpipe.store.criteria import Criterion, CriterionVersion
from standpipe.store.store import Store

_LONGEST_NAME = 256
#: Versions that agree with people: the criterion's id and the number of each.
Aligned = frozenset[tuple[str, int]]


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
        made = await self._freshness.ask(add, caller.project, slug, kept, name)
        return Json(shown(made, frozenset()))

    async def _list(self, request: Request) -> Response:
        """GET /criteria."""
        caller = await reader(request, self._callers)
        found, aligned = await self._freshness.ask(self._found, caller.project)
        return Json({"object": "list", "data": [shown(each, aligned) for each in found]})

    async def _retrieve(self, request: Request) -> Response:
        """GET /criteria/{id}."""
        caller = await reader(request, self._callers)
        slug = _id(request)
        found, aligned = await self._freshness.ask(self._found, caller.project, [slug])
        if not found:
            raise _none(slug)
        return Json(shown(found[0], aligned))

    async def _add_version(self, request: Request) -> Response:
        """POST /criteria/{id}/versions."""
        caller = await writer(request, self._callers)
        kept = await self._kept(await read_json(request, dict[str, Any]))
        slug, add = _id(request), self._store.add_criterion_version
        if await self._freshness.ask(add, caller.project, slug, kept) is None:
            raise _none(slug)
        return await self._retrieve(request)

    async def _delete(self, request: Request) -> Response:
        """DELETE /criteria/{id}."""
        caller = await writer(request, self._callers)
        slug = _id(request)
        if not await self._freshness.ask(self._store.remove_criterion, caller.project, slug):
            raise _none(slug)
        return Json({"id": slug, "object": "criterion.deleted", "deleted": True})

    def _found(
        self, project: str, slugs: list[str] | None = None
    ) -> tuple[list[Criterion], Aligned]:
        """Return criteria, and which of their versions are aligned."""
        tallies = self._store.alignment_tallies(project, slugs, passes=alignment.PASSES)
        return self._store.criteria(project, slugs), alignment.aligned(tallies)

    async def _kept(self, body: dict[str, Any]) -> str:
        """Return a version as it is kept; BadRequest names what cannot be."""
        described: Definition = definition.parse(body)
        if fault := await self._judging.fault(described):
            raise refusal(*fault)
        return definition.kept(described)


def shown(criterion: Criterion, aligned: Aligned) -> dict[str, Any]:
    """Return a criterion, its versions with all that they are."""
    return {
        "id": criterion.slug,
        "object": "criterion",
        "name": criterion.name,
        "created_at": _iso(criterion.created_at),
        "version": f"v{criterion.latest.number}",
        "versions": [
            _version(each, aligned=(criterion.id, each.number) in aligned)
            for each in criterion.versions
        ],
    }


def _version(version: CriterionVersion, *, aligned: bool) -> dict[str, Any]:
    described = msgspec.json.decode(version.definition)
    number = f"v{version.number}"
    told = {"version": number, "created_at": _iso(version.created_at), "aligned": aligned}
    return {**told, **described}


def _iso(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _none(slug: str) -> NotFound:
    return NotFound(selection.missing(slug))
