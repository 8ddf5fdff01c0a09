"""What is sent to Anthropic, and what its callers get, against its SDK's published types."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from standpipe.providers.anthropic.dialect import Anthropic
from standpipe.providers.dialect import Quirks
from standpipe.wire import chat
from standpipe.wire.features import FEATURES
from standpipe.wire.messages_answer import from_openai_completion
from standpipe.wire.messages_stream import MessagesEncoder

pydantic: Any = importlib.import_module("pydantic")
types: Any = importlib.import_module("anthropic.types")
params: Any = importlib.import_module("anthropic.types.message_create_params")

Json = dict[str, Any]

FOLDER = Path(__file__).parent / "exchanges" / "anthropic"
EXCHANGES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
EXCHANGES.pop("errors")
DIALECT = Anthropic()
USER = [{"role": "user", "content": "Hi"}]
#: In API version 2023-06-01, which we speak, and no longer in the types of its successor.
SAMPLING = ("temperature", "top_p")
SENT = [name for name, word in DIALECT.fidelity.items() if word == "native"]

each = pytest.mark.parametrize("name", EXCHANGES)


def plain(value: Any) -> Any:
    """Return a validated value with its lazy lists read."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return value
    return [plain(part) for part in value]


def check(body: bytes) -> None:
    """Want a body that the SDK's types take whole: what they don't know they leave out."""
    sent = {name: value for name, value in json.loads(body).items() if name not in SAMPLING}
    streamed = sent.get("stream", False)
    form = params.MessageCreateParamsNonStreaming
    form = params.MessageCreateParamsStreaming if streamed else form
    assert plain(pydantic.TypeAdapter(form).validate_python(sent)) == sent


def sent(fields: Json, model: str) -> bytes:
    request = chat.parse(json.dumps({"model": "asked", "messages": USER, **fields}).encode())
    return DIALECT.prepare(request, model, Quirks()).body


@pytest.mark.parametrize(
    "model", ["claude-opus-5-5", "claude-haiku-4-5", "claude-3-haiku-20240307"]
)
@pytest.mark.parametrize("feature", SENT)
def test_every_native_feature_is_of_the_published_type(feature: str, model: str) -> None:
    check(sent({"max_tokens": 4000, **FEATURES[feature]}, model))


@each
def test_every_exchange_is_sent_in_the_published_type(name: str) -> None:
    check(sent(EXCHANGES[name]["request"], EXCHANGES[name]["model"]))


@each
def test_every_exchange_is_itself_of_the_published_type(name: str) -> None:
    types.Message.model_validate(EXCHANGES[name]["answer"], strict=True)
    adapter = pydantic.TypeAdapter(types.RawMessageStreamEvent)
    for event in EXCHANGES[name]["events"]:
        if event["type"] != "ping":
            adapter.validate_python(event, strict=True)


@each
def test_completion_becomes_a_message_of_the_published_type(name: str) -> None:
    message = from_openai_completion(EXCHANGES[name]["expected"], "asked")
    types.Message.model_validate(message, strict=True)


@each
def test_chunks_become_events_of_the_published_types(name: str) -> None:
    adapter = pydantic.TypeAdapter(types.RawMessageStreamEvent)
    for event in encoded(EXCHANGES[name]):
        adapter.validate_python(event, strict=True)


def encoded(exchange: Json) -> list[Json]:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    body = {"model": "asked", **exchange["request"], **options}
    decoder = DIALECT.decoder(chat.parse(json.dumps(body).encode()), Quirks())
    encoder = MessagesEncoder("asked")
    out = b""
    for event in exchange["events"]:
        chunks = decoder.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
        for chunk in chunks.split(b"\n\n")[:-1]:
            out += encoder.feed(json.loads(chunk[6:]))
    out += encoder.finish()
    return [json.loads(event.split(b"\ndata: ")[1]) for event in out.split(b"\n\n")[:-1]]
