"""What the rows' quirks send, against the types that Mistral, Groq and Together publish.

mistralai, groq and together are packages of the tests alone (`requirements/fidelity.in`).
"""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from standpipe.providers import known
from standpipe.providers.known import KNOWN
from standpipe.wire import chat
from standpipe.wire.features import FEATURES

HI = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
#: What is done above the dialects, so that no request is put with it.
ABOVE = (
    "function", "role:", "message.name", "n>1", "response_format:json_schema", "stop>4",
    "max_completion_tokens", "parallel_tool_calls",
)  # fmt: skip


def honoured(name: str) -> list[str]:
    """Return the features that are sent to a place."""
    row = KNOWN[name]
    words = {feature: row.fidelity.get(feature, "native") for feature in FEATURES}
    return [
        feature
        for feature, word in words.items()
        if word != "refused"
        and not feature.endswith(":other")
        and not (word == "emulated" and feature.startswith(ABOVE))
    ]


def sent(name: str, feature: str) -> dict[str, Any]:
    request = chat.parse(json.dumps({**HI, **FEATURES[feature]}).encode())
    body: dict[str, Any] = json.loads(chat.rebuild(request, changes={}, without=()))
    body |= known.changes(KNOWN[name], request)
    return {field: value for field, value in body.items() if value is not None}


@pytest.mark.parametrize("feature", honoured("mistral"))
def test_mistral_gets_its_own_types(feature: str) -> None:
    models: Any = importlib.import_module("mistralai.client.models")
    body = sent("mistral", feature)
    assert set(body) <= set(models.ChatCompletionStreamRequest.model_fields)
    put = models.ChatCompletionStreamRequest.model_validate(body)
    # A part that its union does not know is taken, as one of an unknown type.
    assert "Unknown" not in repr(put)


def test_groq_gets_fields_that_it_knows() -> None:
    params: Any = importlib.import_module("groq.types.chat.completion_create_params")
    bases = [value for value in vars(params).values() if hasattr(value, "__annotations__")]
    fields = {field for base in bases for field in base.__annotations__}
    for feature in honoured("groq"):
        # It takes `stream_options`, and says so at the chunk that answers it, not here.
        extra = set(sent("groq", feature)) - fields - {"stream_options"}
        assert not extra, feature
