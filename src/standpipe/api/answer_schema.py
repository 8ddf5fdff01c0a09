"""What the API takes and gives besides the chat request, as JSON Schema."""

from __future__ import annotations

from standpipe.api.schema import (
    ANYTHING,
    Schema,
    array,
    either,
    flag,
    mapping,
    nullable,
    nullables,
    of,
    one_of,
    record,
    ref,
    text,
    whole,
)

_COUNT = of("integer", minimum=0)
_SCALARS = ("string", "number", "boolean")
_ID = text("Of the answer, as its provider gave it.")
_CREATED = of("integer", "Seconds since the Unix epoch.")
_MODEL = text("As it was asked for; the header `standpipe-model` has the provider's own name.")
_FINISH = text("Such as `stop`, `length`, `tool_calls`, `content_filter`.")


def _object(name: str) -> Schema:
    return {"type": "string", "const": name}


def _list(item: Schema) -> Schema:
    return record(
        {
            "object": _object("list"),
            "data": array(item),
            "first_id": nullable(text()),
            "last_id": nullable(text("Give it as `after` for the next page.")),
            "has_more": flag(),
        }
    )


_TOKENS = record({"token": text(), "logprob": of("number")})
_LOGPROBS = record(
    {},
    nullables({"content": array(_TOKENS), "refusal": array(_TOKENS)}),
    description="Of each token, where asked for.",
)
_SAID = nullables(
    {
        "content": text(),
        "reasoning_content": text("What the model thought, where its provider shows it."),
        "refusal": text(),
        "function_call": record({}, nullables({"name": text(), "arguments": text()})),
    }
)
#: Of a choice.
RESULTS = mapping(
    either(
        record(
            {"status": one_of("success"), "score": of("number", minimum=0, maximum=1)},
            {"explanation": text()},
        ),
        record(
            {
                "status": one_of("error"),
                "errorCode": of("integer", "As an HTTP status."),
                "errorMessage": text(),
            }
        ),
    ),
    "What the criteria of `op-criteria` say, by their ids without a version.",
)
_CHOICE = record(
    {
        "index": _COUNT,
        "message": ref("AnswerMessage"),
        "finish_reason": nullable(_FINISH),
    },
    {"logprobs": nullable(_LOGPROBS), "criteria_results": RESULTS},
)
_DELTA = record(
    {},
    {
        "role": nullable(text()),
        **_SAID,
        "tool_calls": nullable(array(mapping(description="Joined by its `index`."))),
    },
)
_CHUNK_CHOICE = record(
    {"index": _COUNT, "delta": _DELTA},
    {
        "finish_reason": nullable(_FINISH),
        "logprobs": nullable(_LOGPROBS),
        "criteria_results": RESULTS,
    },
)

