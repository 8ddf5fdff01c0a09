"""What each operation of `endpoints` takes and gives: the rest of its description, as data."""

from __future__ import annotations

from typing import Any

from standpipe import errors
from standpipe.api.admin_operations import ADMIN_OPERATIONS
from standpipe.api.admin_schema import ADMIN
from standpipe.api.criteria_operations import CRITERIA_OPERATIONS
from standpipe.api.criteria_schema import CRITERIA
from standpipe.api.operation import CALL_ERRORS, EVENTS, JSON, Header, Operation, Query
from standpipe.api.passed_schema import PASSED
from standpipe.api.schema import Schema, either, mapping, one_of, ref, text, whole
from standpipe.api.usage_schema import USAGE, USAGE_QUERY

#: Request headers, besides `Authorization` and HTTP's own.
CONTROL: dict[str, Header] = {
    "op-log-request": Header(
        "Keep the text of this call, or do not. Goes before the body's `store` and the configured "
        "default. A call that is not logged leaves its numbers alone.",
        one_of("true", "false"),
    ),
    "op-tags": Header(
        "The older way to give `metadata`: a JSON object of strings, numbers, booleans or nulls. "
        "Numbers and booleans become text, empty values are dropped, and in a name whatever is "
        "not a letter, digit, `_`, `$` or `.` becomes `_`. Where both give a name, this wins.",
        text(),
        deprecated=True,
    ),
    "op-cache": Header(
        "What to do with the response cache: `readWrite`, `readOnly` or `writeOnly`; anything else "
        "is no cache. Of chat completions alone; elsewhere these are refused with 400.",
        text(),
    ),
    "op-criteria": Header(
        "Criteria to judge every choice by, best first in the answer: a JSON list of at most 16 "
        "ids, each with `@v2` behind it where not the latest version is meant. Of chat completions "
        "and messages alone; elsewhere anything but an empty list is refused with 400.",
        text(),
    ),
    "standpipe-criteria-timeout": Header(
        "Seconds for all judges of this call together, 60 where nothing is said; those that take "
        "longer are an error in the results.",
        text(),
    ),
    "standpipe-criteria-budget": Header(
        "US dollars for all judges of this call together; those that may cost more than is left "
        "are an error in the results.",
        text(),
    ),
    "standpipe-fidelity": Header(
        "What to do with a field that the model's provider cannot honour: refuse the call with "
        "400, or, where the answer would still be of use, drop the field and say so in the "
        "answer's header of this name.",
        one_of("strict", "best-effort"),
    ),
    "standpipe-fallback": Header(
        "Models to try, in this order, where the one that was asked for and what its route falls "
        "back on have failed: a JSON list of at most 10 names, any that may be asked for. Nothing "
        "is tried after the first byte of an answer.",
        text(),
    ),
    "x-api-key": Header(
        "The key, where Anthropic's clients send it; `Authorization` does as well.", text()
    ),
    "traceparent": Header(
        "W3C trace context: the span that the call is made in. Kept with the call, and passed on "
        "to providers where the gateway is set up to do so.",
        text(),
    ),
    "tracestate": Header("Passed on with `traceparent`, and kept nowhere.", text()),
    "x-stainless-retry-count": Header(
        "How often the client tried before; OpenAI's clients send it. Kept with the call.", text()
    ),
    "user-agent": Header("Kept with the call.", text()),
}

