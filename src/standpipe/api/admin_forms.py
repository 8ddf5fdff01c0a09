"""Bodies that the admin API takes, and projects, keys and changes as it shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from standpipe.config import Content
from standpipe.errors import BadRequest
from standpipe.limits import limits
from standpipe.store.audit import Entry
from standpipe.store.rows import Key, Project, now_us

_LONGEST = 64

Days = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]
Patterns = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=256)], ...],
    msgspec.Meta(max_length=100),
]
LimitsBody = dict[str, Any]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a project or a key; what is not given stays as it is."""


class ProjectChange(Body, frozen=True, kw_only=True):
    """The body that changes a project."""

    name: str | UnsetType = UNSET
    content_days: Days | UnsetType | None = UNSET
    records_days: Days | UnsetType | None = UNSET
    content_bytes: Bytes | UnsetType | None = UNSET
    limits: LimitsBody | UnsetType | None = UNSET


class NewProject(ProjectChange, frozen=True, kw_only=True):
    """The body that makes a project."""

    name: str


class KeyChange(Body, frozen=True, kw_only=True):
    """The body that changes a key."""

    name: str | UnsetType = UNSET
    content: Content | UnsetType | None = UNSET
    models: Patterns | UnsetType | None = UNSET
    expires_at: str | UnsetType | None = UNSET
    limits: LimitsBody | UnsetType | None = UNSET


class NewKey(KeyChange, frozen=True, kw_only=True):
    """The body that makes a key; one for the admin API is made on the machine alone."""

    read_only: bool = False


def columns(body: Body) -> dict[str, Any]:
    """Return what a body says, as the store keeps it; BadRequest names what cannot be."""
    given = {
        name: value
        for name in body.__struct_fields__
        if (value := getattr(body, name)) is not UNSET
    }
    return {name: _COLUMNS.get(name, _as_it_is)(value) for name, value in given.items()}


def _as_it_is(value: Any) -> Any:
    return value


def _name(name: str) -> str:
    if len(name) > _LONGEST or not name.isprintable() or name != name.strip():
        raise BadRequest(
            f"name: {name!r}: must be at most {_LONGEST} printable characters", param="name"
        )
    return name


def _limits(given: LimitsBody | None) -> str | None:
    return limits.text_of(limits.checked(given or {}))


def _models(patterns: tuple[str, ...] | None) -> str | None:
    return None if patterns is None else msgspec.json.encode(patterns).decode()


def _expiry(text: str | None) -> int | None:
    """Return microseconds since the Unix epoch of a date and time; without a zone it is in UTC."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
        found = round(when.replace(tzinfo=when.tzinfo or UTC).timestamp()) * 1_000_000
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            f"expires_at: {text!r}: say a date and time such as 2030-01-31T12:00:00Z",
            param="expires_at",
        ) from error
    if found <= now_us():
        raise BadRequest(f"expires_at: {text!r} is past", param="expires_at")
    return found


_COLUMNS: Mapping[str, Callable[[Any], Any]] = {
    "name": _name,
    "limits": _limits,
    "models": _models,
    "expires_at": _expiry,
}


def shown_project(project: Project, text_bytes: int) -> dict[str, Any]:
    """Return a project; `text_bytes` is what its texts take."""
    return {
        "id": project.id,
        "object": "project",
        "name": project.name,
        "created_at": _iso(project.created_at),
        "content_days": project.content_days,
        "records_days": project.records_days,
        "content_bytes": project.content_bytes,
        "limits": _raw(project.limits),
        "text_bytes": text_bytes,
    }


def shown_key(key: Key, token: str | None = None) -> dict[str, Any]:
    """Return a key, with its token where it was made just now."""
    shown = {
        "id": key.id,
        "object": "key",
        "project": key.project,
        "name": key.name,
        "read_only": key.read_only,
        "admin": bool(key.admin),
        "content": key.content,
        "models": _raw(key.models),
        "limits": _raw(key.limits),
        "created_at": _iso(key.created_at),
        "expires_at": _iso(key.expires_at),
        "revoked_at": _iso(key.revoked_at),
    }
    return shown if token is None else {**shown, "key": token}


def shown_entry(entry: Entry) -> dict[str, Any]:
    """Return an entry of the audit log."""
    return {
        "id": entry.id,
        "object": "audit.entry",
        "at": _iso(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "project": entry.project,
        "target": entry.target,
        "detail": _raw(entry.detail),
    }


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())


def _iso(microseconds: int | None) -> str | None:
    if microseconds is None:
        return None
    return f"{datetime.fromtimestamp(microseconds // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
