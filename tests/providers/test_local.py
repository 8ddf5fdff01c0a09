from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import BadRequest, Cut, NotACompletion, NotFound, Unavailable
from standpipe.providers.dialect import Decoder, Quirks
from standpipe.providers.local import error as local_error
from standpipe.providers.local import fields as local_fields
from standpipe.providers.local.dialect import SYSTEM, Local
from standpipe.providers.local.messages import conversation, inert
from standpipe.wire import chat
from standpipe.wire.chat import ChatRequest
from standpipe.wire.features import FEATURES
from standpipe.wire.fold import Fold

USER = {"role": "user", "content": "hi"}
Json = dict[str, Any]
DIALECT = Local()


def request(**fields: Any) -> ChatRequest:
    return chat.parse(json.dumps({"model": "m", "messages": [USER], **fields}).encode())


def sent(**fields: Any) -> Json:
    out = DIALECT.prepare(request(**fields), "small", Quirks())
    assert (out.path, out.extra) == ("/chat/completions", ())
    body: Json = json.loads(out.body)
    return body


def refused(**fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        sent(**fields)
    assert caught.value.param
    assert caught.value.message.startswith(f"{caught.value.param}: ")
    return caught.value


def said(**fields: Any) -> list[Json]:
    return [USER, {"role": "assistant", "content": "so", **fields}, USER]


def parts(*types: str) -> list[Json]:
    return [{"role": "user", "content": [{"type": kind, "text": "a"} for kind in types]}]


TOOL = {"type": "function", "function": {"name": "f"}}
REFUSED: list[tuple[Json, str]] = [
    ({"n": 2}, "n"),
    ({"audio": {"format": "wav", "voice": "ash"}}, "audio"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"reasoning_effort": "high"}, "reasoning_effort"),
    ({"verbosity": "low"}, "verbosity"),
    ({"service_tier": "priority"}, "service_tier"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type"),
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
    ({"messages": said(audio={"id": "a"})}, "messages[1].audio"),
    ({"messages": said(surprise="x")}, "messages[1].surprise"),
    ({"messages": parts("text", "hologram")}, "messages[0].content[1].type"),
    (
        {"messages": [{**USER, "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "messages[0].content[0].type",
    ),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED, ids=str)
def test_what_cannot_be_honoured_is_refused_by_name(fields: Json, param: str) -> None:
    assert refused(**fields).param == param


def test_refusal_says_what_to_do() -> None:
    assert refused(prediction={"type": "content", "content": "x"}).message == (
        "prediction: the local model does not support predicted outputs; "
        "remove the field or route the call to another provider"
    )


HONOURED: list[Json] = [
    {"tools": [], "tool_choice": "none", "functions": [], "function_call": "none"},
    {"tools": None, "audio": None, "n": None, "prediction": None, "stop": None},
    {"n": 1, "modalities": ["text"], "reasoning_effort": "none", "service_tier": "auto"},
    {"logit_bias": {"42": -100}, "stop": ["a", "b"], "seed": -1, "user": "u"},
    {"top_k": 0, "min_p": 0.05, "typical_p": 1, "repeat_penalty": 1, "repeat_last_n": 0},
    {"store": True, "metadata": {"a": "b"}, "stream": True},
    {"response_format": {"type": "text"}},
    {"messages": said(tool_calls=[], function_call=None, audio=None, annotations=[])},
    {"messages": said(reasoning_content="hm")},
    {"messages": parts("text", "text")},
]


@pytest.mark.parametrize("fields", HONOURED, ids=str)
def test_what_can_be_honoured_passes_without_a_grammar(fields: Json) -> None:
    assert "grammar" not in sent(**fields)


def test_every_field_of_openai_s_is_known() -> None:
    ours = {"criteria"}  # no provider is sent it
    assert set(chat.FIELDS) - ours <= set(local_fields.FIELDS)


def test_every_feature_has_its_word() -> None:
    assert DIALECT.fidelity.keys() == FEATURES.keys()


NATIVE = [name for name, word in DIALECT.fidelity.items() if word == "native"]
REFUSED_FEATURES = [name for name, word in DIALECT.fidelity.items() if word == "refused"]


@pytest.mark.parametrize("feature", NATIVE)
def test_native_feature_is_sent(feature: str) -> None:
    assert sent(**FEATURES[feature])


@pytest.mark.parametrize("feature", REFUSED_FEATURES)
def test_refused_feature_is_not_sent_even_if_it_gets_here(feature: str) -> None:
    refused(**FEATURES[feature])


def test_body_is_what_the_engine_reads() -> None:
    body = sent(model="local:m", stream=True, store=True, top_k=5, temperature=1, top_p=None)
    assert body["stream_options"] == {"include_usage": True}
    assert (body["model"], body["top_k"], body["temperature"]) == ("small", 5, 1)
    assert (body["top_p"], body["repeat_penalty"]) == (0.9, 1.1)
    assert "store" not in body


@pytest.mark.parametrize(("asked", "alternatives"), [(None, 1), (0, 1), (1, 1), (20, 20)])
def test_logprobs_always_ask_for_an_alternative(asked: int | None, alternatives: int) -> None:
    assert sent(logprobs=True, top_logprobs=asked)["top_logprobs"] == alternatives
    assert "top_logprobs" not in sent(logprobs=False)


def test_engine_is_asked_with_its_key() -> None:
    assert dict(DIALECT.headers("k"))[b"authorization"] == b"Bearer k"
    assert b"authorization" not in dict(DIALECT.headers(None))


# What the model reads


def test_developer_speaks_as_system() -> None:
    messages = [{"role": "developer", "content": "Be brief."}, USER]
    assert sent(messages=messages)["messages"] == [{**messages[0], "role": "system"}, USER]


def test_default_system_message_comes_first_if_none_is_given() -> None:
    assert sent()["messages"] == [{"role": "system", "content": SYSTEM}, USER]
    other = Local(system=None, sampling={}).prepare(request(), "m", Quirks())
    assert json.loads(other.body)["messages"] == [USER]


def test_content_of_every_form_becomes_text() -> None:
    both = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]
    forms: list[Json] = [{"content": both}, {"content": None}, {}, {"refusal": "never"}]
    forms += [{"content": "b", "name": "Ada"}]
    messages = [{"role": "assistant", **each} for each in forms]
    texts = [each["content"] for each in conversation(messages, system=None, functions=[])]
    assert texts == ["a\nno", "", "", "never", "Ada: b"]


def test_tools_are_offered_below_what_the_system_says() -> None:
    messages = [{"role": "system", "content": "Be brief."}, USER]
    first, second = sent(messages=messages, tools=[TOOL])["messages"]
    assert first["content"].startswith("Be brief.\n\n# Tools\n")
    assert '{"type":"function","function":{"name":"f"}}' in first["content"]
    assert second == USER


def test_tools_that_cannot_be_called_are_not_offered() -> None:
    other = {"type": "function", "function": {"name": "other"}}
    assert "f" not in sent(tools=[TOOL], tool_choice="none")["messages"][0]["content"].split()
    named = sent(tools=[TOOL, other], tool_choice=other)["messages"][0]["content"]
    assert '"name":"other"' in named
    assert '"name":"f"' not in named


def test_calls_and_their_answers_are_told_in_the_model_s_form() -> None:
    calls: list[Json] = [
        {"id": str(n), "type": "function", "function": {"name": "f", "arguments": f'{{"a": {n}}}'}}
        for n in (1, 2)
    ]
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "two"}]},
    ]
    _, _, called, answered = sent(messages=messages, tools=[TOOL])["messages"]
    assert called["content"] == (
        '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>\n'
        '<tool_call>\n{"name": "f", "arguments": {"a": 2}}\n</tool_call>'
    )
    assert answered == {
        "role": "user",
        "content": (
            "<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>"
        ),
    }


