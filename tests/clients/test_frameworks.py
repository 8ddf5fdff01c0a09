"""LangChain, Pydantic AI and Instructor, unmodified, on every dialect and on the local model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clients import obliging
from clients.programs import Program, python_program
from doubles import Double
from serving import KEY, Standpipe

LOCAL = "smollm2-135m-instruct"
FRAMEWORKS = ("langchain", "pydantic_ai", "instructor")
CHATTING = ("langchain", "pydantic_ai")
DIALECTS = tuple(obliging.MODELS)
MODELS = (*obliging.MODELS.values(), LOCAL)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
#: How each framework can ask for an object: by tools and by the answer's form.
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("langchain", {"method": "json_schema", "strict": None}),
    ("langchain", {"method": "function_calling", "strict": None}),
    ("langchain", {"method": "function_calling", "strict": True}),
    ("pydantic_ai", {"method": "tool"}),
    ("pydantic_ai", {"method": "strict-tool"}),
    ("pydantic_ai", {"method": "native"}),
    ("instructor", {"method": "TOOLS"}),
    ("instructor", {"method": "TOOLS_STRICT"}),
    ("instructor", {"method": "JSON_SCHEMA"}),
]


@pytest.fixture(scope="module")
def program(server: Standpipe) -> Iterator[Program]:
    with python_program(
        "frameworks", "frameworks_client", url=server.root + "/v1", key=KEY
    ) as started:
        yield started


def way_names(value: object) -> str | None:
    return "-".join(map(str, value.values())) if isinstance(value, dict) else None


@pytest.mark.parametrize("framework", CHATTING)
@pytest.mark.parametrize("scenario", ["text", "stream"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_text_is_answered_with_its_usage(
    program: Program, framework: str, scenario: str, dialect: str
) -> None:
    saw = program.play(f"{framework}_{scenario}", model=obliging.MODELS[dialect])
    assert saw == {"text": obliging.CONTENT, "usage": list(obliging.USAGE)}


@pytest.mark.parametrize("framework", CHATTING)
@pytest.mark.parametrize("scenario", ["text", "stream"])
def test_local_model_answers_text_with_its_usage(
    program: Program, framework: str, scenario: str
) -> None:
    saw = program.play(f"{framework}_{scenario}", model=LOCAL)
    assert saw["text"]
    assert all(count > 0 for count in saw["usage"])


@pytest.mark.parametrize("framework", CHATTING)
@pytest.mark.parametrize("dialect", DIALECTS)
@streamed
def test_tools_are_called_in_parallel_and_their_results_are_read(
    program: Program, framework: str, dialect: str, stream: bool
) -> None:
    asked = {"model": obliging.MODELS[dialect], "choice": None, "stream": stream}
    saw = program.play(f"{framework}_tools", **asked)
    assert saw["cities"] == ["Paris", "Rome"]
    assert saw["text"] == "I hear: sun in Paris; sun in Rome"


@pytest.mark.parametrize("framework", CHATTING)
@pytest.mark.parametrize("model", MODELS)
@streamed
def test_tool_is_called_because_it_must_be(
    program: Program, framework: str, model: str, stream: bool
) -> None:
    asked = {"model": model, "choice": "required", "stream": stream}
    saw = program.play(f"{framework}_tools", **asked)
    assert set(saw["cities"]) <= {"Paris", "Rome"}
    assert saw["cities"]
    assert saw["text"]


@pytest.mark.parametrize(("framework", "way"), WAYS, ids=way_names)
@pytest.mark.parametrize("model", MODELS)
@streamed
def test_answer_is_an_object_of_the_class_asked_for(
    program: Program, framework: str, way: dict[str, Any], model: str, stream: bool
) -> None:
    saw = program.play(f"{framework}_structured", model=model, stream=stream, **way)
    assert saw["city"] in ({"Paris", "Rome"} if model == LOCAL else {"Paris"})


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    ("model", "error", "status"),
    [
        ("openpipe:none", "NotFoundError", 404),
        ("busy", "RateLimitError", 429),
        ("broken", "InternalServerError", 500),
        ("locked", "InternalServerError", 502),
    ],
)
def test_error_is_of_the_class_of_its_status(
    program: Program, framework: str, model: str, error: str, status: int
) -> None:
    saw = program.play(f"{framework}_refused", model=model, fields={})
    assert (saw["class"], saw["status"]) == (error, status)
    assert saw["body"]["message"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_wrong_key_is_an_authentication_error(program: Program, framework: str) -> None:
    saw = program.play(f"{framework}_refused", model="ok", fields={}, key="sk-not-one-of-ours")
    assert (saw["class"], saw["body"]["code"]) == ("AuthenticationError", "invalid_api_key")


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("dialect", ["anthropic", "gemini", "bedrock"])
def test_field_that_a_dialect_lacks_is_named_and_nothing_is_sent(
    program: Program, obliged: dict[str, Double], framework: str, dialect: str
) -> None:
    before = len(obliged[dialect].asked)
    model, fields = obliging.MODELS[dialect], {"logit_bias": {"50256": -100}}
    saw = program.play(f"{framework}_refused", model=model, fields=fields)
    assert (saw["class"], saw["status"]) == ("BadRequestError", 400)
    assert saw["body"]["param"] == "logit_bias"
    assert len(obliged[dialect].asked) == before


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_call_of_a_framework_is_logged(
    program: Program, latest: Callable[[], Any], framework: str
) -> None:
    scenario = "structured" if framework == "instructor" else "text"
    way = {"method": "TOOLS", "stream": False} if framework == "instructor" else {}
    program.play(f"{framework}_{scenario}", model=obliging.MODELS["anthropic"], **way)
    kept = latest()
    assert kept["statusCode"] == 200
    assert kept["reqPayload"]["model"] == kept["respPayload"]["model"]
