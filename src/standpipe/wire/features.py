"""What a request asks for, by name: the rows of the fidelity table.

A feature is a field, or one of the forms that a field can take, that some wire form may lack. The
names are public: callers read them in the `standpipe-fidelity` header and in `docs/fidelity.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

#: A wav file of a thousandth of a second.
_SOUND = "UklGRjQAAABXQVZFZm10IBAAAAABAAEAgD4AAIA+AAABAAgAZGF0YRAAAACAgICAgICAgICAgICAgICA"

#: Every feature, and a request's fields that ask for it (beside `model` and `messages`).
FEATURES: dict[str, Json] = {
    "max_tokens": {"max_tokens": 16},
    "max_completion_tokens": {"max_completion_tokens": 16},
    "temperature": {"temperature": 0.5},
    "temperature>1": {"temperature": 1.5},
    "top_p": {"top_p": 0.5},
    "presence_penalty": {"presence_penalty": 0.5},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "stop": {"stop": ["END"]},
    "stop>4": {"stop": ["A", "B", "C", "D", "E"]},
    "seed": {"seed": 7},
    "logit_bias": {"logit_bias": {"50256": -100}},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"logprobs": True, "top_logprobs": 2},
    "n>1": {"n": 2},
    "user": {"user": "u"},
    "stream": {"stream": True},
    "stream_options.include_usage": {"stream": True, "stream_options": {"include_usage": True}},
    "tools": {"tools": [{"type": "function", "function": {"name": "f"}}]},
    "tools.strict": {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
    "tools:other": {"tools": [{"type": "custom", "custom": {"name": "c"}}]},
    "tool_choice:none": {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "none",
    },
    "tool_choice:required": {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "required",
    },
    "tool_choice:function": {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    },
    "parallel_tool_calls:false": {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "parallel_tool_calls": False,
    },
    "functions": {"functions": [{"name": "f"}]},
    "function_call:none": {"functions": [{"name": "f"}], "function_call": "none"},
    "function_call:name": {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
    "response_format:json_object": {"response_format": {"type": "json_object"}},
    "response_format:json_schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "object"}},
        }
    },
    "response_format:other": {"response_format": {"type": "regex", "regex": "a+"}},
    "reasoning_effort": {"reasoning_effort": "low"},
    "modalities:audio": {
        "modalities": ["text", "audio"],
        "audio": {"format": "wav", "voice": "heart"},
    },
    "audio.voice": {
        "modalities": ["text", "audio"],
        "audio": {"format": "wav", "voice": "alloy"},
    },
    "prediction": {"prediction": {"type": "content", "content": "x"}},
    "service_tier": {"service_tier": "auto"},
    "verbosity": {"verbosity": "low"},
    "web_search_options": {"web_search_options": {}},
    "role:developer": {"messages": [{"role": "developer", "content": "Be brief."}]},
    "role:function": {"messages": [{"role": "function", "name": "f", "content": "1"}]},
    "message.audio": {
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "audio": {"id": "audio_eNrzyAQAAPsAsg"}},
            {"role": "user", "content": "Bye"},
        ]
    },
    "message.name": {"messages": [{"role": "user", "name": "ann", "content": "Hi"}]},
    "content:image_url": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}
                ],
            }
        ]
    },
    "image_url.detail": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,iVBORw0K", "detail": "low"},
                    }
                ],
            }
        ]
    },
    "content:image_url.remote": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}],
            }
        ]
    },
    "content:input_audio": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "input_audio", "input_audio": {"data": _SOUND, "format": "wav"}}
                ],
            }
        ]
    },
    "content:file": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "file",
                        "file": {
                            "filename": "a.pdf",
                            "file_data": "data:application/pdf;base64,JVBERi0=",
                        },
                    }
                ],
            }
        ]
    },
    "content:other": {
        "messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {}}]}]
    },
}

#: A feature that is a field with any value, to the field.
_FIELDS = {
    name: name
    for name in (
        "max_tokens", "max_completion_tokens", "temperature", "top_p", "presence_penalty",
        "frequency_penalty", "stop", "seed", "logit_bias", "top_logprobs", "user",
        "reasoning_effort", "prediction", "service_tier", "verbosity", "web_search_options",
    )
}  # fmt: skip

_FORMATS = ("text", "json_object", "json_schema")

#: A feature that is a field with some values, to the field and the test of its value.
_VALUES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "temperature>1": ("temperature", lambda value: value > 1),
    "stop>4": ("stop", lambda value: isinstance(value, list) and len(value) > 4),
    "logprobs": ("logprobs", lambda value: value is True),
    "n>1": ("n", lambda value: value > 1),
    "stream": ("stream", lambda value: value is True),
    "stream_options.include_usage": ("stream_options", lambda v: v.get("include_usage") is True),
    "tools": ("tools", lambda value: any(tool["type"] == "function" for tool in value)),
    "tools:other": ("tools", lambda value: any(tool["type"] != "function" for tool in value)),
    "tools.strict": ("tools", lambda value: any(map(_is_strict, value))),
    "tool_choice:none": ("tool_choice", lambda value: value == "none"),
    "tool_choice:required": ("tool_choice", lambda value: value == "required"),
    "tool_choice:function": ("tool_choice", lambda value: isinstance(value, dict)),
    "parallel_tool_calls:false": ("parallel_tool_calls", lambda value: value is False),
    "functions": ("functions", bool),
    "function_call:none": ("function_call", lambda value: value == "none"),
    "function_call:name": ("function_call", lambda value: isinstance(value, dict)),
    "response_format:json_object": ("response_format", lambda v: v["type"] == "json_object"),
    "response_format:json_schema": ("response_format", lambda v: v["type"] == "json_schema"),
    "response_format:other": ("response_format", lambda v: v["type"] not in _FORMATS),
    "modalities:audio": ("modalities", lambda value: "audio" in value),
    # "heart" is what the voice of our own emulation is called.
    "audio.voice": ("audio", lambda value: value["voice"] != "heart"),
}

#: Roles and content parts that are features.
_ROLES = {"developer": "role:developer", "function": "role:function"}
_PARTS = {
    "text": None,
    "refusal": None,
    "input_audio": "content:input_audio",
    "file": "content:file",
}


#: What asks for a feature outside the messages: the field, and the test of its value.
_ASKS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    **{name: (field, lambda _: True) for name, field in _FIELDS.items()},
    **_VALUES,
}


def features(request: ChatRequest, among: Collection[str] = FEATURES) -> dict[str, str]:
    """Return the features that a request asks for, each with the path of the field that asks.

    Of those `among` alone: the one that OpenAI lacks takes 0.15 us, all of them 3.
    """
    found: dict[str, str] = {}
    in_messages = False
    for name in among:
        if name not in _ASKS:
            in_messages = True
            continue
        field, asks = _ASKS[name]
        if field in request.fields and field in request.values and asks(request.values[field]):
            found[name] = field
    for name, path in _in_messages(request.messages) if in_messages else ():
        if name in among:
            found.setdefault(name, path)
    return found


def _in_messages(messages: list[Json]) -> Iterator[tuple[str, str]]:
    for index, message in enumerate(messages):
        if not _is_plain(message):
            yield from _in_message(message, f"messages[{index}]")


def _is_plain(message: Json) -> bool:
    """Tell a message that is a role and a text, which most are."""
    is_text = len(message) == 2 and isinstance(message.get("content"), str)
    return is_text and message["role"] not in _ROLES


def _in_message(message: Json, path: str) -> Iterator[tuple[str, str]]:
    if (role := _ROLES.get(message["role"])) is not None:
        yield role, f"{path}.role"
    if message.get("name") and message["role"] != "function":
        yield "message.name", f"{path}.name"
    if message.get("audio") is not None:
        yield "message.audio", f"{path}.audio"
    content = message.get("content")
    for position, part in enumerate(content if isinstance(content, list) else ()):
        if (name := _part(part)) is not None:
            yield name, f"{path}.content[{position}]"
        if part["type"] == "image_url" and part["image_url"].get("detail") in ("low", "high"):
            yield "image_url.detail", f"{path}.content[{position}].image_url.detail"


def _part(part: Json) -> str | None:
    if part["type"] == "image_url":
        is_inline = part["image_url"]["url"].startswith("data:")
        return "content:image_url" if is_inline else "content:image_url.remote"
    return _PARTS.get(part["type"], "content:other")


def _is_strict(tool: Json) -> bool:
    return tool["type"] == "function" and tool["function"].get("strict") is True
