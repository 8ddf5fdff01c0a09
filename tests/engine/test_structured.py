"""Answers to a schema, and calls of tools: right every time, streamed and not, however warm."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest
from local_engine import Engine
from schema_shapes import SHAPES

from standpipe.wire.fold import Fold

Json = dict[str, Any]

TIMES = 4
ATTEMPTS = [{"stream": n % 2 == 1, "temperature": (0.2, 0.7, 1.0, 1.3)[n]} for n in range(TIMES)]


def tool(name: str, description: str, parameters: Json | None = None, **more: Any) -> Json:
    function = {"name": name, "description": description, **more}
    function |= {"parameters": parameters} if parameters is not None else {}
    return {"type": "function", "function": function}


CITY = {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}}
TERMS = {"a": {"type": "number"}, "b": {"type": "number"}}
TOOLS = [
    tool(
        "get_weather",
        "Get the weather of a city",
        {"type": "object", "properties": CITY, "required": ["city"]},
    ),
    tool(
        "add",
        "Add two numbers",
        {"type": "object", "properties": TERMS, "required": ["a", "b"]}
        | {"additionalProperties": False},
        strict=True,
    ),
    tool("now", "Tell the time"),
]
PARAMETERS: dict[str, Json] = {
    "get_weather": TOOLS[0]["function"]["parameters"],
    "add": TOOLS[1]["function"]["parameters"],
    "now": {"type": "object", "properties": {}, "additionalProperties": False},
}
QUESTIONS = ["What is the weather in Oslo?", "What is 12 plus 30?", "Hi!", "Sum 4 and 5.", "Time?"]


def asked(engine: Engine, **fields: Any) -> Json:
    """Return the one choice of an answer, folded where it is streamed; no limit is set."""
    fields = {"max_tokens": None, **fields}
    if not fields.pop("stream", False):
        choice: Json = engine.completion(**fields)["choices"][0]
        return choice
    fold = Fold()
    for chunk in engine.chunks(**fields):
        fold.add(chunk)
    folded: Json = fold.completion()["choices"][0]
    return folded


def user(text: str) -> list[Json]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("shape", SHAPES)
def test_answer_is_valid_against_its_schema_and_ends(engine: Engine, shape: str) -> None:
    schema = SHAPES[shape]
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    messages = user(f"Give me an example of {shape}, as JSON.")

    def once(attempt: Json) -> Json:
        return asked(engine, messages=messages, response_format=wanted, **attempt)

    with ThreadPoolExecutor(2) as callers:
        choices = list(callers.map(once, ATTEMPTS))
    checker = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    for choice in choices:
        assert choice["finish_reason"] == "stop"
        checker.validate(json.loads(choice["message"]["content"]))


def test_shapes_make_a_hundred_calls() -> None:
    assert len(SHAPES) >= 20
    assert len(SHAPES) * TIMES >= 100


def well_formed(call: Json) -> bool:
    arguments = json.loads(call["function"]["arguments"])
    jsonschema.validate(arguments, PARAMETERS[call["function"]["name"]])
    return (call["type"], call["id"][:5]) == ("function", "call_")


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_required_tool_is_called_every_time(engine: Engine, question: str, attempt: Json) -> None:
    fields = {"messages": user(question), "tools": TOOLS, "tool_choice": "required", **attempt}

    def once(seed: int) -> tuple[Json, int]:
        parallel = seed == 0
        return asked(
            engine, seed=seed, parallel_tool_calls=parallel, **fields
        ), 4 if parallel else 1

    with ThreadPoolExecutor(2) as callers:
        answers = list(callers.map(once, range(5)))
    for choice, most in answers:
        calls = choice["message"]["tool_calls"]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None
        assert all(map(well_formed, calls))
        assert len({call["id"] for call in calls}) == len(calls) <= most


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
@pytest.mark.parametrize("name", PARAMETERS)
def test_named_tool_is_the_one_that_is_called(engine: Engine, name: str, attempt: Json) -> None:
    choice = {"type": "function", "function": {"name": name}}
    answer = asked(engine, messages=user("Hi!"), tools=TOOLS, tool_choice=choice, **attempt)
    (call,) = answer["message"]["tool_calls"]
    assert call["function"]["name"] == name
    assert well_formed(call)


def test_tools_that_may_not_be_called_are_not(engine: Engine) -> None:
    fields = {"tools": TOOLS, "tool_choice": "none", "max_tokens": 12}
    answer = asked(engine, messages=user(QUESTIONS[0]), **fields)
    assert "tool_calls" not in answer["message"]
    assert answer["message"]["content"]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_text_is_free_to_be_text_when_tools_are_offered(engine: Engine, attempt: Json) -> None:
    answer = asked(engine, messages=user("Hi!"), tools=TOOLS, **attempt, max_tokens=60)
    calls = answer["message"].get("tool_calls", [])
    assert calls or answer["message"]["content"]
    assert all(map(well_formed, calls)) or answer["finish_reason"] == "length"


def test_call_that_the_model_is_led_to_is_found_among_its_text(engine: Engine) -> None:
    # The bias makes the small model begin a call where it would rather not.
    status, body = engine.post("/tokenize", {"content": "<tool_call>\n"})
    assert status == 200
    bias = {str(token): 12 for token in json.loads(body)["tokens"]}
    answer = asked(
        engine, messages=user(QUESTIONS[0]), tools=TOOLS, logit_bias=bias, max_tokens=200, seed=1
    )
    assert answer["finish_reason"] == "tool_calls"
    assert answer["message"]["tool_calls"]
    assert all(map(well_formed, answer["message"]["tool_calls"]))


def test_answer_of_a_tool_is_read(engine: Engine) -> None:
    # What a model of this size makes of it is chance; that it is told is not.
    assert prompt_tokens(engine, "purple " * 60) > prompt_tokens(engine, "purple") + 50


def prompt_tokens(engine: Engine, sky: str) -> int:
    """Return the length of a prompt in which a tool has said this."""
    call = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
    said = {"id": "call_1", "type": "function", "function": call}
    messages = [
        *user("What is the weather in Oslo?"),
        {"role": "assistant", "content": None, "tool_calls": [said]},
        {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"sky": sky})},
    ]
    answer = engine.completion(messages=messages, tools=TOOLS, max_tokens=1)
    return int(answer["usage"]["prompt_tokens"])


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_are_the_text_s_and_not_the_call_s(engine: Engine, stream: bool) -> None:
    fields = {"tools": TOOLS, "logprobs": True, "stream": stream, "max_tokens": 60}
    called = asked(engine, messages=user("Hi!"), tool_choice="required", **fields)
    assert called["logprobs"] is None
    said = asked(engine, messages=user("Hi!"), tool_choice="none", **fields)
    tokens = said["logprobs"]["content"]
    text = b"".join(bytes(token["bytes"]) for token in tokens).decode(errors="replace")
    assert text.startswith(said["message"]["content"])


def test_schema_s_answer_is_text_beside_tools(engine: Engine) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": SHAPES["a record"]}}
    for seed in range(4):
        answer = asked(
            engine, messages=user("Ann is 7."), tools=TOOLS, response_format=wanted, seed=seed
        )
        if "tool_calls" in answer["message"]:
            assert all(map(well_formed, answer["message"]["tool_calls"]))
        else:
            jsonschema.validate(json.loads(answer["message"]["content"]), SHAPES["a record"])
