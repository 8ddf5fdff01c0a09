"""What we send to Gemini, and what our recordings say it answers, against Google's own types.

google-genai is a package of the tests alone (`requirements/fidelity.in`).
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from standpipe.providers.dialect import Quirks
from standpipe.providers.gemini.dialect import FIDELITY, Gemini
from standpipe.wire import chat
from standpipe.wire.features import FEATURES

google: Any = importlib.import_module("google.genai.types")
pydantic: Any = importlib.import_module("pydantic")

FIELDS: dict[str, Any] = {
    "contents": list[google.Content],
    "systemInstruction": google.Content,
    "tools": list[google.Tool],
    "toolConfig": google.ToolConfig,
    "generationConfig": google.GenerationConfig,
    "serviceTier": google.ServiceTier,
}
EXCHANGES = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "exchanges" / "gemini").glob("*.json"))
]
HI = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
#: Rewritten above the dialect, so that it never sees them.
ABOVE = ("function", "role:", "modalities:audio", "audio.voice", "message.audio")
SENT = [exchange["request"] for exchange in EXCHANGES] + [
    {**HI, **FEATURES[name]}
    for name, word in FIDELITY.items()
    if word != "refused" and not name.startswith(ABOVE)
]


@pytest.mark.parametrize("body", SENT)
@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3.5-flash"])
def test_request_is_of_googles_types(body: dict[str, Any], model: str) -> None:
    request = chat.parse(json.dumps(body).encode())
    sent = json.loads(Gemini().prepare(request, model, Quirks()).body)
    for name, value in sent.items():
        pydantic.TypeAdapter(FIELDS[name]).validate_json(json.dumps(value))


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_recordings_are_of_googles_types(exchange: dict[str, Any]) -> None:
    for answer in (exchange["answer"], *exchange["events"]):
        told = {name: value for name, value in answer.items() if name != "usageMetadata"}
        google.GenerateContentResponse.model_validate(told)
