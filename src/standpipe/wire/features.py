"""What a request asks for, by name: the rows of the fidelity table.

A feature is a field, or one of the forms that a field can take, that some wire form may lack. The
names are public: callers read them in the `standpipe-fidelity` header and in `docs/fidelity.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from standpipe.wire.chat import ChatRequest

Json = dict[str, Any]

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
        "audio": {"format": "wav", "voice": "alloy"},
    },
    "prediction": {"prediction": {"type": "content", "content": "x"}},
    "service_tier": {"service_tier": "auto"},
    "verbosity": {"verbosity": "low"},
    "web_search_options": {"web_search_options": {}},
    "role:developer": {"messages": [{"role": "developer", "content": "Be brief."}]},
    "role:function": {"messages": [{"role": "function", "name": "f", "content": "1"}]},
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
                    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
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
