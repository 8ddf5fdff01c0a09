"""What the admin API takes and gives, as JSON Schema."""

from __future__ import annotations

from standpipe.api.schema import (
    Schema,
    array,
    either,
    filled,
    flag,
    mapping,
    nullable,
    nullables,
    number,
    of,
    one_of,
    record,
    ref,
    text,
    whole,
)
from standpipe.limits.limits import MOST, MOST_DOLLARS

_TIME = text(format="date-time")
_DAYS = number(0, 1e6, "0 is for ever; null is what the configuration says.")
_BYTES = of("integer", "0 is no limit; null is what the configuration says.", minimum=0)
_COUNT = whole(0, MOST)
_DOLLARS = either(number(0, float(MOST_DOLLARS)), text(pattern=r"^\d+(\.\d{1,12})?$"))
_CONTENT = nullable(
    one_of(
        "full",
        "redacted",
        "none",
        description="What is kept of its calls' text; null is what the configuration says.",
    )
)
_MODELS = nullable(
    array(
        text(minLength=1, maxLength=256),
        "Patterns of the models it may ask for; null is all.",
        maxItems=100,
    )
)
_EXPIRY = nullable(_TIME | {"description": "From then on it works no more; null is never."})
_LIMITS = ref("Limits", "All of its limits; null takes them away.")

_KEPT = nullables({"content_days": _DAYS, "records_days": _DAYS, "content_bytes": _BYTES})
_PROJECT_SETTINGS = {**_KEPT, "limits": nullable(_LIMITS)}
_KEY_SETTINGS = {
    "name": text("What it is for.", maxLength=64),
    "content": _CONTENT,
    "models": _MODELS,
    "expires_at": _EXPIRY,
    "limits": nullable(_LIMITS),
}
_NAME = filled("Printable characters, no other project's.") | {"maxLength": 64}


def _object(name: str) -> Schema:
    return {"type": "string", "const": name}


def _list(name: str) -> Schema:
    return record({"object": _object("list"), "data": array(ref(name))})


_KEY: dict[str, Schema] = {
    "id": text("Its public id."),
    "object": _object("key"),
    "project": text("Id of its project."),
    "read_only": flag(),
    "admin": flag("It may use these routes."),
    "created_at": _TIME,
    "revoked_at": nullable(_TIME),
    **_KEY_SETTINGS,
}
_TARGETS = array(
    record(
        {
            "provider": text(),
            "model": text(),
            "weight": of("number"),
            "max_in_flight": of("integer"),
            "parameters": array(text(), "Names of the fields that it sets."),
        }
    )
)

ADMIN: dict[str, Schema] = {
    "Limits": record(
        {},
        nullables(
            {
                "requests_per_minute": _COUNT,
                "tokens_per_minute": _COUNT,
                "concurrent_calls": _COUNT,
                "dollars_per_day": _DOLLARS,
                "dollars_per_month": _DOLLARS,
            }
        ),
        description="What is not given is not limited.",
        closed=True,
    ),
    "Project": record(
        {
            "id": text(),
            "object": _object("project"),
            "name": text(),
            "created_at": _TIME,
            **_PROJECT_SETTINGS,
            "text_bytes": of("integer", "What its texts take.", minimum=0),
        }
    ),
    "NewProject": record({"name": _NAME}, _PROJECT_SETTINGS, closed=True),
    "ProjectChange": record({}, {"name": _NAME, **_PROJECT_SETTINGS}, closed=True),
    "ProjectList": _list("Project"),
    "ProjectDeletion": record(
        {"id": text(), "object": _object("project.deleted"), "deleted": flag()}
    ),
    "Key": record(_KEY),
    "MadeKey": record({**_KEY, "key": text("The key itself, shown this once.")}),
    "NewKey": record({}, {**_KEY_SETTINGS, "read_only": flag(default=False)}, closed=True),
    "KeyChange": record({}, _KEY_SETTINGS, closed=True),
    "KeyList": _list("Key"),
    "KeyRevocation": record({"id": text(), "object": _object("key.revoked"), "revoked": flag()}),
    "Route": record(
        {
            "name": text("The model's name."),
            "targets": _TARGETS,
            "fallback": _TARGETS,
            "retries": of("integer"),
            "choice": one_of("weighted", "fastest"),
            "sticky": text(),
            "max_in_flight": of("integer"),
            "failures": of("integer"),
            "rest": of("number", "Seconds."),
        }
    ),
    "RouteList": _list("Route"),
    "Provider": record(
        {
            "name": text(),
            "dialect": text(),
            "base_url": nullable(text("Null for what is on this machine.")),
            "has_key": flag("A key of it is configured."),
            "models": array(text(), "Those that are listed."),
        }
    ),
    "ProviderList": _list("Provider"),
    "AuditEntry": record(
        {
            "id": text(format="uuid"),
            "object": _object("audit.entry"),
            "at": _TIME,
            "actor": text("Public id of the key that it was changed with, or `cli`."),
            "action": one_of(
                "project.created",
                "project.changed",
                "project.removed",
                "project.restored",
                "key.created",
                "key.changed",
                "key.revoked",
                "key.restored",
            ),
            "project": nullable(text("Id of the project.")),
            "target": nullable(text("Id of what was changed.")),
            "detail": mapping(
                None, "Of something new, what it is; of a change, `from` and `to` of each field."
            ),
        }
    ),
    "AuditList": record(
        {
            "object": _object("list"),
            "data": array(ref("AuditEntry")),
            "first_id": nullable(text()),
            "last_id": nullable(text("Give it as `after` for the next page.")),
            "has_more": flag(),
        }
    ),
}
