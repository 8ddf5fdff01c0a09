"""What a request asks for, by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from standpipe.wire import chat
from standpipe.wire.features import FEATURES, features

#: What a feature's example asks for besides.
IMPLIED = {
    "temperature>1": {"temperature"},
    "image_url.detail": {"content:image_url"},
    "stop>4": {"stop"},
    "top_logprobs": {"logprobs"},
    "audio.voice": {"modalities:audio"},
    "stream_options.include_usage": {"stream"},
    "tools.strict": {"tools"},
    "tool_choice:none": {"tools"},
    "tool_choice:required": {"tools"},
    "tool_choice:function": {"tools"},
    "parallel_tool_calls:false": {"tools"},
    "function_call:none": {"functions"},
    "function_call:name": {"functions"},
}


def request(**fields: Any) -> chat.ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return chat.parse(json.dumps(body).encode())


@pytest.mark.parametrize("name", FEATURES)
def test_example_of_a_feature_asks_for_it_alone(name: str) -> None:
    assert set(features(request(**FEATURES[name]))) == {name} | IMPLIED.get(name, set())


def test_plain_request_asks_for_nothing() -> None:
    plain = request(stream=False, n=1, store=True, metadata={"a": "b"}, tools=[], x_new=1)
    assert features(plain) == {}


def test_path_names_the_message_and_the_part() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    content = [{"type": "text", "text": "What?"}, image]
    messages = [{"role": "user", "content": "Hi"}, {"role": "user", "content": content}]
    assert features(request(messages=messages)) == {"content:image_url": "messages[1].content[1]"}
