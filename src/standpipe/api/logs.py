"""Labels on logged calls after the fact, and the newest one for tests; spec 2.4, 2.5."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from standpipe.api.freshness import Freshness
from standpipe.api.http import Json, read_json, reader, writer
from standpipe.api.labels import Labels, told
from standpipe.api.nul import refuse_nul
from standpipe.calls.callers import Caller, Callers
from standpipe.store.rows import Filter, Row
from standpipe.store.store import Store

Scalar = str | float | bool


class FilterBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A condition: the field's text equals this."""

    field: str
    equals: Scalar | int


#: Each is a condition of one query, and a database takes only so many.
Filters = Annotated[list[FilterBody], msgspec.Meta(max_length=100)]


class MetadataUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of /logs/update-metadata."""

    filters: Filters
    metadata: dict[str, str | None]


class TagsUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of /logs/update-tags."""

    filters: Filters
    tags: dict[str, Scalar | int | None]


class LogDeletion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of /logs/delete: without a condition, it would be every call."""

    filters: Annotated[list[FilterBody], msgspec.Meta(min_length=1, max_length=100)]


class Logs:
    """The handlers."""

    def __init__(
        self, callers: Callers, store: Store, freshness: Freshness, labels: Labels
    ) -> None:
        self._labels = labels
        self._callers = callers
        self._store = store
        self._freshness = freshness

    async def update_metadata(self, request: Request) -> Response:
        """POST /logs/update-metadata."""
        caller = await writer(request, self._callers)
        body = await read_json(request, MetadataUpdate)
        refuse_nul(body.metadata, "metadata")
        return await self._update(request, caller, body.filters, body.metadata)

    async def update_tags(self, request: Request) -> Response:
        """POST /logs/update-tags, the deprecated form: values of any scalar type become text."""
        caller = await writer(request, self._callers)
        body = await read_json(request, TagsUpdate)
        refuse_nul(body.tags, "tags")
        changes = {n: None if v is None else scalar_text(v) for n, v in body.tags.items()}
        return await self._update(request, caller, body.filters, changes)

    async def delete(self, request: Request) -> Response:
        """POST /logs/delete."""
        caller = await writer(request, self._callers)
        body = await read_json(request, LogDeletion)
        conditions = _conditions(body.filters)
        await self._freshness.wait()
        deleted = await self._freshness.change(
            self._store.delete_records, caller.project, conditions
        )
        counts = {
            "calls": deleted.calls,
            "messages": deleted.messages,
            "bytes": deleted.bytes,
            "usageRows": deleted.usage_rows,
        }
        return Json({"deleted": counts})

    async def latest(self, request: Request) -> Response:
        """GET /local-testing-only-get-latest-logged-call."""
        caller = await reader(request, self._callers)
        await self._freshness.wait()
        row = await self._freshness.ask(self._store.latest, caller.project)
        return Json(None if row is None else _logged_call(row))

    async def _update(
        self,
        request: Request,
        caller: Caller,
        filters: list[FilterBody],
        changes: dict[str, str | None],
    ) -> Response:
        kept = await self._labels.kept(request, caller, changes)
        conditions = _conditions(filters)
        await self._freshness.wait()
        matched = await self._freshness.change(
            self._store.update_metadata, caller.project, conditions, kept
        )
        return Json({"matchedLogs": matched}, headers=told(changes, kept))


def _conditions(filters: list[FilterBody]) -> list[Filter]:
    for n, each in enumerate(filters):
        refuse_nul({"field": each.field, "equals": each.equals}, f"filters[{n}]")
    return [Filter(each.field, scalar_text(each.equals)) for each in filters]


def scalar_text(value: Scalar) -> str:
    """Return a tag's value as the text that is kept: `true`, `1`, `1.5` (spec 1.3)."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _logged_call(row: Row) -> dict[str, Any]:
    created = datetime.fromtimestamp(row.requested_at / 1e6, UTC)
    return {
        "createdAt": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "cacheHit": row.cache_hit,
        "statusCode": row.status,
        "errorMessage": row.error,
        "reqPayload": _raw(row.request),
        "respPayload": _raw(row.response),
        "tags": row.metadata,
        "metadata": row.metadata,
    }


def _raw(text: str | None) -> msgspec.Raw:
    return msgspec.Raw(text.encode() if text else b"null")
