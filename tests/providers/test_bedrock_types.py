"""What we send to Bedrock, and what our exchanges say it answers, against AWS's own service model.

botocore has the model; it is the extra `bedrock`, and a package of the tests.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
from typing import Any

import pytest
from bedrock_exchanges import EXCHANGES, event, request_of, stream_of

from standpipe.errors import Cut, NotACompletion
from standpipe.providers.bedrock.dialect import Bedrock
from standpipe.providers.bedrock.frames import Splitter
from standpipe.providers.dialect import Quirks
from standpipe.wire import chat
from standpipe.wire.features import FEATURES

loaders: Any = importlib.import_module("botocore.loaders")
models: Any = importlib.import_module("botocore.model")
validate: Any = importlib.import_module("botocore.validate")
eventstream: Any = importlib.import_module("botocore.eventstream")
serialize: Any = importlib.import_module("botocore.serialize")

Json = dict[str, Any]

DIALECT = Bedrock()
SERVICE = models.ServiceModel(loaders.Loader().load_service_model("bedrock-runtime", "service-2"))
CONVERSE = SERVICE.operation_model("Converse")
STREAM = SERVICE.operation_model("ConverseStream")
EVENTS = STREAM.output_shape.members["stream"].members
HI = [{"role": "user", "content": "Hi"}]
#: Rewritten above the dialect, so that it never sees them.
ABOVE = (
    *("functions", "function_call", "role:function", "response_format:json_object", "n>1"),
    *("modalities:audio", "audio.voice", "message.audio"),
)
SENT = [
    name
    for name, word in DIALECT.fidelity.items()
    if word != "refused" and not name.startswith(ABOVE)
]
CLAUDE = "us.anthropic.claude-opus-4-5-20251101-v1:0"
FAMILIES = (CLAUDE, "anthropic.claude-3-7-sonnet-20250219-v1:0", "amazon.nova-2-lite-v1:0")

each = pytest.mark.parametrize("name", EXCHANGES)


def parsed(shape: Any, value: Any, path: str = "") -> Any:
    """Return JSON as botocore has it in Python; want all of it to be in the model."""
    if shape.type_name == "structure" and not shape.is_document_type:
        unknown = value.keys() - shape.members.keys()
        assert not unknown, f"{path}: {unknown}"
        return {n: parsed(shape.members[n], v, f"{path}.{n}") for n, v in value.items()}
    if shape.type_name == "list":
        return [parsed(shape.member, each, f"{path}[]") for each in value]
    if shape.type_name == "map":
        return {name: parsed(shape.value, each, f"{path}.{name}") for name, each in value.items()}
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "string":
        check_string(shape, value, path)
    return value


def check_string(shape: Any, value: str, path: str) -> None:
    """Want a string of the model's enumerations, patterns and lengths, which botocore lets pass."""
    enum, pattern = shape.enum, shape.metadata.get("pattern")
    assert not enum or value in enum, f"{path}: {value} is not in {enum}"
    assert not pattern or re.fullmatch(pattern, value), f"{path}: {value} is not {pattern}"
    assert len(value) <= shape.metadata.get("max", len(value)), path


def check(shape: Any, value: Json) -> None:
    report = validate.ParamValidator().validate(parsed(shape, value), shape)
    assert not report.has_errors(), report.generate_report()


def sent(fields: Json, model: str) -> Json:
    body = {"model": "asked", "messages": HI, **fields}
    if not any(message["role"] == "user" for message in body["messages"]):
        body["messages"] = [*body["messages"], *HI]
    told = DIALECT.prepare(chat.parse(json.dumps(body).encode()), model, Quirks()).body
    return {"modelId": model, **json.loads(told)}


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("feature", SENT)
def test_every_feature_is_of_the_service_model(feature: str, model: str) -> None:
    operation = STREAM if feature.startswith("stream") else CONVERSE
    check(operation.input_shape, sent({"max_tokens": 4000, **FEATURES[feature]}, model))


@each
def test_every_exchange_is_sent_in_the_service_models_form(name: str) -> None:
    exchange = EXCHANGES[name]
    check(CONVERSE.input_shape, {"modelId": exchange["model"], **exchange["sent"]})
    check(STREAM.input_shape, {"modelId": exchange["model"], **exchange["sent"]})


@each
def test_path_is_the_one_that_botocore_would_take(name: str) -> None:
    exchange = EXCHANGES[name]
    serializer = serialize.create_serializer("rest-json")
    for operation, stream in ((CONVERSE, False), (STREAM, True)):
        parameters = {"modelId": exchange["model"], "messages": []}
        wanted = serializer.serialize_to_request(parameters, operation)["url_path"]
        request = request_of(exchange, stream=stream)
        assert DIALECT.prepare(request, exchange["model"], Quirks()).path == wanted


def test_arn_is_one_step_of_the_path() -> None:
    arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123"
    path = DIALECT.prepare(request_of(EXCHANGES["text"]), arn, Quirks()).path
    assert path.count("/") == 3
    assert path.endswith("%3Aapplication-inference-profile%2Fabc123/converse")


@each
def test_exchanges_are_themselves_of_the_service_model(name: str) -> None:
    exchange = EXCHANGES[name]
    check(CONVERSE.output_shape, exchange["answer"])
    for kind, payload in exchange["events"]:
        # `p` is padding against listeners, in no model.
        check(EVENTS[kind], {name: value for name, value in payload.items() if name != "p"})


@each
def test_frames_are_what_botocore_reads(name: str) -> None:
    data = stream_of(EXCHANGES[name])
    theirs = eventstream.EventStreamBuffer()
    theirs.add_data(data)
    read = [(message.headers, message.payload) for message in theirs]
    assert [(message.headers, message.payload) for message in Splitter().feed(data)] == read


@pytest.mark.parametrize("kind", [name for name in EVENTS if name.endswith("Exception")])
def test_every_exception_of_the_stream_is_told(kind: str) -> None:
    decoder = DIALECT.decoder(request_of(EXCHANGES["text"], stream=True), Quirks())
    with pytest.raises(Cut, match=f"{kind}: no more"):
        decoder.feed(event(kind, {"message": "no more"}, "exception"))


def test_every_stop_reason_is_known() -> None:
    reasons = CONVERSE.output_shape.members["stopReason"].enum
    finishes = {reason: finish_of(reason) for reason in reasons}
    assert finishes == {
        "end_turn": "stop",
        "tool_use": "stop",  # for no tool of the caller's was called
        "max_tokens": "length",
        "stop_sequence": "stop",
        "guardrail_intervened": "content_filter",
        "content_filtered": "content_filter",
        "malformed_model_output": "NotACompletion",
        "malformed_tool_use": "NotACompletion",
        "model_context_window_exceeded": "length",
    }


def finish_of(reason: str) -> str:
    answer = {**EXCHANGES["text"]["answer"], "stopReason": reason}
    try:
        whole = DIALECT.completion(json.dumps(answer).encode(), request_of(EXCHANGES["text"]))
    except NotACompletion as error:
        return type(error).__name__
    finish: str = json.loads(whole.body)["choices"][0]["finish_reason"]
    return finish
