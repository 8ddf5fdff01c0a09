"""What a request must be, and what comes of one that is not."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe.errors import BadRequest, Unparsable
from standpipe.wire import chat

Json = dict[str, Any]

USER = {"role": "user", "content": "hi"}
FUNCTION = {"name": "f", "parameters": {}}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
MISSING = object()


def body(**more: Any) -> Json:
    """Return a small good body with these fields in it; MISSING leaves one out."""
    whole = {"model": "gpt-4o", "messages": [USER], **more}
    return {name: value for name, value in whole.items() if value is not MISSING}


def said(*messages: Any) -> Json:
    return body(messages=list(messages))


def by_user(*parts: Any) -> Json:
    return said({"role": "user", "content": list(parts)})


def image(**fields: Any) -> Json:
    return {"type": "image_url", "image_url": fields}


def audio(**fields: Any) -> Json:
    return {"type": "input_audio", "input_audio": fields}


def function(**fields: Any) -> Json:
    return body(tools=[{"type": "function", "function": {"name": "f", **fields}}])


def schema(**fields: Any) -> Json:
    return body(response_format={"type": "json_schema", "json_schema": fields})


def chosen(choice: Any) -> Json:
    return body(tools=[TOOL], tool_choice=choice)


def called(**fields: Any) -> Json:
    return said(USER, {"role": "assistant", "tool_calls": [{**CALL, **fields}]})


def each(*values: Any) -> tuple[Any, ...]:
    return values


# Body and the path of its first fault.
BAD: list[tuple[Json, str]] = [
    # model
    (body(model=MISSING), "model"),
    *[(body(model=model), "model") for model in each(None, 1, True, [], {}, "", "a\nb", "a\x00")],
    (body(model="m" * 257), "model"),
    (body(model="\x7f"), "model"),
    # messages
    (body(messages=MISSING), "messages"),
    *[(body(messages=messages), "messages") for messages in each(None, {}, "hi", 1, [])],
    *[(said(message), "messages[0]") for message in each(None, 1, "hi", [])],
    (said(USER, USER, 3), "messages[2]"),
    # role
    (said({"content": "hi"}), "messages[0].role"),
    *[
        (said(USER, {"role": role, "content": "hi"}), "messages[1].role")
        for role in each("", "robot", "User", "model", None, 1, [], {})
    ],
    # content
    *[
        (said({"role": role, "content": content}), "messages[0].content")
        for role in each("system", "developer", "user")
        for content in each(None, 1, True, {})
    ],
    (said({"role": "assistant", "content": 1}), "messages[0].content"),
    (said(CALLS, {"role": "tool", "tool_call_id": "c1", "content": None}), "messages[1].content"),
    (said(CALLS, {"role": "tool", "tool_call_id": "c1", "content": 5}), "messages[1].content"),
    *[(by_user(part), "messages[0].content[0]") for part in each(None, "hi", 1, [])],
    *[
        (by_user({"type": kind}), "messages[0].content[0].type")
        for kind in each(None, 1, "", [], {})
    ],
    (by_user({}), "messages[0].content[0].type"),
    (by_user({"text": "hi"}), "messages[0].content[0].type"),
    (by_user({"type": "text"}), "messages[0].content[0].text"),
    *[
        (by_user({"type": "text", "text": wrong}), "messages[0].content[0].text")
        for wrong in each(None, 1, [])
    ],
    (by_user({"type": "image_url"}), "messages[0].content[0].image_url"),
    *[
        (by_user({"type": "image_url", "image_url": wrong}), "messages[0].content[0].image_url")
        for wrong in each(None, "https://x/y.png", [])
    ],
    (by_user(image()), "messages[0].content[0].image_url.url"),
    (by_user(image(url="")), "messages[0].content[0].image_url.url"),
    (by_user(image(url=1)), "messages[0].content[0].image_url.url"),
    (by_user(image(url="u", detail="huge")), "messages[0].content[0].image_url.detail"),
    (by_user(image(url="u", detail=1)), "messages[0].content[0].image_url.detail"),
    (by_user({"type": "input_audio"}), "messages[0].content[0].input_audio"),
    (by_user({"type": "input_audio", "input_audio": "x"}), "messages[0].content[0].input_audio"),
    (by_user(audio(format="wav")), "messages[0].content[0].input_audio.data"),
    (by_user(audio(data="", format="wav")), "messages[0].content[0].input_audio.data"),
    (by_user(audio(data="x")), "messages[0].content[0].input_audio.format"),
    (by_user(audio(data="x", format="exe")), "messages[0].content[0].input_audio.format"),
    (by_user({"type": "file", "file": "x"}), "messages[0].content[0].file"),
    # a part in the wrong mouth
    *[
        (said({"role": role, "content": [image(url="u")]}), "messages[0].content[0].type")
        for role in each("system", "developer", "assistant")
    ],
    (by_user({"type": "refusal", "refusal": "no"}), "messages[0].content[0].type"),
    (
        said(CALLS, {"role": "tool", "tool_call_id": "c1", "content": [image(url="u")]}),
        "messages[1].content[0].type",
    ),
    (
        said({"role": "assistant", "content": [{"type": "refusal"}]}),
        "messages[0].content[0].refusal",
    ),
    # name
    *[(said({**USER, "name": name}), "messages[0].name") for name in each(1, [], False)],
    # assistant
    (said({"role": "assistant"}), "messages[0].content"),
    (said({"role": "assistant", "content": None}), "messages[0].content"),
    (said({"role": "assistant", "tool_calls": []}), "messages[0].content"),
    *[
        (said({"role": "assistant", "content": "a", name: wrong}), f"messages[0].{name}")
        for name, wrong in (
            ("refusal", 1),
            ("audio", "x"),
            ("tool_calls", {}),
            ("tool_calls", "x"),
            ("function_call", "f"),
            ("annotations", {}),
            ("reasoning_content", 1),
        )
    ],
    (said({"role": "assistant", "audio": {}}), "messages[0].audio.id"),
    (
        said({"role": "assistant", "function_call": {"name": 1}}),
        "messages[0].function_call.name",
    ),
    (
        said({"role": "assistant", "function_call": {"name": "f", "arguments": {}}}),
        "messages[0].function_call.arguments",
    ),
    (said({"role": "assistant", "tool_calls": [1]}), "messages[0].tool_calls[0]"),
    (called(type=MISSING), "messages[1].tool_calls[0].type"),
    (called(type=None), "messages[1].tool_calls[0].type"),
    (called(id=None), "messages[1].tool_calls[0].id"),
    (called(id=1), "messages[1].tool_calls[0].id"),
    (called(function=None), "messages[1].tool_calls[0].function"),
    (called(function={"name": "f"}), "messages[1].tool_calls[0].function.arguments"),
    (called(function={"arguments": ""}), "messages[1].tool_calls[0].function.name"),
    (
        called(function={"name": "f", "arguments": {}}),
        "messages[1].tool_calls[0].function.arguments",
    ),
    # tool and function
    (said(CALLS, {"role": "tool", "content": "x"}), "messages[1].tool_call_id"),
    (said(CALLS, {"role": "tool", "content": "x", "tool_call_id": 1}), "messages[1].tool_call_id"),
    (said({"role": "tool", "content": "x", "tool_call_id": "c1"}), "messages[0].tool_call_id"),
    (
        said(CALLS, {"role": "tool", "content": "", "tool_call_id": "c2"}),
        "messages[1].tool_call_id",
    ),
    (said({"role": "function", "content": "x"}), "messages[0].name"),
    (said({"role": "function", "content": "x", "name": ""}), "messages[0].name"),
    (said({"role": "function", "name": "f"}), "messages[0].content"),
    (said({"role": "function", "name": "f", "content": []}), "messages[0].content"),
    # numbers
    *[
        (body(**{name: wrong}), name)
        for name, low, high in (
            ("temperature", -0.1, 2.1),
            ("top_p", -0.01, 1.01),
            ("presence_penalty", -2.1, 2.1),
            ("frequency_penalty", -3, 3),
        )
        for wrong in each(low, high, "1", True, [], {})
    ],
    *[
        (body(**{name: wrong}), name)
        for name in each("n", "max_tokens", "max_completion_tokens")
        for wrong in each(0, -1, 1.5, "1", True, [], 2**31, 10**18)
    ],
    (body(n=129), "n"),
    *[
        (body(logprobs=True, top_logprobs=wrong), "top_logprobs")
        for wrong in each(-1, 21, 0.5, "5")
    ],
    *[(body(seed=wrong), "seed") for wrong in each(1.5, "1", True, -(2**64))],
    # flags and texts
    *[
        (body(**{name: wrong}), name)
        for name in each("stream", "store", "logprobs", "parallel_tool_calls")
        for wrong in each(1, "true", [])
    ],
    *[
        (body(**{name: wrong}), name)
        for name in each("user", "reasoning_effort", "service_tier", "verbosity")
        for wrong in each(1, [], {})
    ],
    (body(prediction="x"), "prediction"),
    # stop
    *[(body(stop=wrong), "stop") for wrong in each(1, True, {}, ["x"] * 65)],
    (body(stop=["a", 1]), "stop[1]"),
    (body(stop=[None]), "stop[0]"),
    # streams
    (body(stream_options={"include_usage": True}), "stream_options"),
    (body(stream=False, stream_options={}), "stream_options"),
    *[(body(stream=True, stream_options=wrong), "stream_options") for wrong in each(1, True, [])],
    (body(stream=True, stream_options={"include_usage": 1}), "stream_options.include_usage"),
    # logprobs
    (body(top_logprobs=2), "top_logprobs"),
    (body(logprobs=False, top_logprobs=2), "top_logprobs"),
    # maps
    *[(body(metadata=wrong), "metadata") for wrong in each(1, "x", [], True)],
    (body(metadata={f"k{i}": "v" for i in range(17)}), "metadata"),
    *[
        (body(metadata={"a": wrong}), "metadata.a")
        for wrong in each(1, None, True, [], {}, "x" * 513)
    ],
    (body(metadata={"a": "x\x00"}), "metadata.a"),
    (body(metadata={"k" * 65: "v"}), "metadata.kkkk"),
    *[(body(logit_bias=wrong), "logit_bias") for wrong in each(1, [], "x")],
    *[
        (body(logit_bias={"50256": wrong}), "logit_bias.50256")
        for wrong in each(101, -101, "1", None)
    ],
    # response_format
    *[(body(response_format=wrong), "response_format") for wrong in each("json", 1, [], True)],
    (body(response_format={}), "response_format.type"),
    *[
        (body(response_format={"type": wrong}), "response_format.type")
        for wrong in each("json", "xml", 1, None, [])
    ],
    (body(response_format={"type": "json_schema"}), "response_format.json_schema"),
    (
        body(response_format={"type": "json_schema", "json_schema": "x"}),
        "response_format.json_schema",
    ),
    (schema(), "response_format.json_schema.name"),
    *[
        (schema(name=wrong), "response_format.json_schema.name")
        for wrong in each("", "a b", "n" * 65, 1, None, "é", "a\n")
    ],
    *[
        (schema(name="n", schema=wrong), "response_format.json_schema.schema")
        for wrong in each("x", [])
    ],
    (schema(name="n", strict="yes"), "response_format.json_schema.strict"),
    (schema(name="n", description=1), "response_format.json_schema.description"),
    # tools
    *[(body(tools=wrong), "tools") for wrong in each(1, "x", {}, True)],
    *[(body(tools=[wrong]), "tools[0]") for wrong in each(1, "f", None, [])],
    (body(tools=[{"function": FUNCTION}]), "tools[0].type"),
    (body(tools=[TOOL, {"type": 1}]), "tools[1].type"),
    (body(tools=[{"type": "function"}]), "tools[0].function"),
    (body(tools=[{"type": "function", "function": "f"}]), "tools[0].function"),
    (body(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
    *[
        (function(name=wrong), "tools[0].function.name")
        for wrong in each("", "a b", "n" * 129, 1, None, "f()")
    ],
    *[(function(parameters=wrong), "tools[0].function.parameters") for wrong in each("x", [], 1)],
    (function(description=1), "tools[0].function.description"),
    (function(strict="yes"), "tools[0].function.strict"),
    # tool_choice
    *[(chosen(wrong), "tool_choice") for wrong in each("any", "", 1, True, [])],
    (chosen({"type": 1}), "tool_choice.type"),
    (chosen({"type": "function"}), "tool_choice.function"),
    (chosen({"type": "function", "function": "f"}), "tool_choice.function"),
    (chosen({"type": "function", "function": {}}), "tool_choice.function.name"),
    (chosen({"type": "function", "function": {"name": "g"}}), "tool_choice.function.name"),
    (chosen({"function": {"name": "g"}}), "tool_choice.function.name"),
    (body(tool_choice="auto"), "tool_choice"),
    (body(tool_choice="required", tools=[]), "tool_choice"),
    (body(tool_choice={"type": "function", "function": {"name": "f"}}), "tool_choice"),
    # functions
    *[(body(functions=wrong), "functions") for wrong in each(1, "f", {})],
    (body(functions=[1]), "functions[0]"),
    (body(functions=[{}]), "functions[0].name"),
    (body(functions=[{"name": "a b"}]), "functions[0].name"),
    (body(functions=[{"name": "f", "parameters": []}]), "functions[0].parameters"),
    (body(function_call="auto"), "function_call"),
    (body(functions=[FUNCTION], function_call="required"), "function_call"),
    (body(functions=[FUNCTION], function_call=1), "function_call"),
    (body(functions=[FUNCTION], function_call={}), "function_call.name"),
    (body(functions=[FUNCTION], function_call={"name": "g"}), "function_call.name"),
    # audio out
    *[(body(audio=wrong), "audio") for wrong in each(1, "wav", [])],
    (body(audio={"voice": "alloy"}), "audio.format"),
    (body(audio={"voice": "alloy", "format": "tape"}), "audio.format"),
    (body(audio={"format": "wav"}), "audio.voice"),
    (body(audio={"format": "wav", "voice": 1}), "audio.voice"),
    (body(modalities="text"), "modalities"),
    (body(modalities=[1]), "modalities[0]"),
]


@pytest.mark.parametrize(("whole", "path"), BAD)
def test_fault_is_refused_by_its_path(whole: Json, path: str) -> None:
    whole = msgspec.json.decode(msgspec.json.encode(_present(whole)))
    with pytest.raises(BadRequest) as caught:
        chat.parse(msgspec.json.encode(whole))
    error = caught.value
    assert error.param is not None
    assert error.param.startswith(path)
    assert error.issues[0].startswith(f"{error.param}: ")
    assert error.message == f"Input validation failed: {error.issues[0]}"


def _present(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _present(part) for name, part in value.items() if part is not MISSING}
    return [_present(part) for part in value] if isinstance(value, list) else value


def test_many_ways_of_being_wrong_are_tried() -> None:
    assert len(BAD) >= 150


GOOD: list[Json] = [
    body(),
    body(model="openpipe:a/b", unknown={"deep": [1, {}]}, top_k=3),
    body(model="x" * 256),
    said({"role": "system"}, {"role": "developer", "content": ""}, {"role": "user"}),
    by_user(),
    by_user({"type": "text", "text": ""}, image(url="u"), image(url="u", detail=None)),
    by_user(image(url="u", detail="low"), audio(data="x", format="mp3")),
    by_user({"type": "video_url", "video_url": {"url": "u"}}, {"type": "file", "file": {}}),
    by_user({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}),
    said({"role": "assistant", "content": ""}),
    said({"role": "assistant", "content": "x", "tool_calls": []}),
    said({"role": "assistant", "content": "x", "tool_calls": None, "name": None, "audio": None}),
    said({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}),
    said({"role": "assistant", "refusal": "no"}, {"role": "assistant", "audio": {"id": "a"}}),
    said({"role": "assistant", "function_call": {}}),
    said({"role": "assistant", "function_call": {"name": "f", "arguments": ""}}),
    said(CALLS, {"role": "tool", "tool_call_id": "c1", "content": "42"}),
    said(CALLS, {"role": "tool", "tool_call_id": "c1"}),
    called(id=""),
    said({"role": "assistant", "tool_calls": [{"type": "custom", "id": "a", "custom": {}}]}),
    said({"role": "function", "name": "f", "content": None}),
    body(temperature=0, top_p=0, presence_penalty=-2, frequency_penalty=2.0),
    body(temperature=2, top_p=1, n=128, max_tokens=1, max_completion_tokens=2**31 - 1),
    body(n=2.0, max_tokens=16.0, seed=-(2**63)),
    body(logprobs=True, top_logprobs=0),
    body(logprobs=True, top_logprobs=20),
    body(stop="x"),
    body(stop=[]),
    body(stop=["a", "b", "c", "d", "e"]),
    body(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}),
    body(stream=True, stream_options={}),
    body(stream_options=None, stream=None),
    body(store=True, metadata={f"k{i}": "v" * 512 for i in range(16)}),
    body(logit_bias={"1": 100, "2": -100.0}),
    body(response_format={"type": "text"}),
    body(response_format={"type": "json_object", "schema": {}}),
    schema(name="n", schema={"type": "object"}, strict=None),
    body(response_format={"type": "structural_tag", "structures": []}),
    body(tools=[]),
    body(tools=[], tool_choice="none"),
    function(name="ns.tool:x-1", parameters=None, strict=True),
    body(tools=[{"type": "web_search"}, {"type": "custom", "custom": {}}]),
    *[chosen(choice) for choice in ("none", "auto", "required", None)],
    chosen({"type": "function", "function": {"name": "f"}}),
    chosen({"function": {"name": "f"}}),
    chosen({"type": "allowed_tools", "allowed_tools": {}}),
    body(functions=[FUNCTION], function_call={"name": "f"}),
    body(functions=[FUNCTION], function_call="auto"),
    body(function_call="none"),
    body(audio={"format": "wav", "voice": {"id": "v"}}, modalities=["text", "audio"]),
    body(reasoning_effort="high", service_tier="flex", verbosity="low", prediction={}),
    body(**dict.fromkeys(set(chat.FIELDS) - {"model", "messages"})),
]


@pytest.mark.parametrize("whole", GOOD)
def test_good_body_passes_and_is_sent_on_as_it_came(whole: Json) -> None:
    raw = msgspec.json.encode(whole)
    assert chat.rebuild(chat.parse(raw), changes={}, without=()) == raw


@pytest.mark.parametrize("name", sorted(set(chat.FIELDS) - {"model", "messages"}))
def test_null_in_an_optional_field_is_absent(name: str) -> None:
    request = chat.parse(msgspec.json.encode(body(**{name: None})))
    plain = chat.parse(msgspec.json.encode(body()))
    assert request.values == plain.values
    assert request == msgspec.structs.replace(plain, given=request.given, decoded=request.decoded)


def test_request_is_read() -> None:
    request = chat.parse(
        msgspec.json.encode(
            body(
                stream=True,
                stream_options={"include_usage": True},
                store=False,
                metadata={"a": "b"},
                n=2.0,
                functions=[FUNCTION],
            )
        )
    )
    assert (request.model, request.messages) == ("gpt-4o", [USER])
    assert (request.stream, request.include_usage, request.store) == (True, True, False)
    assert (request.metadata, request.n) == ({"a": "b"}, 2)


def test_what_is_not_said_has_its_default() -> None:
    request = chat.parse(msgspec.json.encode(body()))
    assert (request.stream, request.include_usage, request.store) == (False, False, None)
    assert (request.metadata, request.n) == ({}, 1)


def test_last_of_a_field_given_twice_is_what_counts_and_what_is_sent() -> None:
    raw = b'{"model":"a","messages":[{"role":"user","content":"x"}],"model":"b"}'
    request = chat.parse(raw)
    assert request.model == "b"
    sent = chat.rebuild(request, changes={}, without=())
    assert sent == b'{"model":"b","messages":[{"role":"user","content":"x"}]}'


def test_all_issues_are_told_the_first_one_foremost() -> None:
    with pytest.raises(BadRequest) as caught:
        chat.parse(b'{"model":"a","messages":[{"role":"x"}],"n":0}')
    assert [issue.partition(":")[0] for issue in caught.value.issues] == ["messages[0].role", "n"]


def test_issues_are_few_however_many_faults_there_are() -> None:
    with pytest.raises(BadRequest) as caught:
        chat.parse(msgspec.json.encode(said(*[{"role": "x"}] * 5000)))
    assert len(caught.value.issues) == 20


def test_offending_value_is_named_and_shortened() -> None:
    with pytest.raises(BadRequest, match=r'not "xxxx') as caught:
        chat.parse(msgspec.json.encode(body(temperature="x" * 10_000)))
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b'{"model":"a","messages":[{"role":"user","content":1e999}]}', "messages[0]"),
        (b'{"model":"a","messages":[1e999]}', "messages[0]"),
        (b'{"model":"a","messages":[],"temperature":1e999}', "messages"),
        (b'{"model":"a","messages":[{"role":"user"}],"temperature":1e999}', "temperature"),
        (b'{"model":"a","messages":[{"role":"user"}],"seed":1' + b"0" * 400 + b"}", "seed"),
        (b'{"model":"a","messages":[{"role":"user"}],"seed":1' + b"0" * 9000 + b"}", "seed"),
    ],
)
def test_numbers_out_of_range_are_bad_requests(raw: bytes, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        chat.parse(raw)
    assert caught.value.param == param


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_body_that_is_no_object_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^Input validation failed: "):
        chat.parse(raw)


@pytest.mark.parametrize("name", ["messages", "unknown", "tools"])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_body_nested_too_deep_is_a_bad_request(name: str, brackets: tuple[bytes, bytes]) -> None:
    start, end = brackets
    raw = b'{"%s":%b1%b}' % (name.encode(), start * 100_000, end * 100_000)
    with pytest.raises(BadRequest, match="nested too deep"):
        chat.parse(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{} x",
        b'{"model":"a",}',
        b"{'model':'a'}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":01}',
        b'{"a":"\x01"}',
        b'{"a":"\xff"}',
        b'{"a\xff":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00x"}',
        b"\xef\xbb\xbf{}",
        b'{"model":"a"}\x00',
        "{}".encode("utf-16"),
        b"model=a&messages=b",
    ],
)
def test_what_is_not_json_in_utf_8_cannot_be_parsed(raw: bytes) -> None:
    with pytest.raises(Unparsable, match=r"^Failed to parse request body"):
        chat.parse(raw)


def test_unknown_fields_are_kept_byte_for_byte() -> None:
    raw = b'{"z": [1.0, 1e3 ,"\\u00e9"],"model":"m","messages":[{"role":"user"}],"big":1%s}'
    request = chat.parse(raw % (b"0" * 400))
    sent = chat.rebuild(request, changes={"model": "other"}, without={"messages"})
    assert sent == b'{"z":[1.0, 1e3 ,"\\u00e9"],"model":"other","big":1%s}' % (b"0" * 400)


def test_changes_go_in_last_and_may_be_raw() -> None:
    request = chat.parse(msgspec.json.encode(body(store=True)))
    changes = {"model": msgspec.Raw(b'"x"'), "store": 1, "new": {"a": [None]}}
    sent = chat.rebuild(request, changes=changes, without={"store", "absent"})
    assert sent == (
        b'{"model":"x","messages":[{"role":"user","content":"hi"}],"store":1,"new":{"a":[null]}}'
    )
    assert "store" in request.fields


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "function", "name", "text", "id", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
FIELD_NAMES = st.sampled_from(sorted(chat.FIELDS)) | st.text(max_size=3)


@given(st.dictionaries(FIELD_NAMES, JSON, max_size=5), st.booleans())
def test_any_json_is_a_request_or_refused(fields: Json, valid: bool) -> None:
    try:
        raw = msgspec.json.encode({**fields, **(body() if valid else {})})
    except (OverflowError, UnicodeEncodeError, ValueError):
        return
    try:
        request = chat.parse(raw)
    except (BadRequest, Unparsable) as error:
        msgspec.json.encode([error.message, error.param, error.issues])
        return
    assert chat.rebuild(request, changes={}, without=()) == raw


@given(st.binary(max_size=60) | st.text('{}[]",:\\ud8nrole 019.eE-', max_size=60).map(str.encode))
def test_any_bytes_are_refused_by_name(raw: bytes) -> None:
    with pytest.raises((BadRequest, Unparsable)):
        chat.parse(raw)


@given(st.data())
def test_good_body_with_a_byte_changed_is_a_request_or_refused(data: st.DataObject) -> None:
    raw = bytearray(msgspec.json.encode(data.draw(st.sampled_from(GOOD))))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        chat.parse(bytes(raw))
    except (BadRequest, Unparsable) as error:
        msgspec.json.encode([error.message, error.param, error.issues])
