"""Every route of the API, as data: the router, the OpenAPI document and the docs are made of it."""

from __future__ import annotations

from typing import Literal

import msgspec

PREFIXES = ("/api/v1", "/v1")

Auth = Literal["key", "admin", "none"]


class Endpoint(msgspec.Struct, frozen=True):
    """One method of one path under a prefix."""

    method: str
    path: str
    #: The spec's name where it has one (2.1), OpenAI's else.
    operation: str
    summary: str
    auth: Auth = "key"
    deprecated: bool = False
    #: Served only with `server.local_testing`.
    testing: bool = False
    #: Calls a model; answered in front of the router.
    calls: bool = False


#: For those who hold an admin key.
ADMIN: tuple[Endpoint, ...] = tuple(
    Endpoint(method, f"/admin{path}", operation, summary, auth="admin")
    for method, path, operation, summary in (
        ("GET", "/projects", "listProjects", "List the projects, oldest first."),
        ("POST", "/projects", "createProject", "Make a project."),
        ("GET", "/projects/{id}", "getProject", "Return a project."),
        ("POST", "/projects/{id}", "updateProject", "Change a project."),
        ("DELETE", "/projects/{id}", "deleteProject", "Delete a project for good."),
        ("GET", "/projects/{id}/keys", "listKeys", "List a project's keys, revoked ones too."),
        ("POST", "/projects/{id}/keys", "createKey", "Make a key, which is shown this once."),
        ("POST", "/keys/{id}", "updateKey", "Change what a key may do."),
        ("DELETE", "/keys/{id}", "revokeKey", "End a key for good."),
        ("GET", "/routes", "listRoutes", "List the routes that are configured."),
        ("GET", "/providers", "listProviders", "List the providers, without their keys."),
        ("GET", "/usage", "usageOfAll", "Say what all projects used and what it cost."),
        ("GET", "/audit", "listAudit", "List who changed projects and keys, newest first."),
    )
)

#: Under both prefixes.
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/chat/completions",
        "createChatCompletion",
        "Generate inference, and log the request if asked.",
        calls=True,
    ),
    Endpoint(
        "GET", "/chat/completions", "listChatCompletions", "List stored completions, oldest first."
    ),
    Endpoint(
        "GET",
        "/chat/completions/{id}",
        "getChatCompletion",
        "Return a stored completion, by the answer's id or the request id.",
    ),
    Endpoint(
        "POST",
        "/chat/completions/{id}",
        "updateChatCompletion",
        "Replace the metadata of a stored completion.",
    ),
    Endpoint(
        "DELETE", "/chat/completions/{id}", "deleteChatCompletion", "Delete a stored completion."
    ),
    Endpoint(
        "GET",
        "/chat/completions/{id}/messages",
        "getChatCompletionMessages",
        "List the messages that a stored completion answered.",
    ),
    Endpoint(
        "POST",
        "/messages",
        "createMessage",
        "Generate inference in Anthropic's form, with any model.",
        calls=True,
    ),
    Endpoint(
        "POST",
        "/responses",
        "createResponse",
        "Pass OpenAI's responses through to a provider that has them.",
        calls=True,
    ),
    Endpoint(
        "POST",
        "/completions",
        "createCompletion",
        "Pass OpenAI's older completions through to a provider that has them.",
        calls=True,
    ),
    Endpoint(
        "POST",
        "/embeddings",
        "createEmbedding",
        "Pass embeddings through to a provider that has them.",
        calls=True,
    ),
    Endpoint("POST", "/report", "report", "Record a call that was made elsewhere."),
    Endpoint(
        "POST",
        "/report-anthropic",
        "reportAnthropic",
        "Record a call that was made at Anthropic's; kept in OpenAI's form.",
    ),
    Endpoint(
        "POST",
        "/logs/update-metadata",
        "updateLogMetadata",
        "Set or remove metadata on every logged call that passes the filters.",
    ),
    Endpoint(
        "POST",
        "/logs/update-tags",
        "updateLogTags",
        "The older form of update-metadata.",
        deprecated=True,
    ),
    Endpoint("POST", "/criteria", "createCriterion", "Make a criterion."),
    Endpoint("GET", "/criteria", "listCriteria", "List the project's criteria."),
    Endpoint("GET", "/criteria/{id}", "getCriterion", "Return a criterion with its versions."),
    Endpoint(
        "POST", "/criteria/{id}/versions", "addCriterionVersion", "Give a criterion a new version."
    ),
    Endpoint(
        "GET",
        "/criteria/{id}/alignment",
        "getCriterionAlignment",
        "Say how far a criterion's versions agree with people.",
    ),
    Endpoint("DELETE", "/criteria/{id}", "deleteCriterion", "Delete a criterion for good."),
    Endpoint(
        "POST",
        "/criteria/judge",
        "getCriterionJudgement",
        "Judge an answer by a criterion.",
        calls=True,
    ),
    Endpoint("GET", "/usage", "usage", "Say what was used and what it cost, by hour or day."),
    Endpoint(
        "POST",
        "/logs/delete",
        "deleteLogs",
        "Delete every call that passes the filters, for good.",
    ),
    Endpoint(
        "POST",
        "/check-cache",
        "checkCache",
        "A leftover that never finds anything.",
        deprecated=True,
    ),
    Endpoint("GET", "/models", "listModels", "List the models that this key may call."),
    Endpoint("GET", "/models/{id}", "getModel", "Return one of the models."),
    Endpoint(
        "GET",
        "/local-testing-only-get-latest-logged-call",
        "localTestingOnlyGetLatestLoggedCall",
        "Return the newest logged call; for tests.",
        testing=True,
    ),
    Endpoint("GET", "/openapi.json", "openapi", "Return this description of the API.", auth="none"),
    *ADMIN,
)

#: Paths whose POST calls a model.
CALLS = frozenset(each.path for each in ENDPOINTS if each.calls)

#: Without a prefix.
ROOT_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/health", "health", "Say whether calls are served.", auth="none"),
    Endpoint("GET", "/health/live", "live", "Say that this process answers.", auth="none"),
    Endpoint("GET", "/health/ready", "ready", "Say whether to send calls here.", auth="none"),
    Endpoint("GET", "/metrics", "metrics", "Return what is counted, for Prometheus."),
    Endpoint("GET", "/openapi.json", "openapi", "Return the description of the API.", auth="none"),
    Endpoint("GET", "/docs", "docs", "Show the API in a browser.", auth="none"),
    Endpoint("GET", "/", "docs", "Show the API in a browser.", auth="none"),
)
