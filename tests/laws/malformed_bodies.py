"""Chat requests that are wrong in their bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from laws.writing import GOOD, HI, Malformed, call, deep, good_with

# --- bodies that are not JSON --------------------------------------------------------------------

_USER = b'{"role":"user","content":"%b"}'


def _raw_content(content: bytes) -> bytes:
    return b'{"model":"ok","messages":[' + _USER % content + b"]}"


UNPARSABLE: dict[str, bytes] = {
    "empty": b"",
    "a space": b" ",
    "white space": b" \t\r\n" * 50,
    "half an object": b'{"model":"ok"',
    "half a string": b'{"model":"o',
    "half a literal": b'{"model":tru}',
    "no JSON at all": b"model=ok&messages=Hi",
    "a form": b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nok\r\n--x--\r\n',
    "XML": b"<?xml version='1.0'?><model>ok</model>",
    "YAML": b"model: ok\nmessages: []\n",
    "single quotes": b"{'model':'ok'}",
    "bare names": b'{model:"ok"}',
    "a trailing comma": b'{"model":"ok",}',
    "a trailing comma in an array": b'{"model":"ok","messages":[1,]}',
    "a comment": b'{"model":"ok"/* why */}',
    "two objects": GOOD + GOOD,
    "trailing data": GOOD + b" x",
    "a trailing brace": GOOD + b"}",
    "a trailing NUL": GOOD + b"\x00",
    "a leading NUL": b"\x00" + GOOD,
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-16 without a mark": GOOD.decode().encode("utf-16-le"),
    "UTF-32": GOOD.decode().encode("utf-32"),
    "Latin-1": b'{"model":"caf\xe9","messages":[]}',
    "invalid UTF-8 in the model": b'{"model":"\xff","messages":[]}',
    "invalid UTF-8 in a message": _raw_content(b"\xc3\x28"),
    "invalid UTF-8 in a name": b'{"\xfe":1,"model":"ok"}',
    "invalid UTF-8 in an unknown field": b'{"x":"\x80","model":"ok","messages":[]}',
    "invalid UTF-8 after the end": GOOD + b"\xff",
    "overlong UTF-8": _raw_content(b"\xc0\xaf"),
    "a surrogate in UTF-8": _raw_content(b"\xed\xa0\x80"),
    "cut UTF-8": _raw_content(b"\xe2\x82"),
    "beyond Unicode": _raw_content(b"\xf5\x80\x80\x80"),
    "a raw line feed in a string": _raw_content(b"a\nb"),
    "a raw NUL in a string": _raw_content(b"a\x00b"),
    "an unknown escape": _raw_content(rb"\x41"),
    "half a unicode escape": _raw_content(rb"\u12"),
    "NaN": b'{"model":"ok","messages":[],"temperature":NaN}',
    "Infinity": b'{"model":"ok","messages":[],"temperature":Infinity}',
    "minus infinity": b'{"model":"ok","messages":[],"top_p":-Infinity}',
    "a plus sign": b'{"model":"ok","messages":[],"n":+1}',
    "a leading zero": b'{"model":"ok","messages":[],"n":01}',
    "a hexadecimal": b'{"model":"ok","messages":[],"n":0x1}',
    "a point without digits": b'{"model":"ok","messages":[],"temperature":1.}',
    "undefined": b'{"model":"ok","messages":undefined}',
    "a random kilobyte": bytes((7 * n * n + 13) % 256 for n in range(1024)),
    "gzip without saying so": bytes.fromhex("1f8b08000000000000ff") + b"\x00" * 20,
}

# --- bodies that are JSON, but no chat request ---------------------------------------------------

NOT_A_REQUEST: dict[str, tuple[bytes, str | None]] = {
    "null": (b"null", None),
    "a boolean": (b"true", None),
    "a number": (b"1", None),
    "a string": (b'"ok"', None),
    "an empty array": (b"[]", None),
    "an array of requests": (b"[" + GOOD + b"]", None),
    "an empty object": (b"{}", "model"),
    "no model": (json.dumps({"messages": HI}).encode(), "model"),
    "no messages": (b'{"model":"ok"}', "messages"),
    "the old wrapper": (b'{"reqPayload":' + GOOD + b"}", "model"),
    "the last of two models is wrong": (b'{"model":"ok","model":1,"messages":[{}]}', "model"),
    "the last of two message lists is wrong": (GOOD[:-1] + b',"messages":[]}', "messages"),
    "names in another case": (b'{"Model":"ok","Messages":[]}', "model"),
}

# --- how deep and how big ------------------------------------------------------------------------


_BRACKETS = {"arrays": (b"[", b"]"), "objects": (b'{"a":', b"}")}


def _nested() -> Iterator[tuple[str, Malformed]]:
    for levels in (2_000, 10_000, 100_000):
        for name, (opening, closing) in _BRACKETS.items():
            inner = deep(levels, opening, closing)
            for where in ("metadata", "tools", "x_unknown"):
                body = b'{"model":"ok","messages":[],"%b":%b}' % (where.encode(), inner)
                yield f"{levels} {name} in {where}", call(body, "BAD_REQUEST")
        yield f"{levels} arrays", call(deep(levels, b"[", b"]"), "BAD_REQUEST")
        yield f"{levels} arrays never closed", call(b"[" * levels, "BAD_REQUEST")


_HUGE = "9" * 400
NUMBERS: dict[str, tuple[str, str]] = {
    "n beyond any float": ("n", "1e999"),
    "n with 400 digits": ("n", _HUGE),
    "temperature beyond any float": ("temperature", "1e999"),
    "temperature below any float": ("temperature", "-1e999"),
    "top_p with 400 digits": ("top_p", _HUGE),
    "max_tokens beyond 32 bits": ("max_tokens", "2147483648"),
    "max_tokens beyond 64 bits": ("max_tokens", "18446744073709551616"),
    "max_completion_tokens with 400 digits": ("max_completion_tokens", _HUGE),
    "seed beyond 64 bits": ("seed", "18446744073709551616"),
    "seed with 400 digits": ("seed", "-" + _HUGE),
    "seed beyond any float": ("seed", "1e999"),
    "a huge exponent": ("frequency_penalty", "1e99999999999"),
}


def _number(field: str, text: str) -> bytes:
    return GOOD[:-1] + f',"{field}":{text}}}'.encode()


# --- fields of the wrong type or out of range ----------------------------------------------------

#: Each is the whole request's only fault; the field at fault is the table's first column.
FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": None}),
    ("model", {"model": 1}),
    ("model", {"model": True}),
    ("model", {"model": ["ok"]}),
    ("model", {"model": {"id": "ok"}}),
    ("model", {"model": ""}),
    ("model", {"model": "x" * 257}),
    ("model", {"model": "ok\x00"}),
    ("model", {"model": "ok\r\nx-injected: 1"}),
    ("model", {"model": "ok\x7f"}),
    ("messages", {"messages": None}),
    ("messages", {"messages": "Hi"}),
    ("messages", {"messages": 1}),
    ("messages", {"messages": {}}),
    ("messages", {"messages": []}),
    ("stream", {"stream": "true"}),
    ("stream", {"stream": 1}),
    ("stream", {"stream": []}),
    ("stream_options", {"stream_options": {"include_usage": True}}),
    ("stream_options", {"stream": True, "stream_options": "usage"}),
    ("stream_options.include_usage", {"stream": True, "stream_options": {"include_usage": 1}}),
    ("store", {"store": "yes"}),
    ("store", {"store": 0}),
    ("metadata", {"metadata": []}),
    ("metadata", {"metadata": "a=b"}),
    ("metadata.a", {"metadata": {"a": 1}}),
    ("metadata.a", {"metadata": {"a": None}}),
    ("metadata.a", {"metadata": {"a": {"b": "c"}}}),
    ("metadata.a", {"metadata": {"a": "x" * 513}}),
    ("metadata.a", {"metadata": {"a": "x\x00"}}),
    ("metadata", {"metadata": {str(n): "x" for n in range(17)}}),
    ("n", {"n": 0}),
    ("n", {"n": -1}),
    ("n", {"n": 129}),
    ("n", {"n": 1.5}),
    ("n", {"n": "1"}),
    ("n", {"n": True}),
    ("n", {"n": [1]}),
    ("temperature", {"temperature": -0.1}),
    ("temperature", {"temperature": 2.1}),
    ("temperature", {"temperature": "1"}),
    ("temperature", {"temperature": False}),
    ("temperature", {"temperature": {}}),
    ("top_p", {"top_p": -1}),
    ("top_p", {"top_p": 1.01}),
    ("top_p", {"top_p": "0.5"}),
    ("presence_penalty", {"presence_penalty": 2.5}),
    ("presence_penalty", {"presence_penalty": []}),
    ("frequency_penalty", {"frequency_penalty": -3}),
    ("frequency_penalty", {"frequency_penalty": "0"}),
    ("max_tokens", {"max_tokens": 0}),
    ("max_tokens", {"max_tokens": -5}),
    ("max_tokens", {"max_tokens": 1.5}),
    ("max_tokens", {"max_tokens": "10"}),
    ("max_completion_tokens", {"max_completion_tokens": 0}),
    ("max_completion_tokens", {"max_completion_tokens": True}),
    ("logprobs", {"logprobs": 5}),
    ("logprobs", {"logprobs": "true"}),
    ("top_logprobs", {"top_logprobs": 3}),
    ("top_logprobs", {"logprobs": True, "top_logprobs": 21}),
    ("top_logprobs", {"logprobs": True, "top_logprobs": -1}),
    ("logit_bias", {"logit_bias": []}),
    ("logit_bias.50256", {"logit_bias": {"50256": 101}}),
    ("logit_bias.50256", {"logit_bias": {"50256": "1"}}),
    ("stop", {"stop": 1}),
    ("stop", {"stop": {}}),
    ("stop[1]", {"stop": ["a", None]}),
    ("stop", {"stop": ["x"] * 65}),
    ("seed", {"seed": 1.5}),
    ("seed", {"seed": "1"}),
    ("user", {"user": 1}),
    ("response_format", {"response_format": "json"}),
    ("response_format.type", {"response_format": {}}),
    ("response_format.type", {"response_format": {"type": "xml"}}),
    ("response_format.json_schema", {"response_format": {"type": "json_schema"}}),
    (
        "response_format.json_schema.name",
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
    ),
    (
        "response_format.json_schema.name",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
    ),
    (
        "response_format.json_schema.schema",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": []}}},
    ),
    ("tools", {"tools": {}}),
    ("tools[0]", {"tools": ["get_weather"]}),
    ("tools[0].type", {"tools": [{}]}),
    ("tools[0].type", {"tools": [{"type": 1}]}),
    ("tools[0].function", {"tools": [{"type": "function"}]}),
    ("tools[0].function", {"tools": [{"type": "function", "function": "f"}]}),
    ("tools[0].function.name", {"tools": [{"type": "function", "function": {}}]}),
    ("tools[0].function.name", {"tools": [{"type": "function", "function": {"name": ""}}]}),
    ("tools[0].function.name", {"tools": [{"type": "function", "function": {"name": "a b"}}]}),
    (
        "tools[0].function.parameters",
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
    ),
    (
        "tools[0].function.strict",
        {"tools": [{"type": "function", "function": {"name": "f", "strict": "no"}}]},
    ),
    ("tool_choice", {"tool_choice": "auto"}),
    ("tool_choice", {"tools": [], "tool_choice": "required"}),
    ("parallel_tool_calls", {"parallel_tool_calls": "no"}),
    ("functions", {"functions": "f"}),
    ("functions[0].name", {"functions": [{}]}),
    ("function_call", {"function_call": "auto"}),
    ("function_call.name", {"functions": [{"name": "f"}], "function_call": {}}),
    ("function_call.name", {"functions": [{"name": "f"}], "function_call": {"name": "g"}}),
    ("audio.voice", {"audio": {"format": "wav"}}),
    ("audio.format", {"audio": {"format": "au", "voice": "alloy"}}),
    ("modalities", {"modalities": "text"}),
    ("modalities[0]", {"modalities": [1]}),
    ("prediction", {"prediction": "text"}),
    ("reasoning_effort", {"reasoning_effort": 3}),
    ("reasoning_effort", {"reasoning_effort": ""}),
    ("service_tier", {"service_tier": []}),
    ("verbosity", {"verbosity": {}}),
]

_TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def _user(part: Any) -> dict[str, Any]:
    return {"role": "user", "content": [part]}


def _assistant(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", **fields}


#: Each is the second of two messages; the path is from there on.
MESSAGES: list[tuple[str, Any]] = [
    ("", None),
    ("", "Hi"),
    ("", 1),
    ("", []),
    (".role", {}),
    (".role", {"content": "Hi"}),
    (".role", {"role": None, "content": "Hi"}),
    (".role", {"role": 1, "content": "Hi"}),
    (".role", {"role": "", "content": "Hi"}),
    (".role", {"role": "User", "content": "Hi"}),
    (".role", {"role": "robot", "content": "Hi"}),
    (".role", {"role": ["user"], "content": "Hi"}),
    (".content", {"role": "user", "content": None}),
    (".content", {"role": "user", "content": 1}),
    (".content", {"role": "user", "content": {"text": "Hi"}}),
    (".content", {"role": "system", "content": True}),
    (".content", {"role": "developer", "content": None}),
    (".name", {"role": "user", "content": "Hi", "name": 1}),
    (".content[0]", _user("Hi")),
    (".content[0].type", _user({})),
    (".content[0].type", _user({"text": "Hi"})),
    (".content[0].type", _user({"type": "refusal", "refusal": "no"})),
    (".content[0].text", _user({"type": "text"})),
    (".content[0].text", _user({"type": "text", "text": 1})),
    (".content[0].image_url", _user({"type": "image_url"})),
    (".content[0].image_url", _user({"type": "image_url", "image_url": "http://a/b.png"})),
    (".content[0].image_url.url", _user({"type": "image_url", "image_url": {"url": ""}})),
    (
        ".content[0].image_url.detail",
        _user({"type": "image_url", "image_url": {"url": "a", "detail": "max"}}),
    ),
    (".content[0].input_audio", _user({"type": "input_audio", "input_audio": None})),
    (
        ".content[0].input_audio.format",
        _user({"type": "input_audio", "input_audio": {"data": "a", "format": "tape"}}),
    ),
    (".content[0].file", _user({"type": "file", "file": "a"})),
    (
        ".content[0].type",
        {"role": "system", "content": [{"type": "image_url", "image_url": {"url": "a"}}]},
    ),
    (".content", _assistant()),
    (".content", _assistant(content=None)),
    (".content", _assistant(content=[])),
    (".content", _assistant(content=7)),
    (".tool_calls", _assistant(tool_calls={})),
    (".tool_calls[0]", _assistant(tool_calls=[None])),
    (".tool_calls[0].id", _assistant(tool_calls=[{**_TOOL_CALL, "id": 1}])),
    (".tool_calls[0].function", _assistant(tool_calls=[{"id": "a", "type": "function"}])),
    (
        ".tool_calls[0].function.arguments",
        _assistant(tool_calls=[{**_TOOL_CALL, "function": {"name": "f", "arguments": {}}}]),
    ),
    (".function_call", _assistant(function_call="f")),
    (".refusal", _assistant(content="a", refusal=1)),
    (".annotations", _assistant(content="a", annotations="b")),
    (".audio", _assistant(content="a", audio="b")),
    (".tool_call_id", {"role": "tool", "content": "4"}),
    (".tool_call_id", {"role": "tool", "content": "4", "tool_call_id": 1}),
    (".tool_call_id", {"role": "tool", "content": "4", "tool_call_id": "call_unknown"}),
    (".name", {"role": "function", "content": "4"}),
    (".name", {"role": "function", "content": "4", "name": ""}),
    (".content", {"role": "function", "name": "f"}),
    (".content", {"role": "function", "name": "f", "content": ["4"]}),
]


def _saying(*messages: Any) -> bytes:
    return good_with(messages=list(messages))


# --- all of them ---


def cases() -> Iterator[tuple[str, Malformed]]:
    for name, body in UNPARSABLE.items():
        yield f"no JSON: {name}", call(body, "PARSE_ERROR")
    for name, (body, param) in NOT_A_REQUEST.items():
        yield f"no request: {name}", call(body, "BAD_REQUEST", param)
    for name, (field, text) in NUMBERS.items():
        yield f"number: {name}", call(_number(field, text), "BAD_REQUEST", field)
    for number, (param, changes) in enumerate(FIELDS):
        yield f"field {number}: {param}", call(good_with(**changes), "BAD_REQUEST", param)
    for number, (path, message) in enumerate(MESSAGES):
        body = _saying(HI[0], message)
        yield f"message {number}: {path}", call(body, "BAD_REQUEST", "messages[1]" + path)
    yield from _nested()
