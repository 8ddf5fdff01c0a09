from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import BadRequest, Unavailable
from standpipe.providers import local, local_fields, local_schema
from standpipe.providers.dialect import Quirks
from standpipe.wire import chat

USER = {"role": "user", "content": "hi"}
Json = dict[str, Any]


def raw(**fields: Any) -> dict[str, msgspec.Raw]:
    body = {"model": "m", "messages": [USER], **fields}
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}


def refused(**fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        local_fields.refuse(raw(**fields))
    assert caught.value.param
    assert caught.value.message.startswith(f"{caught.value.param}: ")
    return caught.value


def schema(body: Any, **more: Any) -> Json:
    spec = {"name": "answer", "schema": body, **more}
    return {"type": "json_schema", "json_schema": spec}


def message(**fields: Any) -> list[Json]:
    return [USER, {"role": "assistant", "content": "so", **fields}, USER]


def parts(*types: str) -> list[Json]:
    return [{"role": "user", "content": [{"type": kind, "text": "a"} for kind in types]}]


TOOL = {"type": "function", "function": {"name": "f"}}
REFUSED: list[tuple[Json, str]] = [
    ({"tools": [TOOL]}, "tools"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": TOOL}, "tool_choice"),
    ({"function_call": {"name": "f"}}, "function_call"),
    ({"n": 2}, "n"),
    ({"audio": {"format": "wav", "voice": "ash"}}, "audio"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"reasoning_effort": "high"}, "reasoning_effort"),
    ({"verbosity": "low"}, "verbosity"),
    ({"service_tier": "priority"}, "service_tier"),
    ({"stop": ""}, "stop"),
    ({"stop": ["a", ""]}, "stop"),
    ({"logit_bias": {"Hello": 1}}, "logit_bias"),
    ({"logit_bias": {"-5": 1}}, "logit_bias"),
    ({"top_k": -1}, "top_k"),
    ({"top_k": 1.5}, "top_k"),
    ({"top_k": True}, "top_k"),
    ({"min_p": 2}, "min_p"),
    ({"typical_p": "1"}, "typical_p"),
    ({"repeat_penalty": 0}, "repeat_penalty"),
    ({"repeat_last_n": -1}, "repeat_last_n"),
    ({"n_discard": -1}, "n_discard"),
    ({"n_keep": 1}, "n_keep"),
    ({"n_predict": -1}, "n_predict"),
    ({"lora": [{"id": 0, "scale": 1}]}, "lora"),
    ({"id_slot": 1}, "id_slot"),
    ({"grammar": "root ::= x"}, "grammar"),
    ({"json_schema": {}}, "json_schema"),
    ({"chat_template_kwargs": {}}, "chat_template_kwargs"),
    ({"continue_final_message": True}, "continue_final_message"),
    ({"samplers": ["dry"]}, "samplers"),
    ({"n_discard": None}, "n_discard"),
    ({"response_format": {"type": "grammar", "grammar": "x"}}, "response_format.type"),
    ({"messages": [USER, {"role": "tool", "content": "x"}]}, "messages[1].role"),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
    ({"messages": message(tool_calls=[{"id": "1"}])}, "messages[1].tool_calls"),
    ({"messages": message(function_call={"name": "f"})}, "messages[1].function_call"),
    ({"messages": message(audio={"id": "a"})}, "messages[1].audio"),
    ({"messages": message(reasoning_content="x")}, "messages[1].reasoning_content"),
    ({"messages": parts("text", "image_url")}, "messages[0].content[1].type"),
    ({"messages": parts("input_audio")}, "messages[0].content[0].type"),
    ({"messages": parts("hologram")}, "messages[0].content[0].type"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED, ids=str)
def test_what_cannot_be_honoured_is_refused_by_name(fields: Json, param: str) -> None:
    assert refused(**fields).param == param


def test_refusal_says_what_to_do() -> None:
    assert refused(tools=[TOOL]).message == (
        "tools: the local model does not support tools yet; "
        "remove the field or route the call to another provider"
    )


HONOURED: list[Json] = [
    {"tools": [], "tool_choice": "none", "functions": [], "function_call": "auto"},
    {"tools": None, "audio": None, "n": None, "prediction": None, "stop": None},
    {"n": 1, "modalities": ["text"], "reasoning_effort": "none", "service_tier": "auto"},
    {"logit_bias": {"42": -100}, "stop": ["a", "b"], "seed": -1, "user": "u"},
    {"top_k": 0, "min_p": 0.05, "typical_p": 1, "repeat_penalty": 1, "repeat_last_n": 0},
    {"store": True, "metadata": {"a": "b"}, "stream": True},
    {"response_format": {"type": "text"}},
    {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
    {"messages": message(tool_calls=[], function_call=None, audio=None, annotations=[])},
    {"messages": parts("text", "text")},
]


@pytest.mark.parametrize("fields", HONOURED, ids=str)
def test_what_can_be_honoured_passes(fields: Json) -> None:
    local_fields.refuse(raw(**fields))


def test_every_field_of_openai_s_has_its_word() -> None:
    assert set(chat.FIELDS) <= set(local_fields.FIELDS)


def test_largest_schema_passes() -> None:
    values = [f"value {i}" for i in range(local_schema.MAX_CHOICES)]
    local_fields.refuse(raw(response_format=schema({"enum": values})))


@pytest.mark.parametrize("pattern", [r"^(\d{3}-){2}\d{4}$", r"^[a-z]+@[a-z]+\.(?:com|org)$"])
def test_ordinary_pattern_passes(pattern: str) -> None:
    local_fields.refuse(raw(response_format=schema({"pattern": pattern}, strict=True)))


LARGE = [
    {"enum": list(range(1001))},
    {"description": "x" * 65536},
    {"anyOf": [{"const": i} for i in range(501)]},
    {"properties": {f"p{i}": {} for i in range(1001)}},
    {"items": {"$defs": {"a": {"enum": list(range(1001))}}}},
    {"pattern": "^((a?){0,10}){0,10}$"},
    {"pattern": "^(a?){0,1000}$"},
    {"pattern": "^(a?b?c?d?){0,20}$"},
    {"pattern": f"^(a){{{'9' * 5000}}}$"},
    {"pattern": f"^{'a?' * 100}$"},
]


@pytest.mark.parametrize("body", LARGE, ids=lambda body: str(body)[:40])
def test_schema_that_would_stall_other_calls_is_refused(body: Json) -> None:
    assert refused(response_format=schema(body)).param == "response_format.json_schema.schema"


UNENFORCED = [
    {"not": {"type": "string"}},
    {"type": "array", "uniqueItems": True},
    {"type": "number", "minimum": 0},
    {"type": "string", "pattern": "abc"},
    {"type": "string", "format": "email"},
    {"properties": {"a": {"items": {"multipleOf": 2}}}},
]


@pytest.mark.parametrize("body", UNENFORCED, ids=str)
def test_keyword_that_cannot_be_enforced_is_refused_when_strict(body: Json) -> None:
    local_fields.refuse(raw(response_format=schema(body)))
    local_fields.refuse(raw(response_format=schema(body, strict=False)))
    refused(response_format=schema(body, strict=True))


def test_property_named_like_a_keyword_is_no_keyword() -> None:
    body = {"properties": {"not": {"const": {"uniqueItems": 1}}, "format": {"type": "string"}}}
    local_fields.refuse(raw(response_format=schema(body, strict=True)))


def test_developer_speaks_as_system() -> None:
    messages = [{"role": "developer", "content": "Be brief."}, USER]
    changed = local.adapt(raw(messages=messages))["messages"]
    assert changed == [{"role": "system", "content": "Be brief."}, USER]


def test_default_system_message_comes_first_if_none_is_given() -> None:
    changed = local.adapt(raw())["messages"]
    assert changed == [{"role": "system", "content": local.SYSTEM}, USER]


def test_content_of_every_form_becomes_text() -> None:
    both = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]
    said: list[Json] = [{"content": both}, {"content": None}, {}, {"refusal": "never"}]
    said += [{"content": "b", "name": "Ada"}]
    messages = [{"role": "assistant", **each} for each in said]
    changed = local._messages(raw(messages=messages), None)
    assert [each["content"] for each in changed] == ["a\nno", "", "", "never", "Ada: b"]


def test_sampling_is_filled_only_where_left_open() -> None:
    changes = local.adapt(raw(temperature=1, top_p=None))
    assert "temperature" not in changes
    assert (changes["top_p"], changes["repeat_penalty"]) == (0.9, 1.1)


@pytest.mark.parametrize(("asked", "sent"), [(None, 1), (0, 1), (1, 1), (20, 20)])
def test_logprobs_always_ask_for_an_alternative(asked: int | None, sent: int) -> None:
    assert local.adapt(raw(logprobs=True, top_logprobs=asked))["top_logprobs"] == sent
    assert "top_logprobs" not in local.adapt(raw(logprobs=False))


def test_emulation_is_told() -> None:
    said = [{"role": "developer", "content": "<|im_end|>"}, {**USER, "name": "Ada"}]
    assert local.emulated(raw(messages=said)) == (
        "messages.role=developer",
        "messages.name",
        "messages.content=control-tokens",
    )
    assert local.emulated(raw()) == ()


TOKENS = ["<|im_end|>", "<|eot_id|>", "</s>", "<filename>", "[INST]", "<end_of_turn>"]


@given(st.lists(st.sampled_from([*TOKENS, "<", "|", ">", "x", " ", "im_end", "\u200d"])))
def test_no_control_token_is_left_in_a_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    inert = local.inert(text)
    assert not any(token in inert for token in TOKENS)
    assert inert.replace("\u200d", "") == text.replace("\u200d", "")
    assert local.inert(inert) == inert


@pytest.mark.parametrize("text", ["a < b | c > d", "<div>", "f(x)[0]", "<|>", "x <| y |> z"])
def test_other_text_is_left_alone(text: str) -> None:
    assert local.inert(text) == text


def test_body_is_sent_as_the_dialect_puts_it() -> None:
    body = {"model": "local:m", "messages": [USER], "stream": True, "store": True, "top_k": 5}
    request = chat.parse(json.dumps(body).encode())
    sent = json.loads(local.Local().prepare(request, "m", Quirks()))
    assert (sent["model"], sent["top_k"], sent["temperature"]) == ("m", 5, 0.2)
    assert sent["stream_options"] == {"include_usage": True}
    assert "store" not in sent


def test_dialect_refuses_before_it_sends() -> None:
    body = {"model": "m", "messages": [USER], "n_discard": -1}
    with pytest.raises(BadRequest, match=r"^n_discard: "):
        local.Local().prepare(chat.parse(json.dumps(body).encode()), "m", Quirks())


def test_repair_leaves_its_input_and_unknown_fields() -> None:
    token = {"id": 5, "token": "a", "logprob": -1.0, "bytes": [97]}
    body: Json = {
        "x_vendor": 1,
        "timings": {"predicted_n": 3},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "reasoning_content": "r"},
                "logprobs": {"content": [{**token, "top_logprobs": [token]}]},
            }
        ],
    }
    before = json.dumps(body)
    repaired = local.completion(body)
    assert json.dumps(body) == before
    (choice,) = repaired["choices"]
    assert choice["message"]["content"] == ""
    assert choice["message"]["reasoning_content"] == "r"
    (entry,) = choice["logprobs"]["content"]
    assert "id" not in entry
    assert "id" not in entry["top_logprobs"][0]
    assert (repaired["x_vendor"], repaired["timings"]) == (1, {"predicted_n": 3})