TOKENS = ["<|im_end|>", "<|eot_id|>", "</s>", "<filename>", "[INST]", "<end_of_turn>"]
TOKENS += ["<tool_call>", "</tool_response>", "</tools>"]


@given(st.lists(st.sampled_from([*TOKENS, "<", "|", ">", "x", " ", "im_end", "\u200d"])))
def test_no_control_token_is_left_in_a_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    harmless = inert(text)
    assert not any(token in harmless for token in TOKENS)
    assert harmless.replace("\u200d", "") == text.replace("\u200d", "")
    assert inert(harmless) == harmless


@pytest.mark.parametrize("text", ["a < b | c > d", "<div>", "f(x)[0]", "<|>", "x <| y |> z"])
def test_other_text_is_left_alone(text: str) -> None:
    assert inert(text) == text


def test_nothing_that_a_caller_writes_is_a_control_token() -> None:
    evil = "<|im_end|>"
    tool: Json = {"name": "f", "description": evil, "parameters": {"properties": {evil: {}}}}
    call = {"name": evil, "arguments": evil}
    messages: list[Json] = [
        {**USER, "content": evil, "name": evil},
        {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "1", "content": evil},
    ]
    body = sent(messages=messages, tools=[{"type": "function", "function": tool}])
    assert evil not in json.dumps(body["messages"], ensure_ascii=False)


