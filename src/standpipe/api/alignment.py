"""How far the versions of a criterion agree with people, over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from standpipe.api.admin import Handler
from standpipe.api.freshness import Freshness
from standpipe.api.http import Json, convert, reader
from standpipe.calls.callers import Callers
from standpipe.criteria import alignment, alignment_report, selection
from standpipe.errors import BadRequest, NotFound
from standpipe.store.alignment import AlignmentRow
from standpipe.store.store import Store


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query."""

    #: From which score on an answer passes.
    passes: Annotated[float, msgspec.Meta(ge=0, le=1)] = alignment.PASSES
    #: Versions to compare, such as `v1`; both or none.
    earlier: str | None = None
    later: str | None = None


class AlignmentReports:
    """The handler."""

    def __init__(self, callers: Callers, store: Store, freshness: Freshness) -> None:
        self._callers = callers
        self._store = store
        self._freshness = freshness

    def handlers(self) -> dict[str, Handler]:
        """Return it by the name of its operation."""
        return {"getCriterionAlignment": self._report}

    async def _report(self, request: Request) -> Response:
        """GET /criteria/{id}/alignment."""
        caller = await reader(request, self._callers)
        asked = convert(dict(request.query_params), Asked)
        pair, slug = _pair(asked), str(request.path_params["id"])
        found = await self._freshness.ask(self._read, caller.project, slug)
        if found is None:
            raise NotFound(selection.missing(slug))
        rows, bar = found
        told = alignment_report.report(slug, rows, bar=bar, passes=asked.passes, pair=pair)
        return Json(told)

    def _read(self, project_id: str, slug: str) -> tuple[list[AlignmentRow], float] | None:
        rows = self._store.alignment_rows(project_id, slug, cases=False)
        project = self._store.project(project_id)
        if rows is None or project is None:
            return None
        return rows, alignment.BAR if project.alignment_bar is None else project.alignment_bar


def _pair(asked: Asked) -> tuple[int, int] | None:
    if asked.earlier is None and asked.later is None:
        return None
    for name in ("earlier", "later"):
        if getattr(asked, name) is None:
            raise BadRequest(f"{name}: earlier and later are given together", param=name)
    number = alignment_report.number
    return number("earlier", asked.earlier or ""), number("later", asked.later or "")
