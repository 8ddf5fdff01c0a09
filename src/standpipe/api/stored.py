"""OpenAI's stored completions: list, retrieve, update, delete, and their messages.

Source: https://platform.openai.com/docs/api-reference/chat/list. What is stored are the logged
calls that ended well, reported ones among them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from standpipe.api.freshness import Freshness
from standpipe.api.http import Json, convert, read_json, reader, writer
from standpipe.api.labels import Labels, told
from standpipe.api.nul import refuse_nul
from standpipe.calls.callers import Callers
from standpipe.errors import BadRequest, NotFound
from standpipe.store.rows import Row
from standpipe.store.store import Store

Metadata = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]],
    msgspec.Meta(max_length=16),
]


T = TypeVar("T")


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list."""

    model: str | None = None
    after: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "asc"


class Update(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an update."""

    metadata: Metadata


class Stored:
    """The handlers."""

    def __init__(
        self, callers: Callers, store: Store, freshness: Freshness, labels: Labels
    ) -> None:
        self._labels = labels
        self._callers = callers
        self._store = store
        self._freshness = freshness

    async def list(self, request: Request) -> Response:
        """GET /chat/completions."""
        caller = await reader(request, self._callers)
        plain, metadata = _query(request)
        page = convert(plain, Page)
        await self._freshness.wait()
        rows, has_more = await self._freshness.ask(
            self._store.completions,
            caller.project,
            model=page.model,
            metadata=metadata,
            after=page.after,
            limit=page.limit,
            order=page.order,
        )
        return Json(_listing([completion(row) for row in rows], has_more=has_more))

    async def retrieve(self, request: Request) -> Response:
        """GET /chat/completions/{id}."""
        caller = await reader(request, self._callers)
        return Json(completion(await self._find(caller.project, _id(request))))

    async def messages(self, request: Request) -> Response:
        """GET /chat/completions/{id}/messages."""
        caller = await reader(request, self._callers)
        page = convert(_query(request)[0], Page)
        row = await self._find(caller.project, _id(request))
        listed = _messages(row)
        if page.order == "desc":
            listed.reverse()
        start = _start(listed, page.after)
        shown = listed[start : start + page.limit]
        return Json(_listing(shown, has_more=start + page.limit < len(listed)))

    async def update(self, request: Request) -> Response:
        """POST /chat/completions/{id}: replace the metadata."""
        caller = await writer(request, self._callers)
        body = await read_json(request, Update)
        refuse_nul(body.metadata, "metadata")
        row = await self._find(caller.project, _id(request))
        kept = await self._labels.kept(request, caller, body.metadata)
        values = {name: value for name, value in kept.items() if value is not None}
        changed = await self._freshness.ask(
            self._store.set_metadata, caller.project, row.id, values
        )
        if changed is None:
            raise _no_completion(_id(request))
        return Json(completion(changed), headers=told(body.metadata, kept))

    async def delete(self, request: Request) -> Response:
        """DELETE /chat/completions/{id}."""
        caller = await writer(request, self._callers)
        row = await self._find(caller.project, _id(request))
        await self._freshness.ask(self._store.delete_record, caller.project, row.id)
        deleted = {"object": "chat.completion.deleted", "id": _id(request), "deleted": True}
        return Json(deleted)

    async def _find(self, project: str, name: str) -> Row:
        await self._freshness.wait()
        row = await self._freshness.ask(self._store.completion, project, name)
        if row is None:
            raise _no_completion(name)
        return row


#: Fields of the request that OpenAI shows on a stored completion.
_SHOWN = (
    "tool_choice", "seed", "top_p", "temperature", "presence_penalty", "frequency_penalty",
    "tools", "response_format",
)  # fmt: skip


def completion(row: Row) -> dict[str, Any]:
    """Return a row as OpenAI shows a stored completion."""
    request, response = _object(row.request), _object(row.response)
    shown = {name: request.get(name) for name in _SHOWN}
    certain = {
        "object": "chat.completion",
        "created": row.requested_at // 1_000_000,
        "model": row.model or "",
        "choices": [],
        "usage": _usage(row),
    }
    extra = {
        # Also where a report's answer has an id that is no text: a list goes on from this one.
        "id": row.completion_id or row.id,
        "request_id": row.id,
        "input_user": request.get("user"),
        "metadata": row.metadata,
        **shown,
    }
    return {"id": "", **certain, **response, **extra}


def _usage(row: Row) -> dict[str, Any] | None:
    """Return the usage of a stream whose caller did not ask for it, or that was estimated."""
    if row.usage is None:
        return None
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: getattr(row.usage, name) for name in names}


def _messages(row: Row) -> list[dict[str, Any]]:
    found = _decoded(_object(row.request).get("messages"), list[msgspec.Raw]) or []
    messages = [m for raw in found if (m := _decoded(raw, dict[str, msgspec.Raw])) is not None]
    name = row.completion_id or row.id
    return [_message(message, f"{name}-{index}") for index, message in enumerate(messages)]


def _message(message: dict[str, msgspec.Raw], name: str) -> dict[str, Any]:
    content = message.get("content")
    parts = _decoded(content, list[msgspec.Raw])
    text = None if parts is not None else content
    return {**message, "id": name, "content": text, "content_parts": parts}


def _start(listed: list[dict[str, Any]], after: str | None) -> int:
    if after is None:
        return 0
    for index, message in enumerate(listed):
        if message["id"] == after:
            return index + 1
    raise NotFound(f"after: there is no message {after!r}", param="after")


def _listing(items: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": has_more,
    }


#: Conditions on metadata that a list takes: no call has more names than this.
_MOST_LABELS = 16

_LABEL = re.compile(r"metadata\[(.*)\]", re.DOTALL)


def _query(request: Request) -> tuple[dict[str, str], dict[str, str]]:
    """Return the plain parameters and the `metadata[name]` ones.

    Raises BadRequest for one that is given twice or has a NUL, and for too many of the latter.
    """
    plain: dict[str, str] = {}
    labels: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        match = _LABEL.fullmatch(name)
        into, key = (labels, match[1]) if match else (plain, name)
        if key in into:
            raise BadRequest(f"{name}: given twice", param=name)
        into[key] = value
    refuse_nul(plain)
    refuse_nul(labels, "metadata")
    if len(labels) > _MOST_LABELS:
        raise BadRequest(f"metadata: at most {_MOST_LABELS} names", param="metadata")
    return plain, labels


def _object(text: str | None) -> dict[str, msgspec.Raw]:
    """Return the fields as they came: some cannot be decoded, such as a number no float holds."""
    return _decoded(text, dict[str, msgspec.Raw]) or {}


def _decoded(text: str | bytes | msgspec.Raw | None, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(text, type=kind) if text else None
    except (msgspec.DecodeError, RecursionError):  # anything may have been reported
        return None


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _no_completion(name: str) -> NotFound:
    return NotFound(f"No stored completion {name!r} in this project", param="completion_id")