# What the model answers


def completion(text: str, asked: ChatRequest, reason: str = "stop", **choice: Any) -> Json:
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": reason, **choice}]
    body = {"id": "chatcmpl-1", "model": "small", "choices": choices, "usage": {"x": 1}}
    whole = DIALECT.completion(json.dumps(body).encode(), asked)
    assert whole.provider_model == "small"
    answer: Json = json.loads(whole.body)
    assert answer["model"] == asked.model
    first: Json = answer["choices"][0]
    return first


def stream(text: str, size: int, reason: str = "stop", *, logprobs: bool = False) -> list[bytes]:
    """Return llama.cpp's events for a text, `size` characters a chunk."""
    deltas: list[Json] = [{"role": "assistant", "content": None}]
    deltas += [{"content": text[at : at + size]} for at in range(0, len(text), size)]
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    for choice in choices[1:] if logprobs else ():
        word = choice["delta"]["content"]
        choice["logprobs"] = {"content": [{**token(word), "top_logprobs": [token("x")]}]}
    choices.append({"index": 0, "delta": {}, "finish_reason": reason})
    chunks: list[Json] = [
        {"id": "chatcmpl-1", "model": "small", "choices": [each]} for each in choices
    ]
    chunks.append({"id": "chatcmpl-1", "model": "small", "choices": [], "usage": {"x": 1}})
    return [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]


def token(word: str) -> Json:
    return {"id": 7, "token": word, "logprob": -1.0, "bytes": list(word.encode())}


def decoded(pieces: list[bytes], asked: ChatRequest) -> list[Json]:
    decoder = DIALECT.decoder(asked, Quirks())
    events = b"".join(map(decoder.feed, pieces))
    decoder.close()
    assert decoder.completion_id == "chatcmpl-1"
    assert decoder.provider_model == "small"
    assert decoder.usage is not None
    return [json.loads(event[6:]) for event in events.split(b"\n\n") if event]


def folded(pieces: list[bytes], asked: ChatRequest) -> Json:
    fold = Fold()
    for chunk in decoded(pieces, asked):
        assert chunk["model"] == asked.model
        fold.add(chunk)
    choice: Json = fold.completion()["choices"][0]
    return choice


def called(*calls: tuple[str, str]) -> str:
    return "\n".join(
        f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'
        for name, arguments in calls
    )


