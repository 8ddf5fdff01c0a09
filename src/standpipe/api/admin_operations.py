"""What each operation of administrators takes and gives, as data."""

from __future__ import annotations

from typing import Any

from standpipe import errors
from standpipe.api.operation import JSON, Operation, Query
from standpipe.api.schema import Schema, ref, text, whole
from standpipe.api.usage_schema import USAGE_QUERY

ADMINISTRATION = "Administration"

_PROJECT_ID = "The project's id, or its name."
_KEY_ID = "The key's public id."
_NOT_FOUND = (errors.NotFound,)
_STAYS = "What is not given stays as it is. `limits` are given whole."

_LIMITS: dict[str, Any] = {"requests_per_minute": 600, "dollars_per_month": "250"}


def _json(name: str) -> dict[str, Schema]:
    return {JSON: ref(name)}


ADMIN_OPERATIONS: dict[str, Operation] = {
    "listProjects": Operation(ADMINISTRATION, "The projects.", _json("ProjectList")),
    "createProject": Operation(
        ADMINISTRATION,
        "The project; it has no key yet.",
        _json("Project"),
        body="NewProject",
        examples={"limited": {"name": "support-bot", "content_days": 30, "limits": _LIMITS}},
    ),
    "getProject": Operation(
        ADMINISTRATION, "The project.", _json("Project"), names=_PROJECT_ID, errors=_NOT_FOUND
    ),
    "updateProject": Operation(
        ADMINISTRATION,
        "The project as it is now.",
        _json("Project"),
        more=_STAYS,
        body="ProjectChange",
        names=_PROJECT_ID,
        examples={"keep less": {"content_days": 7, "limits": None}},
        errors=_NOT_FOUND,
    ),
    "deleteProject": Operation(
        ADMINISTRATION,
        "It is deleted.",
        _json("ProjectDeletion"),
        more="Its keys end at once; its calls are seen by nobody any more and are deleted in the "
        "background. It cannot be undone. The project of the key that asks is refused.",
        names=_PROJECT_ID,
        errors=(errors.BadRequest, errors.NotFound),
    ),
    "listKeys": Operation(
        ADMINISTRATION, "The keys.", _json("KeyList"), names=_PROJECT_ID, errors=_NOT_FOUND
    ),
    "createKey": Operation(
        ADMINISTRATION,
        "The key: `key` is what its holder sends, and is kept nowhere.",
        _json("MadeKey"),
        more="A key for these routes is made on the machine alone, by `standpipe keys create "
        "--admin`.",
        body="NewKey",
        names=_PROJECT_ID,
        examples={"plain": {"name": "ci"}, "limited": {"models": ["gpt-4o*"], "limits": _LIMITS}},
        errors=_NOT_FOUND,
    ),
    "updateKey": Operation(
        ADMINISTRATION,
        "The key as it is now.",
        _json("Key"),
        more=f"{_STAYS} Running servers learn of it within 2 seconds.",
        body="KeyChange",
        names=_KEY_ID,
        examples={"keep no text": {"content": "none", "expires_at": "2100-01-01T00:00:00Z"}},
        errors=_NOT_FOUND,
    ),
    "revokeKey": Operation(
        ADMINISTRATION,
        "It is revoked.",
        _json("KeyRevocation"),
        more="Running servers learn of it within 2 seconds.",
        names=_KEY_ID,
        errors=_NOT_FOUND,
    ),
    "listRoutes": Operation(ADMINISTRATION, "The routes.", _json("RouteList")),
    "listProviders": Operation(
        ADMINISTRATION,
        "The providers, those of this machine last.",
        _json("ProviderList"),
        more="Of URLs without user, password and query.",
    ),
    "usageOfAll": Operation(
        ADMINISTRATION,
        "What was used, and what that cost.",
        _json("UsageReport"),
        more="As `/usage`, of all projects; `group` may have `project` too.",
        query=(Query("project", "Only of the project with this id.", text()), *USAGE_QUERY),
        errors=(errors.BadRequest,),
    ),
    "listAudit": Operation(
        ADMINISTRATION,
        "A page of changes.",
        _json("AuditList"),
        more="Those of the command line too. Each was noted in the transaction that made it.",
        query=(
            Query("project", "Only of the project with this id, removed or not.", text()),
            Query("after", "The `last_id` of the page before.", text()),
            Query("limit", "How many.", whole(1, 100) | {"default": 20}),
        ),
        errors=(errors.BadRequest,),
    ),
}
