"""The chat request as JSON Schema: what `wire.chat` and `wire.messages` check, in public words.

The document is for readers, the checks are for speed; a test holds the one against the other.
"""

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

_PARTS: dict[str, Schema] = {
    "text": record({"text": text()}),
    "refusal": record({"refusal": text()}),
    "image_url": record(
        {
            "image_url": record(
                {"url": filled("An address, or the image itself as a `data:` URL.")},
                nullables({"detail": one_of("auto", "low", "high")}),
            )
        }
    ),
    "input_audio": record(
        {
            "input_audio": record(
                {
                    "data": filled("The sound in base64."),
                    "format": one_of(
                        "wav", "mp3", "flac", "opus", "pcm16", "ogg", "aac", "m4a", "aiff", "webm"
                    ),
                }
            )
        }
    ),
    "file": record({"file": mapping(description="As the provider wants it.")}),
}


def _typed(kind: str, form: Schema) -> Schema:
    """Return the form of an object whose `type` is `kind`."""
    properties = {"type": {"type": "string", "const": kind}, **form["properties"]}
    return {**form, "properties": properties, "required": ["type", *form["required"]]}


def _other(*known: str) -> Schema:
    """Return the form of an object of a type that we do not know, which goes on as it is."""
    kind = filled() | {"not": {"enum": list(known)}}
    return record({"type": kind}) | {"title": "another type"}


_PART_NAMES = {
    "text": "TextPart",
    "refusal": "RefusalPart",
    "image_url": "ImagePart",
    "input_audio": "AudioPart",
    "file": "FilePart",
}
PARTS: dict[str, Schema] = {_PART_NAMES[kind]: _typed(kind, form) for kind, form in _PARTS.items()}


def _content(*allowed: str) -> Schema:
    parts = [ref(_PART_NAMES[name]) for name in allowed]
    return either(text(), array(either(*parts, _other(*_PARTS)), maxItems=10_000))


_NAME = {"name": text("Who speaks.")}
_CALLED = {"name": text(), "arguments": text("JSON in a string.")}


def _message(role: str, required: dict[str, Schema], optional: dict[str, Schema]) -> Schema:
    own = {"role": {"type": "string", "const": role}, **required}
    return record(own, optional)


def _said(role: str, *parts: str) -> Schema:
    return _message(role, {}, {"content": _content(*parts), **nullables(_NAME)})


_SAYS = ("content", "tool_calls", "function_call", "refusal", "audio")
_ASSISTANT = _message(
    "assistant",
    {},
    nullables(
        {
            "content": _content("text", "refusal"),
            "tool_calls": array(ref("ToolCall"), maxItems=1_000),
            "function_call": record({}, nullables(_CALLED), description="The older form."),
            "refusal": text("What the model said instead of an answer."),
            "audio": record({}, nullables({"id": text()}), description="An earlier spoken answer."),
            "annotations": array(mapping(), maxItems=10_000),
            "reasoning_content": text("What the model thought, as DeepSeek and others give it."),
            **_NAME,
        }
    ),
) | {
    "anyOf": [
        {"required": [name], "properties": {name: {"not": {"enum": [None, []]}}}} for name in _SAYS
    ],
    "description": "Has at least one of " + ", ".join(f"`{name}`" for name in _SAYS) + ".",
}
_TOOL = _message(
    "tool",
    {"tool_call_id": text("The `id` of a tool call of an earlier assistant message.")},
    {"content": _content("text"), **nullables(_NAME)},
)

MESSAGES: dict[str, Schema] = {
    "SystemMessage": _said("system", "text"),
    "DeveloperMessage": _said("developer", "text"),
    "UserMessage": _said("user", "text", "image_url", "input_audio", "file"),
    "AssistantMessage": _ASSISTANT,
    "ToolMessage": _TOOL,
    "FunctionMessage": _message("function", {"name": filled(), "content": nullable(text())}, {}),
}

_FUNCTION = record(
    {"name": text("What the model calls it by.", pattern="^[A-Za-z0-9_.:-]{1,128}$")},
    nullables(
        {
            "description": text("What it does, for the model."),
            "parameters": mapping(description="Its arguments, as JSON Schema."),
            "strict": flag("Hold the arguments to the schema exactly."),
        }
    ),
)
_NAMED = record({"name": filled()})
_CHOSEN = record(
    {"function": _NAMED}, {"type": {"type": "string", "const": "function", "default": "function"}}
)
_SCHEMA_FORMAT = record(
    {"name": text(pattern="^[A-Za-z0-9_-]{1,64}$")},
    nullables(
        {
            "description": text(),
            "schema": mapping(description="JSON Schema."),
            "strict": flag("Hold the answer to the schema exactly."),
        }
    ),
)
_FORMATS = ("text", "json_object", "structural_tag", "regex", "grammar", "ebnf")