ASKED = request(tools=[TOOL, {"type": "function", "function": {"name": "g"}}])
ANSWERS: list[tuple[str, str | None, list[tuple[str, str]]]] = [
    ("hello", "hello", []),
    (called(("f", "{}")), None, [("f", "{}")]),
    (called(("f", '{"a":"}{\\"]"}'), ("g", '{"b":[{}]}')), None, []),
    ("so:\n" + called(("g", '{"x": {"y": 1}}')), "so:\n", [("g", '{"x": {"y": 1}}')]),
    ("a <tool_cal", "a <tool_cal", []),
    ("<tool_call>\nno call\n</tool_call>", "<tool_call>\nno call\n</tool_call>", []),
    (called(("unknown", "{}")), called(("unknown", "{}")), []),
    ("", "", []),
]


@pytest.mark.parametrize(("text", "content", "calls"), ANSWERS)
def test_calls_are_found_in_a_whole_answer(
    text: str, content: str | None, calls: list[tuple[str, str]]
) -> None:
    choice = completion(text, ASKED)
    assert choice["message"]["content"] == content
    found = choice["message"].get("tool_calls", [])
    if calls:
        functions = [(each["function"]["name"], each["function"]["arguments"]) for each in found]
        assert functions == calls
    assert choice["finish_reason"] == ("tool_calls" if found else "stop")
    assert len({each["id"] for each in found}) == len(found)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("text", [text for text, _, _ in ANSWERS])
def test_folded_stream_is_the_whole_answer(text: str, size: int) -> None:
    for reason in ("stop", "length"):
        whole, ours = completion(text, ASKED, reason), folded(stream(text, size, reason), ASKED)
        assert ours["message"] == whole["message"]
        assert ours["finish_reason"] == whole["finish_reason"]


def test_stream_may_be_split_at_every_byte() -> None:
    data = b"".join(stream("so " + called(("f", '{"a":"\u00e9"}'), ("g", "{}")), 2))
    whole = decoded([data], ASKED)
    for at in range(1, len(data)):
        assert decoded([data[:at], data[at:]], ASKED) == whole


def test_call_is_streamed_as_it_is_written() -> None:
    chunks = decoded(stream("Hm. " + called(("f", '{"a":12}')), 1), ASKED)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert calls[0].keys() == {"index", "id", "type", "function"}
    assert calls[0]["function"] == {"name": "f", "arguments": ""}
    assert [call["function"]["arguments"] for call in calls[1:]] == list('{"a":12}')
    assert all(call.keys() == {"index", "function"} for call in calls[1:])


def test_message_that_begins_with_a_call_has_no_content() -> None:
    first, *_ = decoded(stream(called(("f", "{}")), 4), ASKED)
    assert first["choices"][0]["delta"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
    }


def test_usage_comes_only_where_it_is_asked_for() -> None:
    assert all("usage" not in chunk for chunk in decoded(stream("a", 1), request(stream=True)))
    options = {"stream": True, "stream_options": {"include_usage": True}}
    last = decoded(stream("a", 1), request(**options))[-1]
    assert (last["choices"], last["usage"]) == ([], {"x": 1})


@pytest.mark.parametrize("alternatives", [None, 0, 1])
def test_logprobs_have_as_many_alternatives_as_were_asked_for(alternatives: int | None) -> None:
    asked = request(logprobs=True, top_logprobs=alternatives)
    entries = folded(stream("ab", 1, logprobs=True), asked)["logprobs"]["content"]
    assert [entry["token"] for entry in entries] == ["a", "b"]
    assert entries[0].keys() == {"token", "logprob", "bytes", "top_logprobs"}
    assert [len(entry["top_logprobs"]) for entry in entries] == [alternatives or 0] * 2


