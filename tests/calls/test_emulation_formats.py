"""`response_format` where a provider cannot hold to it: never invalid JSON called success."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from calling import Gateway
from doubles import Asked, Said, as_openai, completion, running, scripted

from standpipe.calls.emulation.check_process import answer

Json = dict[str, Any]

SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"$ref": "#/$defs/whole"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
    "$defs": {"whole": {"type": "integer"}},
}
GOOD = '{"city": "Paris", "degrees": 20}'
BAD = '{"city": "Paris", "degrees": "warm"}'
FORMATS: Any = dict.fromkeys(
    ("response_format:json_object", "response_format:json_schema"), "emulated"
)
SCHEMA_ONLY: Any = {"response_format:json_schema": "emulated"}
OBJECT = {"type": "json_object"}
streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def by_schema(schema: Json = SCHEMA) -> Json:
    spec = {"name": "weather", "schema": schema, "strict": True}
    return {"type": "json_schema", "json_schema": spec}


@streams
@pytest.mark.parametrize("said", [GOOD, f"```json\n{GOOD}\n```", f"  {GOOD}\n"])
def test_a_valid_answer_is_passed_on_without_its_fence(
    tmp_path: Path, said: str, stream: bool
) -> None:
    with scripted(said) as double:
        gateway = Gateway(tmp_path, double.url, FORMATS)
        reply = gateway.ask(response_format=by_schema(), stream=stream)
    assert reply.content == GOOD
    assert len(double.asked) == 1
    (sent,) = double.bodies
    assert "response_format" not in sent
    assert "stream" not in sent
    assert sent["messages"][0]["role"] == "system"
    assert json.dumps(SCHEMA, separators=(",", ":")) in sent["messages"][0]["content"]
    assert reply.fidelity == "response_format:json_schema=emulated"


@streams
def test_an_invalid_answer_is_mended_once(tmp_path: Path, stream: bool) -> None:
    used = {"include_usage": True} if stream else None
    with scripted(BAD, GOOD) as double:
        gateway = Gateway(tmp_path, double.url, FORMATS)
        reply = gateway.ask(response_format=by_schema(), stream=stream, stream_options=used)
    assert reply.content == GOOD
    *_, said, told = double.bodies[1]["messages"]
    assert said == {"role": "assistant", "content": BAD}
    assert "$.degrees: 'warm' is not of type 'integer'" in told["content"]
    (record,) = gateway.records
    assert len(record.attempts) == 2
    usage = reply.chunks[-1]["usage"] if stream else reply.json["usage"]
    assert usage["total_tokens"] == 18


@streams
@pytest.mark.parametrize(
    ("said", "named"),
    [
        (BAD, '$.degrees breaks "type": "integer"'),
        ("no JSON at all", "it is not JSON"),
        ("", "it has no text"),
        ('{"city": NaN}', "it is not JSON"),
        ("[" * 5000, "not JSON"),
    ],
)
def test_an_answer_that_stays_invalid_is_an_error_that_names_what_is_wrong(
    tmp_path: Path, said: str, named: str, stream: bool
) -> None:
    with scripted(said) as double:
        gateway = Gateway(tmp_path, double.url, FORMATS)
        reply = gateway.ask(response_format=by_schema(), stream=stream)
    assert reply.status == 502
    assert named in reply.json["message"] or "nested too deep" in reply.json["message"]
    assert "warm" not in reply.json["message"]
    assert len(double.asked) == 2
    (record,) = gateway.records
    assert record.outcome == "failed"
    assert record.usage is not None, "both tries were billed"
    assert record.usage.total_tokens == 18


def test_an_answer_cut_off_at_its_limit_is_no_success(tmp_path: Path) -> None:
    with scripted(completion(GOOD[:-5], finish="length")) as double:
        reply = Gateway(tmp_path, double.url, FORMATS).ask(response_format=by_schema())
    assert reply.status == 502
    assert "limit of tokens" in reply.json["message"]


@pytest.mark.parametrize(("said", "status"), [('{"any": 1}', 200), ("[1]", 502)])
def test_json_object_is_an_object(tmp_path: Path, said: str, status: int) -> None:
    with scripted(said) as double:
        reply = Gateway(tmp_path, double.url, FORMATS).ask(response_format=OBJECT)
    assert reply.status == status


def test_a_provider_with_json_objects_is_held_to_one(tmp_path: Path) -> None:
    with scripted(GOOD) as double:
        Gateway(tmp_path, double.url, SCHEMA_ONLY).ask(response_format=by_schema())
    assert double.bodies[0]["response_format"] == OBJECT


def test_the_schema_joins_the_system_s_message(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    with scripted(GOOD) as double:
        gateway = Gateway(tmp_path, double.url, FORMATS)
        gateway.ask(response_format=by_schema(), messages=messages)
    first, second = double.bodies[0]["messages"]
    assert first["content"].startswith("Be brief.\n\nAnswer with one JSON value")
    assert second == messages[1]


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "refusal": "I won't"},
        {
            "content": None,
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
    ],
)
@streams
def test_refusals_and_tool_calls_are_no_json_to_check(
    tmp_path: Path, message: Json, stream: bool
) -> None:
    with scripted(completion(message)) as double:
        reply = Gateway(tmp_path, double.url, FORMATS).ask(
            response_format=by_schema(), stream=stream
        )
    said = reply.answer["choices"][0]["message"]
    assert said.get("refusal") == message.get("refusal")
    assert said.get("tool_calls") == message.get("tool_calls")
    assert len(double.asked) == 1


@pytest.mark.parametrize("native", [False, True])
@streams
def test_each_of_several_choices_is_checked_and_mended(
    tmp_path: Path, native: bool, stream: bool
) -> None:
    words = FORMATS if native else {**FORMATS, "n>1": "emulated"}

    def answered(asked: Asked) -> Said:
        mended = asked.body["messages"][-1]["content"].startswith("That answer cannot be used")
        return as_openai(completion(GOOD if mended else BAD), asked.body)

    with running(answered) as double:
        gateway = Gateway(tmp_path, double.url, words)
        reply = gateway.ask(response_format=by_schema(), n=2, stream=stream)
    assert [choice["message"]["content"] for choice in reply.answer["choices"]] == [GOOD, GOOD]
    assert len(gateway.records[0].attempts) == 4
    assert "n>1=emulated" in reply.fidelity


REFUSED: list[tuple[Json, str]] = [
    ({"type": "objekt"}, "is not valid JSON Schema: $.type"),
    ({"$ref": "https://x.test/schema.json"}, "is not in the schema; none is fetched"),
    ({"$ref": "#/$defs/missing"}, "is not in the schema"),
    ({"$ref": "#"}, "refers to itself without end"),
    ({"enum": ["x" * 1000] * 70}, "are over the 65536"),
]


@streams
@pytest.mark.parametrize(("schema", "named"), REFUSED)
def test_a_schema_that_cannot_be_used_is_refused_before_anything_is_sent(
    tmp_path: Path, schema: Json, named: str, stream: bool
) -> None:
    with scripted() as double:
        gateway = Gateway(tmp_path, double.url, FORMATS)
        reply = gateway.ask(response_format=by_schema(schema), stream=stream)
    assert reply.status == 400
    assert named in reply.json["message"]
    assert reply.json["error"]["param"] == "response_format.json_schema.schema"
    assert not double.asked


def test_a_pattern_without_end_is_an_error_and_stalls_nobody(tmp_path: Path) -> None:
    endless = {"type": "string", "pattern": "^(a+)+$"}
    with scripted(json.dumps("a" * 60 + "!"), GOOD) as double:
        gateway = Gateway(tmp_path, double.url, FORMATS)
        reply = gateway.ask(response_format=by_schema(endless))
        assert reply.status == 502, reply.body
        assert gateway.ask(response_format=by_schema()).content == GOOD
    assert len(double.asked) == 3


@pytest.mark.parametrize("text", ["null", "1e400", '"\\ud800"', "{}", '{"a":{}}', "[[[]]]"])
def test_the_check_says_something_of_any_json(text: str) -> None:
    said = answer({"schema": SCHEMA, "text": text})
    assert said["schema"] is None
    assert said["faults"]
