"""Calls made at Anthropic's elsewhere, as they are kept."""

from __future__ import annotations

from typing import Any

import pytest

from standpipe.providers.anthropic.report import report_to_openai


def test_report_is_kept_in_openais_shape() -> None:
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    answered = {
        "id": "msg_1",
        "model": "claude-3-opus-20240229",
        "content": [{"type": "text", "text": "Ho"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    request_kept, response_kept = report_to_openai({**asked, "stream": True}, answered)
    assert isinstance(request_kept, dict)
    assert request_kept["messages"][0]["content"] == "Hi"
    assert "stream_options" not in request_kept
    assert isinstance(response_kept, dict)
    assert response_kept["choices"][0]["message"]["content"] == "Ho"
    assert response_kept["model"] == "claude-3-opus-20240229"


@pytest.mark.parametrize("payload", [None, 1, "x", [], {"x": "invalid"}, {"messages": 1}])
def test_report_of_something_else_is_kept_as_it_is(payload: Any) -> None:
    assert report_to_openai(payload, payload) == (payload, payload)