_REQUIRED: dict[str, Schema] = {
    "model": text(
        "Which model; the name says which provider is asked. The answer repeats it as it was.",
        minLength=1,
        maxLength=256,
        # No C0 or C1 control character, nor DEL.
        pattern="^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
    ),
    "messages": array(ref("Message"), "The conversation so far.", minItems=1, maxItems=100_000),
}
_OPTIONAL: dict[str, Schema] = {
    "stream": flag("Send the answer as server-sent events while it is made.", default=False),
    "stream_options": record(
        {},
        nullables({"include_usage": flag("End the stream with a chunk that holds `usage`.")}),
        description="Only with `stream: true`.",
    ),
    "store": flag(
        "Keep the text of this call, or do not; the header `op-log-request` goes before it. "
        "Not sent to the provider unless so configured."
    ),
    "metadata": {
        **ref("Metadata"),
        "description": "Labels of this call, kept with it. Not sent to the provider unless so "
        "configured.",
    },
    "n": whole(1, 128, "How many choices."),
    "temperature": number(0, 2, "0 for the most likely words, more for more variety."),
    "top_p": number(0, 1, "Sample from the most likely tokens that make up this share."),
    "presence_penalty": number(-2, 2, "Above 0: less of what was mentioned already."),
    "frequency_penalty": number(-2, 2, "Above 0: less of what was said often."),
    "max_tokens": whole(1, 2**31 - 1, "Longest answer, in tokens."),
    "max_completion_tokens": whole(
        1, 2**31 - 1, "Longest answer in tokens, reasoning included; OpenAI's newer name."
    ),
    "logprobs": flag("Give each token's log probability."),
    "top_logprobs": whole(0, 20, "Likely alternatives for each token; only with `logprobs: true`."),
    "logit_bias": mapping(
        number(-100, 100),
        "Token id to what is added to its logit.",
        maxProperties=300_000,
        propertyNames={"maxLength": 64, "pattern": "^[^\\u0000]*$"},
    ),
    "stop": either(
        text(), array(text(), maxItems=64), description="The answer ends before any of these."
    ),
    "seed": whole(-(2**63), 2**63, "The same seed gives the same answer, where a provider can."),
    "user": text("Your own name for who asks."),
    "response_format": {
        **ref("ResponseFormat"),
        "description": "The form that the answer must have.",
    },
    "tools": array(ref("Tool"), "What the model may call.", maxItems=10_000),
    "tool_choice": {
        **ref("ToolChoice"),
        "description": "Whether it may, must or must not call one, or which; only with `tools`.",
    },
    "parallel_tool_calls": flag("Allow several tool calls in one answer."),
    "functions": array(ref("Function"), "The older form of `tools`.", maxItems=10_000),
    "function_call": either(
        one_of("none", "auto"),
        _NAMED,
        description="The older form of `tool_choice`; only with `functions`.",
    ),
    "audio": record(
        {
            "format": one_of("wav", "mp3", "flac", "opus", "pcm16", "aac"),
            "voice": either(filled(), mapping()),
        },
        description="How a spoken answer sounds.",
    ),
    "modalities": array(filled(), "Such as `text`, `audio`.", maxItems=16),
    "prediction": mapping(description="Text that the answer will likely repeat."),
    "web_search_options": mapping(description="Let the model search the web, and how."),
    "reasoning_effort": filled("Such as `low`, `medium`, `high`."),
    "service_tier": filled("As the provider names them."),
    "verbosity": filled("Such as `low`, `medium`, `high`."),
    "criteria": array(
        filled(),
        "What to judge every choice by, as the header `op-criteria`; no provider sees it.",
        maxItems=16,
    ),
}

CHAT: dict[str, Schema] = {
    "ChatRequest": record(
        _REQUIRED,
        nullables(_OPTIONAL),
        description="A field that is not listed is sent to the provider unchanged, where it "
        "speaks OpenAI's form, and else refused by name. Null means absent.",
    ),
    "Message": {
        "oneOf": [ref(name) for name in MESSAGES],
        "discriminator": {
            "propertyName": "role",
            "mapping": {
                form["properties"]["role"]["const"]: f"#/components/schemas/{name}"
                for name, form in MESSAGES.items()
            },
        },
        "description": "One thing said; `role` tells by whom. A part of a type not known here is "
        "sent on as it is.",
    },
    **MESSAGES,
    **PARTS,
    "ToolCall": either(
        _typed("function", record({"id": text(), "function": record(_CALLED)})),
        _other("function"),
        description="The model wants a tool called.",
    ),
    "Tool": either(
        _typed("function", record({"function": ref("Function")})),
        _other("function"),
        description="A function; a tool of a type not known here is sent on as it is.",
    ),
    "ToolChoice": either(
        one_of("none", "auto", "required"),
        _CHOSEN,
        _other("function"),
    ),
    "Function": _FUNCTION | {"description": "A function of yours that the model may call."},
    "ResponseFormat": either(
        _typed("json_schema", record({"json_schema": _SCHEMA_FORMAT})),
        record({"type": one_of(*_FORMATS)}),
        description="`json_schema` brings its schema; the last four are vLLM's, SGLang's and "
        "llama.cpp's.",
    ),
    "Metadata": of(
        "object",
        "At most 16 labels: names to 64 characters, values to 512, none with a NUL.",
        maxProperties=16,
        propertyNames={"maxLength": 64, "pattern": "^[^\\u0000]*$"},
        additionalProperties=text(maxLength=512, pattern="^[^\\u0000]*$"),
    ),
}
