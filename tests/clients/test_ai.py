"""The Vercel AI SDK, unmodified, on every dialect and on the local model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clients import obliging
from clients.programs import Program, node_program
from doubles import Double
from misbehaving import Misbehaving
from serving import KEY, Standpipe

LOCAL = "smollm2-135m-instruct"
MODELS = (*obliging.MODELS.values(), LOCAL)
#: Its two providers, on chat completions.
KINDS = ("compatible", "openai")
#: The content of five pieces, as the provider that does as it is told says it.
TOLD = "Hello there, how can I"
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
of_each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def program(server: Standpipe) -> Iterator[Program]:
    places = {"url": server.root + "/v1", "key": KEY}
    with node_program("ai", "ai_client.mjs", **places) as started:
        yield started


@of_each_kind
@pytest.mark.parametrize("scenario", ["text", "stream"])
@pytest.mark.parametrize("model", obliging.MODELS.values())
def test_text_is_answered_with_its_usage(
    program: Program, kind: str, scenario: str, model: str
) -> None:
    saw = program.play(scenario, kind=kind, model=model)
    assert saw == {"text": obliging.CONTENT, "usage": list(obliging.USAGE)}


@of_each_kind
@pytest.mark.parametrize("scenario", ["text", "stream"])
def test_local_model_answers_text_with_its_usage(
    program: Program, kind: str, scenario: str
) -> None:
    saw = program.play(scenario, kind=kind, model=LOCAL)
    assert saw["text"]
    assert all(count > 0 for count in saw["usage"])


@of_each_kind
@pytest.mark.parametrize("model", obliging.MODELS.values())
@streamed
def test_tools_are_called_in_parallel_and_their_results_are_read(
    program: Program, kind: str, model: str, stream: bool
) -> None:
    saw = program.play("tools", kind=kind, model=model, choice=None, stream=stream)
    assert saw["cities"] == ["Paris", "Rome"]
    assert saw["text"] == "I hear: sun in Paris; sun in Rome"


@of_each_kind
@pytest.mark.parametrize("model", MODELS)
@streamed
def test_tool_is_called_because_it_must_be(
    program: Program, kind: str, model: str, stream: bool
) -> None:
    saw = program.play("tools", kind=kind, model=model, choice="required", stream=stream)
    assert set(saw["cities"]) <= {"Paris", "Rome"}
    assert saw["cities"]
    assert saw["text"]


@of_each_kind
@pytest.mark.parametrize("scenario", ["object", "output"])
@pytest.mark.parametrize("model", MODELS)
@streamed
def test_answer_is_an_object_of_the_schema_asked_for(
    program: Program, kind: str, scenario: str, model: str, stream: bool
) -> None:
    saw = program.play(scenario, kind=kind, model=model, stream=stream)
    assert saw["city"] in ({"Paris", "Rome"} if model == LOCAL else {"Paris"})


@of_each_kind
@streamed
@pytest.mark.parametrize(
    ("model", "status", "retryable"),
    [
        ("openpipe:none", 404, False),
        ("busy", 429, True),
        ("broken", 500, True),
        ("locked", 502, True),
    ],
)
def test_error_tells_status_and_message(
    program: Program, kind: str, stream: bool, model: str, status: int, retryable: bool
) -> None:
    saw = program.play("refused", kind=kind, model=model, bias=False, stream=stream)
    assert (saw["statusCode"], saw["isRetryable"]) == (status, retryable)
    assert saw["message"] == saw["body"]["error"]["message"]


@of_each_kind
def test_wrong_key_is_refused(program: Program, kind: str) -> None:
    asked = {"model": "ok", "bias": False, "stream": False, "key": "sk-not-one-of-ours"}
    saw = program.play("refused", kind=kind, **asked)
    assert (saw["statusCode"], saw["body"]["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("dialect", ["anthropic", "gemini", "bedrock"])
def test_field_that_a_dialect_lacks_is_named_and_nothing_is_sent(
    program: Program, obliged: dict[str, Double], dialect: str
) -> None:
    before = len(obliged[dialect].asked)
    asked = {"model": obliging.MODELS[dialect], "bias": True, "stream": False}
    saw = program.play("refused", kind="openai", **asked)
    assert (saw["statusCode"], saw["body"]["error"]["param"]) == (400, "logit_bias")
    assert len(obliged[dialect].asked) == before


@of_each_kind
def test_broken_stream_is_told_after_what_came(program: Program, kind: str) -> None:
    saw = program.play("broken", kind=kind, model="error-event")
    assert TOLD.startswith(saw["text"])
    assert saw["text"]
    assert saw["message"]


@pytest.mark.parametrize("scenario", ["text", "stream"])
def test_responses_are_passed_through(
    program: Program, upstream: Misbehaving, latest: Callable[[], Any], scenario: str
) -> None:
    saw = program.play(scenario, kind="responses", model="ok")
    assert saw["text"] == TOLD
    assert upstream.last.path.endswith("/responses")
    assert latest()["statusCode"] == 200