ANSWER_HEADERS: dict[str, Header] = {
    "x-request-id": Header(
        "Names this request, on every answer. Of a call it is the id of its record, and finds it "
        "as a stored completion.",
        text(format="uuid"),
    ),
    "request-id": Header("The same, where Anthropic's clients look for it.", text(format="uuid")),
    "standpipe-model": Header("The model as its provider names it.", text()),
    "standpipe-cache": Header(
        "Whether the answer is from the response cache, where that was asked for.",
        one_of("hit", "miss"),
    ),
    "standpipe-fidelity": Header(
        "What of the request the provider does not do itself: `<feature>=emulated` where the "
        "gateway did it, `<feature>=dropped` where the caller wanted best effort; several are "
        "joined by commas. Nothing is ignored without being named here.",
        text(),
    ),
    "x-ratelimit-limit-requests": Header(
        "Requests a minute, where the key or its project is held to that: of both, what is nearest "
        "to its limit.",
        whole(0, 10**9),
    ),
    "x-ratelimit-remaining-requests": Header("How many are left.", whole(0, 10**9)),
    "x-ratelimit-reset-requests": Header("After how long all are there again, as `12.5s`.", text()),
    "x-ratelimit-limit-tokens": Header(
        "Tokens a minute, where the key or its project is held to that.", whole(0, 10**9)
    ),
    "x-ratelimit-remaining-tokens": Header(
        "How many are left, with those that this call may take counted.", whole(0, 10**9)
    ),
    "x-ratelimit-reset-tokens": Header("After how long all are there again.", text()),
    "retry-after": Header("Seconds to wait before another try.", whole(1, 10**6)),
    "x-should-retry": Header(
        "`false` where the gateway has tried again itself; OpenAI's clients heed it.",
        one_of("false"),
    ),
    "allow": Header("With 405: the methods that the path has.", text()),
}

_MESSAGES = [{"role": "user", "content": "Name three rivers."}]
#: Any model that a provider of the name `openai` has; the page leaves the choice open.
_MODEL = "gpt-4o-mini"

_CHAT_EXAMPLES: dict[str, Any] = {
    "simple": {"model": _MODEL, "messages": _MESSAGES},
    "logged": {
        "model": _MODEL,
        "messages": _MESSAGES,
        "store": True,
        "metadata": {"prompt_id": "rivers-1"},
    },
    "streamed": {
        "model": _MODEL,
        "messages": _MESSAGES,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "tools": {
        "model": _MODEL,
        "messages": [{"role": "user", "content": "How warm is it in Paris?"}],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "parameters": {
                        "type": "object",
                        "properties": {"city": {"type": "string"}},
                        "required": ["city"],
                    },
                },
            }
        ],
        "tool_choice": "auto",
    },
    "json": {
        "model": _MODEL,
        "messages": _MESSAGES,
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "rivers",
                "schema": {"type": "array", "items": {"type": "string"}},
            },
        },
    },
}

_AFTER = Query("after", "The `last_id` of the page before.", text())
_LIMIT = Query("limit", "How many.", whole(1, 100) | {"default": 20})
_ORDER = Query("order", "By time.", one_of("asc", "desc") | {"default": "asc"})
_LABELS = Query(
    "metadata", "Only those with this label: `metadata[name]=value`.", mapping(text()), "deepObject"
)

_CHAT_HEADERS = tuple(name for name in CONTROL if name != "x-api-key")
_CRITERIA_HEADERS = ("standpipe-criteria-timeout", "standpipe-criteria-budget")
_PASSED_HEADERS = tuple(
    name for name in _CHAT_HEADERS if name not in ("standpipe-fidelity", *_CRITERIA_HEADERS)
)
_PASSES = (
    "Goes as it is to a provider that speaks OpenAI's form; one of another form, and the embedded "
    "model, refuse it with 400. It leaves a record of its own kind and is no stored completion."
)

_NOT_FOUND = (errors.NotFound,)
#: On every answer of a call whose key or project has such limits.
RATES = tuple(name for name in ANSWER_HEADERS if name.startswith("x-ratelimit-"))


def _json(name: str) -> dict[str, Schema]:
    return {JSON: ref(name)}


INFERENCE, STORED, LOGS, MODELS, SERVICE = (
    "Inference",
    "Stored completions",
    "Logs",
    "Models",
    "Service",
)

_ANSWER_ID = "The answer's `id`, or the `x-request-id` of the call."
_MATCHED = "How many calls passed the filters."
_ERROR_EVENT = ref("ErrorEvent")