def test_role_is_put_where_llama_cpp_leaves_it_out() -> None:
    mender = local.Mender()
    said = [{"content": "\U0001f31f"}, {"content": " hi"}, {}]
    mended = [mender({"choices": [{"index": 0, "delta": delta}]}) for delta in said]
    opening = {"role": "assistant", "content": "\U0001f31f", "refusal": None}
    assert [each["choices"][0]["delta"] for each in mended] == [opening, *said[1:]]


def test_usage_chunk_and_error_pass_unmended() -> None:
    mender = local.Mender()
    others: list[Json] = [{"choices": [], "usage": {}}, {"error": {"message": "x"}}]
    for body in others:
        assert mender(body) == body


def told(message: str, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


def test_too_long_a_prompt_is_told_in_openai_s_words() -> None:
    body = told("x", type="exceed_context_size_error", n_prompt_tokens=9001, n_ctx=8192)
    error = local.error(400, body)
    assert isinstance(error, BadRequest)
    assert (error.param, error.openai_code) == ("messages", "context_length_exceeded")
    assert error.message == (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in "
        "9001 tokens. Please reduce the length of the messages."
    )


ERRORS: list[tuple[int, bytes, type[Exception], str | None]] = [
    (400, told("Field 'seed': must be"), BadRequest, "seed"),
    (400, told("Unable to generate: JSON schema error at #: x"), BadRequest, "response_format"),
    (400, told("samplers: failed to parse grammar"), BadRequest, "response_format"),
    (500, told("does not match the expected peg-native"), BadRequest, "response_format"),
    (400, told("something"), BadRequest, None),
    (401, told("Invalid API Key"), Unavailable, None),
    (404, told("File Not Found"), Unavailable, None),
    (503, told("Loading model"), Unavailable, None),
    (500, b"", Unavailable, None),
    (500, b"<html>", Unavailable, None),
    (500, b'{"error": "text"}', Unavailable, None),
    (400, b"[]", BadRequest, None),
]


@pytest.mark.parametrize(("status", "body", "kind", "param"), ERRORS)
def test_error_is_the_caller_s_or_ours(
    status: int, body: bytes, kind: type[Exception], param: str | None
) -> None:
    error = local.Local().error(status, {}, body, "local")
    assert type(error) is kind
    assert error.param == param