COMPLETIONS: dict[str, Schema] = {
    "Completion": record(
        {
            "id": _ID,
            "object": _object("chat.completion"),
            "created": _CREATED,
            "model": _MODEL,
            "choices": array(_CHOICE),
        },
        {"usage": nullable(ref("Usage"))},
        description="The answer. What else the provider sent is there, too, unchanged.",
    ),
    "Chunk": record(
        {
            "id": _ID,
            "object": _object("chat.completion.chunk"),
            "created": _CREATED,
            "model": _MODEL,
            "choices": array(_CHUNK_CHOICE),
        },
        {"usage": nullable(ref("Usage"))},
        description="The data of one event of a stream. `data: [DONE]` ends a whole stream; "
        "one that failed ends with an event that holds `error` alone.",
    ),
    "AnswerMessage": record(
        {"role": _object("assistant")},
        {**_SAID, "tool_calls": nullable(array(ref("ToolCall")))},
    ),
    "Usage": record(
        {"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT},
        {
            "prompt_cache_hit_tokens": _COUNT,
            "prompt_cache_miss_tokens": _COUNT,
            "prompt_tokens_details": nullable(mapping()),
            "completion_tokens_details": nullable(mapping()),
            "criteria": mapping(
                record({"total_tokens": _COUNT}), "Of the judges, by the criteria's ids."
            ),
        },
        description="Tokens, as the provider counted them.",
    ),
}

STORED: dict[str, Schema] = {
    "StoredCompletion": record(
        {
            "id": _ID,
            "object": text(),
            "created": of("number", "Seconds since the Unix epoch."),
            "model": _MODEL,
            "choices": array(ANYTHING),
            "request_id": text("The `x-request-id` of the call."),
            "metadata": mapping(text(), "The labels of the call."),
        },
        {
            "usage": nullable(mapping()),
            "input_user": nullable(text("The request's `user`.")),
            "temperature": ANYTHING,
            "top_p": ANYTHING,
            "presence_penalty": ANYTHING,
            "frequency_penalty": ANYTHING,
            "seed": ANYTHING,
            "tools": ANYTHING,
            "tool_choice": ANYTHING,
            "response_format": ANYTHING,
        },
        description="An answer as it was given, with its labels and what was asked for.",
    ),
    "StoredCompletionList": _list(ref("StoredCompletion")),
    "StoredMessage": record(
        {
            "id": text(),
            "role": text(),
            "content": nullable(text("Null where the message has parts.")),
            "content_parts": nullable(array(ANYTHING)),
        }
    ),
    "StoredMessageList": _list(ref("StoredMessage")),
    "StoredUpdate": record({"metadata": ref("Metadata")}, closed=True),
    "StoredDeletion": record(
        {
            "object": _object("chat.completion.deleted"),
            "id": text(),
            "deleted": {"type": "boolean", "const": True},
        }
    ),
}

_REPORT: dict[str, Schema] = {
    "requestedAt": of(["number", "null"], "Milliseconds since the Unix epoch; now if not given."),
    "receivedAt": of(["number", "null"], "The same of the answer."),
    "reqPayload": {"description": "The request: any JSON. Its `metadata` become labels."},
    "respPayload": {"description": "The answer: any JSON."},
    "statusCode": of(["number", "null"], "HTTP status of the answer."),
    "errorMessage": nullable(text()),
    "tags": nullable(
        mapping(ANYTHING, "Labels, the older form: strings, numbers, booleans or null.")
    ),
}

LOGS: dict[str, Schema] = {
    "Report": record({}, _REPORT),
    "AnthropicReport": record(
        {}, {**_REPORT, "metadata": nullable(mapping(ANYTHING, "Labels, as `tags`."))}
    ),
    "ReportAnswer": record({"status": one_of("ok")}),
    "Filter": record(
        {
            "field": text("`model`, `completionId` or `metadata.<name>`."),
            "equals": either(*(of(kind) for kind in _SCALARS), description="Compared as text."),
        },
        closed=True,
    ),
    "MetadataUpdate": record(
        {
            "filters": array(ref("Filter"), "All must hold; none at all is every logged call."),
            "metadata": mapping(
                nullable(text()), "Name to its new value; null removes it; other names stay."
            ),
        },
        closed=True,
    ),
    "TagsUpdate": record(
        {
            "filters": array(ref("Filter"), "The same, with `tags.<name>`."),
            "tags": mapping(either(*(of(kind) for kind in (*_SCALARS, "null"))), "The same."),
        },
        closed=True,
    ),
    "LogDeletion": record(
        {"filters": array(ref("Filter"), "All must hold.", minItems=1, maxItems=100)}, closed=True
    ),
    "DeletionAnswer": record(
        {
            "deleted": record(
                {
                    "calls": _COUNT,
                    "messages": _COUNT | {"description": "Messages that no other call had in it."},
                    "bytes": _COUNT | {"description": "What the texts took, as they were kept."},
                    "usageRows": _COUNT
                    | {"description": "Sums of usage by a label that no call has any more."},
                }
            )
        }
    ),
    "UpdateAnswer": record({"matchedLogs": _COUNT | {"description": "Calls that passed."}}),
    "LoggedCall": record(
        {
            "createdAt": text(format="date-time"),
            "cacheHit": flag(),
            "statusCode": nullable(of("integer")),
            "errorMessage": nullable(text()),
            "reqPayload": ANYTHING,
            "respPayload": ANYTHING,
            "tags": mapping(text()),
            "metadata": mapping(text()),
        }
    ),
    "CacheAnswer": record({"respPayload": {"type": "null"}}),
}

_TIME = of(["string", "integer"], "Text under `/api/v1`, seconds since the Unix epoch under `/v1`.")
MODELS: dict[str, Schema] = {
    "Model": record(
        {
            "id": text("What to ask for."),
            "object": _object("model"),
            "name": text(),
            "description": nullable(text()),
            "created": _TIME,
            "updated": _TIME,
            "owned_by": text("The provider's name in the configuration, or `route`."),
            "openpipe": record(
                {
                    "baseModel": text(),
                    "hyperparameters": nullable(mapping()),
                    "status": text(),
                    "datasetId": text(),
                    "errorMessage": nullable(text()),
                }
            ),
            "contextWindow": whole(0, 2**53, "0 where the provider does not tell."),
            "maxCompletionTokens": whole(0, 2**53, "0 where the provider does not tell."),
            "capabilities": array(text()),
            "pricing": record({"chatIn": of("number"), "chatOut": of("number")}),
        },
        description="Both OpenPipe's shape and OpenAI's.",
    ),
    "ModelList": record({"object": _object("list"), "data": array(ref("Model"))}),
}

SERVICE: dict[str, Schema] = {
    "Readiness": record(
        {"status": one_of("ok", "not ready")},
        {"reasons": array(text(), "Why not; empty if it is.")},
    ),
    "Health": record(
        {
            "status": one_of("ok", "degraded"),
            "version": text(),
            "store": one_of("ok", "unavailable"),
            "spool": one_of("ok", "full", "failing"),
            "records": record(
                {
                    "written": _COUNT,
                    "refused": _COUNT,
                    "without_text": _COUNT,
                    "lost": _COUNT,
                    "unsynced": _COUNT,
                    "unredacted": _COUNT,
                },
                description="Of the worker that answers, since it started.",
            ),
            "drain": one_of("ok", "behind", "damage", "silent"),
            "drained": nullable(
                record(
                    {
                        "inserted": _COUNT,
                        "lost_streams": _COUNT,
                        "torn_segments": _COUNT,
                        "damaged_segments": _COUNT,
                        "waiting_bytes": _COUNT,
                        "waiting_seconds": of("number", minimum=0),
                        "told_seconds_ago": of("number", minimum=0),
                    },
                    description="What the drain said last, of itself since it started.",
                )
            ),
        }
    ),
    "Error": record(
        {
            "message": text(),
            "code": text("One of the codes below."),
            "error": ref("OpenAIError"),
        },
        {
            "issues": array(
                record({"message": text()}), "All that is wrong with the request, twenty at most."
            )
        },
        description="Every error, under both prefixes: OpenPipe's clients read the top level, "
        "OpenAI's read `error`.",
    ),
    "ErrorEvent": record(
        {"error": ref("OpenAIError")}, description="The last event of a stream that failed."
    ),
    "OpenAIError": record(
        {
            "message": text(),
            "type": text("Such as `invalid_request_error`, `api_error`, `server_error`."),
            "param": nullable(text("The field at fault, as in `messages[0].content`.")),
            "code": text("OpenAI's or the provider's own word where there is one, else the code."),
        },
    ),
}

ANSWERS: dict[str, Schema] = {**COMPLETIONS, **STORED, **LOGS, **MODELS, **SERVICE}