OPERATIONS: dict[str, Operation] = {
    "createChatCompletion": Operation(
        INFERENCE,
        "The completion; with `stream: true`, its chunks as events.",
        {JSON: ref("Completion"), EVENTS: either(ref("Chunk"), _ERROR_EVENT)},
        more="Errors of a provider come with its own status and message, and as 502 or 504 where "
        "it gave none that is of use. An error before the first event of a stream is an ordinary "
        "answer; a later one is the stream's last event, and no `[DONE]` follows.",
        body="ChatRequest",
        examples=_CHAT_EXAMPLES,
        headers=_CHAT_HEADERS,
        answer_headers=("standpipe-model", "standpipe-cache", "standpipe-fidelity", *RATES),
        errors=CALL_ERRORS,
    ),
    "createMessage": Operation(
        INFERENCE,
        "The message; with `stream: true`, its events.",
        {JSON: ref("AnthropicMessage"), EVENTS: ref("AnthropicEvent")},
        more="Anthropic's Messages API in front of every model. The call is a chat completion: "
        "it is routed, checked, recorded and stored as one, in OpenAI's form. Errors have "
        "Anthropic's form.",
        body="AnthropicRequest",
        examples={"simple": {"model": _MODEL, "max_tokens": 100, "messages": _MESSAGES}},
        headers=tuple(CONTROL),
        answer_headers=(
            *("request-id", "standpipe-model", "standpipe-cache", "standpipe-fidelity"),
            *RATES,
        ),
        errors=CALL_ERRORS,
    ),
    "createResponse": Operation(
        INFERENCE,
        "The response; with `stream: true`, its events.",
        {JSON: ref("Response"), EVENTS: ref("ResponseEvent")},
        more=_PASSES,
        body="ResponsesRequest",
        examples={"simple": {"model": _MODEL, "input": "Name three rivers."}},
        headers=_PASSED_HEADERS,
        answer_headers=("standpipe-model", *RATES),
        errors=CALL_ERRORS,
    ),
    "createCompletion": Operation(
        INFERENCE,
        "The completion; with `stream: true`, its chunks as events.",
        {JSON: ref("TextCompletion"), EVENTS: either(ref("TextCompletion"), _ERROR_EVENT)},
        more=_PASSES,
        body="CompletionsRequest",
        examples={"simple": {"model": _MODEL, "prompt": "Three rivers are"}},
        headers=_PASSED_HEADERS,
        answer_headers=("standpipe-model", *RATES),
        errors=CALL_ERRORS,
    ),
    "createEmbedding": Operation(
        INFERENCE,
        "The embeddings.",
        _json("Embeddings"),
        more=_PASSES,
        body="EmbeddingsRequest",
        examples={"simple": {"model": _MODEL, "input": ["river", "lake"]}},
        headers=_PASSED_HEADERS,
        answer_headers=("standpipe-model", *RATES),
        errors=CALL_ERRORS,
    ),
    "listChatCompletions": Operation(
        STORED,
        "A page of completions.",
        _json("StoredCompletionList"),
        query=(
            Query("model", "Only of this model, as it was asked for.", text()),
            _LABELS,
            _AFTER,
            _LIMIT,
            _ORDER,
        ),
        errors=(errors.BadRequest, errors.NotFound),
    ),
    "getChatCompletion": Operation(
        STORED, "The completion.", _json("StoredCompletion"), names=_ANSWER_ID, errors=_NOT_FOUND
    ),
    "updateChatCompletion": Operation(
        STORED,
        "The completion, with its new labels.",
        _json("StoredCompletion"),
        body="StoredUpdate",
        names=_ANSWER_ID,
        examples={"labels": {"metadata": {"prompt_id": "rivers-1", "checked": "yes"}}},
        errors=_NOT_FOUND,
    ),
    "deleteChatCompletion": Operation(
        STORED, "What was deleted.", _json("StoredDeletion"), names=_ANSWER_ID, errors=_NOT_FOUND
    ),
    "getChatCompletionMessages": Operation(
        STORED,
        "A page of messages.",
        _json("StoredMessageList"),
        query=(_AFTER, _LIMIT, _ORDER),
        names=_ANSWER_ID,
        errors=(errors.BadRequest, errors.NotFound),
    ),
    "report": Operation(
        LOGS,
        "It is recorded.",
        _json("ReportAnswer"),
        more="The payloads may be anything; model, labels and usage are taken from them as far "
        "as they have the form of a chat request and its completion.",
        body="Report",
        examples={
            "call": {
                "requestedAt": 1_750_000_000_000,
                "receivedAt": 1_750_000_001_250,
                "reqPayload": {"model": _MODEL, "messages": _MESSAGES},
                "respPayload": None,
                "statusCode": 200,
                "tags": {"prompt_id": "rivers-1"},
            }
        },
    ),
    "reportAnthropic": Operation(
        LOGS,
        "It is recorded.",
        _json("ReportAnswer"),
        more="As `/report`, for a request and an answer of Anthropic's Messages API: they are "
        "kept in OpenAI's form. What has not Anthropic's form is kept as it is.",
        body="AnthropicReport",
        examples={
            "call": {
                "requestedAt": 1_750_000_000_000,
                "receivedAt": 1_750_000_001_250,
                "reqPayload": {"model": "claude", "max_tokens": 100, "messages": _MESSAGES},
                "respPayload": None,
                "statusCode": 200,
                "metadata": {"prompt_id": "rivers-1"},
            }
        },
    ),
    "updateLogMetadata": Operation(
        LOGS,
        _MATCHED,
        _json("UpdateAnswer"),
        body="MetadataUpdate",
        examples={
            "relabel": {
                "filters": [{"field": "metadata.prompt_id", "equals": "rivers-1"}],
                "metadata": {"relabel": "true", "checked": None},
            }
        },
    ),
    "updateLogTags": Operation(
        LOGS,
        _MATCHED,
        _json("UpdateAnswer"),
        body="TagsUpdate",
        examples={
            "relabel": {
                "filters": [{"field": "tags.prompt_id", "equals": "rivers-1"}],
                "tags": {"relabel": True},
            }
        },
    ),
    "usage": Operation(
        LOGS,
        "What the key's project has used, and what that cost.",
        _json("UsageReport"),
        more="Summed up by the hour as calls are recorded, so that it is quick whatever their "
        "number. Days and hours begin in UTC; those at the edges count from `from` and to `to`, "
        "in whole hours. `metadata.NAME=value` narrows it to calls with that label, for a name "
        "that the setting `usage.metadata` has.",
        query=USAGE_QUERY,
        errors=(errors.BadRequest,),
    ),
    "deleteLogs": Operation(
        LOGS,
        "What was deleted.",
        _json("DeletionAnswer"),
        more="Logged or not, with all that only they had. It cannot be undone.",
        body="LogDeletion",
        examples={"person": {"filters": [{"field": "metadata.user", "equals": "somebody"}]}},
    ),
    "checkCache": Operation(
        LOGS, "Always null.", _json("CacheAnswer"), body="Anything", examples={"empty": {}}
    ),
    "localTestingOnlyGetLatestLoggedCall": Operation(
        LOGS,
        "The call, or null if there is none.",
        {JSON: either(ref("LoggedCall"), {"type": "null"})},
        more="Served only with `server.local_testing`.",
    ),
    "listModels": Operation(
        MODELS, "The models: routes first, then each provider's.", _json("ModelList")
    ),
    "getModel": Operation(
        MODELS,
        "The model.",
        _json("Model"),
        names="The model's name, also with `openpipe:` before it; it may hold slashes.",
        errors=_NOT_FOUND,
    ),
    "openapi": Operation(SERVICE, "An OpenAPI 3.1 document.", {JSON: mapping()}),
    "health": Operation(
        SERVICE,
        "Calls are served. `store` is `unavailable` while the database is away: calls go on, "
        "reading waits.",
        _json("Health"),
    ),
    "live": Operation(SERVICE, "The process answers.", _json("Readiness")),
    "ready": Operation(
        SERVICE,
        "Calls may be sent here; if not, it is 503 with the same form, and says why.",
        _json("Readiness"),
        more="A database that is away is no reason while keys that are known work.",
    ),
    "metrics": Operation(
        SERVICE,
        "The metrics in Prometheus's text format.",
        {"text/plain": text()},
        more="Wants an admin key, but for a server that listens on loopback with no trusted proxy.",
        errors=(errors.Forbidden,),
    ),
    "docs": Operation(SERVICE, "The page.", {"text/html": text()}),
    **CRITERIA_OPERATIONS,
    **ADMIN_OPERATIONS,
}

#: Schemas that only operations name.
SCHEMAS: dict[str, Schema] = {"Anything": mapping(), **PASSED, **USAGE, **CRITERIA, **ADMIN}