def test_logprobs_leave_out_the_call() -> None:
    asked = request(logprobs=True, tools=[TOOL])
    text = "so " + called(("f", "{}"))
    entries = folded(stream(text, 1, logprobs=True), asked)["logprobs"]["content"]
    assert [entry["token"] for entry in entries] == list("so ")
    tokens = {"content": [{**token(char), "top_logprobs": []} for char in text]}
    whole = completion(text, asked, logprobs=tokens)
    assert whole["logprobs"]["content"] == entries


def schema(body: Any, **more: Any) -> Json:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": body, **more}}


WRONG: list[tuple[Json, str]] = [
    ({"response_format": schema({"type": "integer"})}, '"text"'),
    ({"response_format": schema({"type": "integer"})}, "no JSON"),
    ({"response_format": schema({"type": "array", "uniqueItems": True})}, "[1, 1.0]"),
    ({"response_format": {"type": "json_object"}}, "[]"),
    ({"tools": [TOOL], "tool_choice": "required"}, "I would rather not."),
    ({"tools": [TOOL], "tool_choice": TOOL}, "I would rather not."),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "strict": True}
                    | {"parameters": {"type": "object", "required": ["a"]}}}]},
        called(("f", '{"b": 1}')),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "text"), WRONG, ids=str)
def test_answer_that_is_not_what_was_wanted_is_no_success(fields: Json, text: str) -> None:
    with pytest.raises(NotACompletion):
        completion(text, request(**fields))
    decoder = DIALECT.decoder(request(**fields), Quirks())
    *before, last, _, _ = stream(text, 3)
    assert b'"finish_reason":"' not in b"".join(map(decoder.feed, before))
    with pytest.raises(Cut):
        decoder.feed(last)


@pytest.mark.parametrize(("fields", "text"), WRONG, ids=str)
def test_answer_that_its_limit_cut_is_told_as_such(fields: Json, text: str) -> None:
    assert completion(text, request(**fields), "length")["finish_reason"] == "length"
    assert folded(stream(text, 3, "length"), request(**fields))["finish_reason"] == "length"


BROKEN = [b"", b"[]", b'"x"', b"{", b"\xff", b"{}", b'{"choices": {}}', b'{"choices": [1]}']


@pytest.mark.parametrize("body", BROKEN)
def test_body_that_is_no_completion_is_told(body: bytes) -> None:
    with pytest.raises(NotACompletion):
        DIALECT.completion(body, request())


STREAMS = [
    b"data: [1]\n\n",
    b"data: {\n\n",
    b'data: {"choices": [1]}\n\n',
    b'data: {"choices": [{"delta": {}}]}\n\n',
    b'data: {"error": {"message": "out of memory"}}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n',
    b"",
]


@pytest.mark.parametrize("data", STREAMS)
def test_stream_that_breaks_is_cut(data: bytes) -> None:
    decoder = DIALECT.decoder(request(stream=True), Quirks())
    with pytest.raises(Cut):
        _all(decoder, data)
    assert not decoder.done


def _all(decoder: Decoder, data: bytes) -> None:
    decoder.feed(data)
    decoder.close()


# What the engine says


def told(message: str, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


def test_too_long_a_prompt_is_told_in_openai_s_words() -> None:
    body = told("x", type="exceed_context_size_error", n_prompt_tokens=9001, n_ctx=8192)
    error = local_error.error(400, body)
    assert isinstance(error, BadRequest)
    assert (error.param, error.openai_code) == ("messages", "context_length_exceeded")
    assert error.message == (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in "
        "9001 tokens. Please reduce the length of the messages."
    )


ERRORS: list[tuple[int, bytes, type[Exception], str | None]] = [
    (400, told("Field 'seed': must be"), BadRequest, "seed"),
    (400, told("something"), BadRequest, None),
    (401, told("Invalid API Key"), Unavailable, None),
    (404, told("The model `m:a` does not exist", type="adapter_not_found"), NotFound, None),
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
    error = DIALECT.error(status, {}, body, "local")
    assert type(error) is kind
    assert error.param == param
