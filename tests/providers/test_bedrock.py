"""Bedrock's dialect: what each field becomes, what is refused, what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bedrock_exchanges import EXCHANGES, event, request_of, stream_of

from standpipe.errors import BadRequest, Cut, NotACompletion
from standpipe.providers.bedrock.dialect import Bedrock
from standpipe.providers.bedrock.frames import frame
from standpipe.providers.bedrock.messages import call_id
from standpipe.providers.dialect import Quirks
from standpipe.wire import chat

Json = dict[str, Any]

DIALECT = Bedrock()
QUIRKS = Quirks()
CLAUDE = "eu.anthropic.claude-opus-4-6-v1"
OLD = "anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "amazon.nova-2-lite-v1:0"
GPT = "openai.gpt-oss-20b-1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
LOOSE: Json = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}}


def request(**fields: Any) -> chat.ChatRequest:
    body = {"model": "asked", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return chat.parse(json.dumps(body).encode())


def sent(model: str = CLAUDE, **fields: Any) -> Json:
    body: Json = json.loads(DIALECT.prepare(request(**fields), model, QUIRKS).body)
    return body


def refused(model: str = CLAUDE, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as raised:
        sent(model, **fields)
    return raised.value


def said(*content: Json, **more: Any) -> Json:
    return {"messages": [{"role": "user", "content": list(content), **more}]}


def tool(name: str = "f", **function: Any) -> Json:
    return {"type": "function", "function": {"name": name, **function}}


def called(call: str, arguments: str = "{}", **more: Any) -> list[Json]:
    function = {"name": "f", "arguments": arguments}
    asks = {
        "role": "assistant",
        "tool_calls": [{"id": call, "type": "function", "function": function}],
    }
    return [asks, {"role": "tool", "tool_call_id": call, "content": "1", **more}]


def file(**fields: Any) -> Json:
    return {"type": "file", "file": fields}


@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        (
            CLAUDE,
            "medium",
            {
                "additionalModelRequestFields": {
                    "thinking": {"type": "adaptive", "display": "summarized"}
                },
                "outputConfig": {"effort": "medium"},
            },
        ),
        (CLAUDE, "none", {"additionalModelRequestFields": {"thinking": {"type": "disabled"}}}),
        (
            OLD,
            "low",
            {
                "inferenceConfig": {"maxTokens": 6144},
                "additionalModelRequestFields": {
                    "thinking": {"type": "enabled", "budget_tokens": 2048}
                },
            },
        ),
        (OLD, "none", {}),
        (GPT, "high", {"additionalModelRequestFields": {"reasoning_effort": "high"}}),
        (
            NOVA,
            "low",
            {
                "additionalModelRequestFields": {
                    "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}
                }
            },
        ),
        (NOVA, "none", {"additionalModelRequestFields": {"reasoningConfig": {"type": "disabled"}}}),
    ],
)
def test_effort_is_said_as_the_models_family_takes_it(
    model: str, effort: str, fields: Json
) -> None:
    body = sent(model, reasoning_effort=effort)
    del body["messages"]
    assert body == fields


@pytest.mark.parametrize(
    ("model", "effort"), [(LLAMA, "low"), (GPT, "none"), (NOVA, "xhigh"), (CLAUDE, "huge")]
)
def test_effort_that_a_model_does_not_know_is_refused_by_name(model: str, effort: str) -> None:
    assert refused(model, reasoning_effort=effort).param == "reasoning_effort"


def test_limit_without_room_to_think_is_refused_by_name() -> None:
    assert refused(OLD, reasoning_effort="low", max_tokens=1024).param == "max_tokens"


def test_fields_of_converse_pass_and_are_merged() -> None:
    own = {"requestMetadata": {"team": "a"}, "performanceConfig": {"latency": "optimized"}}
    more = {"additionalModelRequestFields": {"top_k": 3}}
    body = sent(NOVA, reasoning_effort="low", **own, **more)
    assert {name: body[name] for name in own} == own
    assert body["additionalModelRequestFields"].keys() == {"reasoningConfig", "top_k"}
    assert "requestMetadata" not in sent(requestMetadata=None)


@pytest.mark.parametrize(("tier", "told"), [("auto", None), ("priority", {"type": "priority"})])
def test_tier_is_said(tier: str, told: Json | None) -> None:
    assert sent(service_tier=tier).get("serviceTier") == told


def test_unknown_tier_is_refused_by_name() -> None:
    assert refused(service_tier="scale").param == "service_tier"


def test_empty_stop_is_refused_by_name() -> None:
    assert refused(stop=["a", ""]).param == "stop[1]"
    assert "inferenceConfig" not in sent(stop="")


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "f"}}, {"tool": {"name": "f"}}),
        (None, None),
    ],
)
def test_tool_choice_is_said(choice: Any, told: Json | None) -> None:
    assert sent(tools=[tool()], tool_choice=choice)["toolConfig"].get("toolChoice") == told


def test_tool_without_parameters_takes_an_object() -> None:
    [offered] = sent(tools=[tool(description="")])["toolConfig"]["tools"]
    schema = {"type": "object", "properties": {}}
    assert offered == {"toolSpec": {"name": "f", "inputSchema": {"json": schema}}}


def test_strict_tool_that_cannot_be_enforced_is_refused_by_name() -> None:
    error = refused(tools=[tool(strict=True, parameters=LOOSE)])
    assert error.param == "tools[0].function.parameters.properties.a.minLength"


def test_tool_name_that_bedrock_does_not_take_is_refused_by_name() -> None:
    assert refused(tools=[tool("a.b")]).param == "tools[0].function.name"


def test_calls_of_tools_that_are_not_offered_any_more_are_said_in_words() -> None:
    messages = [{"role": "user", "content": "Hi"}, *called("c", '{"a":1}', content="")]
    body = sent(messages=messages)
    assert "toolConfig" not in body
    assert body["messages"][1]["content"] == [{"text": '[called f with {"a":1}]'}]
    assert body["messages"][2]["content"] == [{"text": "[result of f: (empty)]"}]


def test_failed_result_and_empty_result_are_said() -> None:
    talk = [{"role": "user", "content": "Hi"}, *called("c", "", content=" ", is_error=True)]
    _, *turns = sent(messages=talk, tools=[tool()])["messages"]
    assert turns[0]["content"] == [{"toolUse": {"toolUseId": "c", "name": "f", "input": {}}}]
    result = {"toolUseId": "c", "content": [{"text": "(empty)"}], "status": "error"}
    assert turns[1]["content"] == [{"toolResult": result}]


def test_conversation_that_the_assistant_begins_has_a_turn_before_it() -> None:
    begun = {"role": "assistant", "content": "Hello!"}
    turns = sent(messages=[begun, {"role": "user", "content": "Hi"}])["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]


def test_arguments_that_are_no_object_are_refused_by_name() -> None:
    error = refused(messages=called("c", "[1]"), tools=[tool()])
    assert error.param == "messages[0].tool_calls[0].function.arguments"


@pytest.mark.parametrize("said_id", ["a|b", "a/b", "", "x" * 65, "é"])
def test_call_ids_are_made_fit_and_stay_apart(said_id: str) -> None:
    made = call_id(said_id)
    assert 0 < len(made) <= 64
    assert made.isascii()
    assert made == call_id(said_id)
    assert made != call_id(said_id + "|")


def test_call_id_that_fits_stays() -> None:
    assert call_id("call.1:A_b-c") == "call.1:A_b-c"


def test_cache_marks_become_cache_points() -> None:
    mark = {"type": "ephemeral"}
    body = sent(
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": mark}]},
            {"role": "user", "content": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"role": "user", "content": "", "cache_control": mark},
        ]
    )
    point = {"cachePoint": {"type": "default"}}
    assert body["system"] == [{"text": "s"}, point]
    long = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert body["messages"] == [{"role": "user", "content": [{"text": "a"}, long]}]


@pytest.mark.parametrize(
    ("fields", "form", "name"),
    [
        ({"file_data": "JVBERi0="}, "pdf", "document"),
        ({"file_data": "JVBERi0=", "filename": "a_b  c.DOCX"}, "docx", "a b c"),
        ({"file_data": "data:text/markdown;charset=utf-8;base64,YQ=="}, "md", "document"),
        ({"file_data": "data:;base64,YQ==", "filename": "é.htm"}, "txt", "document"),
        (
            {"file_data": "data:application/octet-stream;base64,YQ==", "filename": "t.csv"},
            "csv",
            "t",
        ),
        ({"file_id": "s3://b/k/report.xlsx"}, "xlsx", "report"),
    ],
)
def test_document_is_of_a_form_that_bedrock_takes(fields: Json, form: str, name: str) -> None:
    [document, text] = sent(**said(file(**fields)))["messages"][0]["content"]
    assert document["document"]["format"] == form
    assert document["document"]["name"] == name
    assert text == {"text": name}


@pytest.mark.parametrize(
    ("part", "param"),
    [
        (file(filename="a.pdf"), "file"),
        (file(file_id="file-1"), "file"),
        (file(file_data="YQ==", filename="a.zip"), "file"),
        (file(file_data="data:image/png;base64,YQ=="), "file"),
        (file(file_data="data:text/plain,a"), "file"),
        (
            {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,YQ=="}},
            "image_url.url",
        ),
        ({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}, "image_url.url"),
        (
            {"type": "input_audio", "input_audio": {"data": "YQ==", "format": "aiff"}},
            "input_audio.format",
        ),
        ({"type": "video_url", "video_url": {}}, "type"),
    ],
)
def test_part_that_cannot_be_said_is_refused_by_name(part: Json, param: str) -> None:
    assert refused(**said(part)).param == f"messages[0].content[0].{param}"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "assistant", "audio": {"id": "a"}}, "messages[0].audio"),
        ({"role": "function", "name": "f", "content": "1"}, "messages[0].role"),
    ],
)
def test_message_that_cannot_be_said_is_refused_by_name(message: Json, param: str) -> None:
    assert refused(messages=[message]).param == param


def test_request_with_nothing_to_answer_is_refused_by_name() -> None:
    assert refused(messages=[{"role": "system", "content": "Be brief."}]).param == "messages"


def asking_schema(schema: Json, *, strict: bool) -> Json:
    form = {"name": "thing", "schema": schema, "strict": strict}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


@pytest.mark.parametrize("strict", [True, False])
def test_schema_is_enforced_where_it_can_be(strict: bool) -> None:
    form = sent(**asking_schema(SCHEMA, strict=strict))["outputConfig"]["textFormat"]
    told = form["structure"]["jsonSchema"]
    assert told["name"] == "thing"
    assert json.loads(told["schema"]) == {**SCHEMA, "additionalProperties": False}


def test_schema_keeps_an_effort_beside_it() -> None:
    body = sent(reasoning_effort="low", **asking_schema(SCHEMA, strict=True))
    assert body["outputConfig"].keys() == {"effort", "textFormat"}


def test_strict_schema_that_cannot_be_enforced_is_refused_by_name() -> None:
    error = refused(**asking_schema(LOOSE, strict=True))
    assert error.param == "response_format.json_schema.schema.properties.a.minLength"


def test_other_schema_that_cannot_be_enforced_is_said_in_words() -> None:
    body = sent(**asking_schema(LOOSE, strict=False))
    assert "outputConfig" not in body
    assert json.dumps(LOOSE, separators=(",", ":")) in body["system"][0]["text"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"{}", "no `output.message`"),
        (b'{"message":"no model"}', "no model"),
        (b'{"output":{"message":1},"stopReason":"end_turn"}', "no `output.message`"),
        (b'{"output":{"message":{"content":[]}}}', "no `output.message`"),
    ],
)
def test_answer_that_is_no_completion_is_an_error(body: bytes, words: str) -> None:
    with pytest.raises(NotACompletion, match=words):
        DIALECT.completion(body, request())


def test_answer_without_content_is_one() -> None:
    body = b'{"output":{"message":{"content":null}},"stopReason":"content_filtered"}'
    told = json.loads(DIALECT.completion(body, request()).body)
    assert told["choices"][0]["message"]["content"] is None
    assert told["choices"][0]["finish_reason"] == "content_filter"
    assert "usage" not in told


def broken(tail: bytes) -> tuple[bytes, str]:
    """Return what is sent before a stream breaks, and the error's words."""
    exchange = EXCHANGES["text"]
    decoder = DIALECT.decoder(request_of(exchange, stream=True), QUIRKS)
    begun = b"".join(event(*each) for each in exchange["events"][:2])
    out = decoder.feed(begun + tail)
    with pytest.raises(Cut) as raised:
        decoder.feed(b"")
    with pytest.raises(Cut):
        decoder.close()
    return out, raised.value.message


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (event("throttlingException", {"message": "slow down"}, "exception"), "slow down"),
        (event("newException", {"Message": "what"}, "exception"), "newException: what"),
        (event("newException", [], "exception"), "newException"),
        (
            frame({":message-type": "error", ":error-code": "500", ":error-message": "x"}, b""),
            "500: x",
        ),
        (frame({}, b""), "no reason"),
        (event("contentBlockDelta", [1]), "not a JSON object"),
        (event("messageStop", {"stopReason": "malformed_tool_use"}), "malformed_tool_use"),
        (b"\x00" * 16, "cannot be read"),
    ],
)
def test_stream_that_breaks_gives_what_came_and_then_the_error(tail: bytes, words: str) -> None:
    out, message = broken(tail)
    assert b'"content":"H' in out
    assert words in message


def test_metadata_before_the_stop_is_not_the_end() -> None:
    decoder = DIALECT.decoder(request_of(EXCHANGES["text"], stream=True), QUIRKS)
    decoder.feed(event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}}))
    assert not decoder.done
    with pytest.raises(Cut):
        decoder.close()


def test_what_follows_the_end_is_passed_over() -> None:
    exchange = EXCHANGES["text"]
    decoder = DIALECT.decoder(request_of(exchange, stream=True), QUIRKS)
    decoder.feed(stream_of(exchange))
    assert decoder.done
    assert decoder.feed(stream_of(exchange) + event("x", {}, "exception")) == b""
    decoder.close()


def test_blocks_without_an_end_are_ended_by_the_message() -> None:
    exchange = EXCHANGES["thinking"]
    kept = [each for each in exchange["events"] if each[0] != "contentBlockStop"]
    decoder = DIALECT.decoder(request_of(exchange, stream=True), QUIRKS)
    out = decoder.feed(b"".join(event(*each) for each in kept))
    assert out.count(b'"signature":"EqoB"') == 1
    assert decoder.done
