"""Requests that are wrong, each with the answer that it must get: data for `test_bad_input`.

Grouped by what is wrong with them. A chat request that is whole as HTTP and has a valid key is a
call and leaves a record, however wrong its body is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from serving import KEY

CHAT = "/api/v1/chat/completions"
#: What the server under test is told; the table speaks of what lies beyond.
BODY_LIMIT = 32 * 1024 * 1024
HEADER_LIMIT = 64 * 1024

_AUTH = b"Authorization: Bearer " + KEY.encode()
_JSON = b"Content-Type: application/json"
_MESSAGES = [{"role": "user", "content": "Hi"}]
_GOOD: dict[str, Any] = {"model": "ok", "messages": _MESSAGES}
GOOD = json.dumps(_GOOD).encode()


@dataclass(frozen=True)
class Malformed:
    """A request as it goes over the wire, and its answer."""

    raw: bytes
    status: int
    code: str
    #: The field that the answer must name; None: not looked at.
    param: str | None = None
    #: The answer comes from a call, so there must be a record of it.
    is_call: bool = False


# --- how a request is written --------------------------------------------------------------------


def post(path: str, body: bytes, *headers: bytes) -> bytes:
    """Return a POST with key and content type, and with these headers besides."""
    return request("POST", path, body, _AUTH, _JSON, *headers)


def request(method: str, path: str | bytes, body: bytes | None, *headers: bytes) -> bytes:
    """Return a request with these headers alone, and with those that frame it."""
    target = path.encode() if isinstance(path, str) else path
    lines = [b"%b %b HTTP/1.1" % (method.encode(), target), b"Host: a", b"Connection: close"]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, *headers, b"", body or b""])


def get(path: str | bytes) -> bytes:
    return request("GET", path, None, _AUTH)


def framed(*lines: bytes, body: bytes = b"") -> bytes:
    """Return a chat request whose framing is all in `lines`."""
    head = [b"POST %b HTTP/1.1" % CHAT.encode(), b"Host: a", _AUTH, _JSON, *lines]
    return b"\r\n".join([*head, b"", body])


def chunked(body: bytes) -> bytes:
    return framed(b"Transfer-Encoding: chunked", body=body)


def _call(body: bytes, code: str, param: str | None = None) -> Malformed:
    return Malformed(post(CHAT, body), 400, code, param, is_call=True)


def _with(**changes: Any) -> bytes:
    return json.dumps({**_GOOD, **changes}).encode()


def _saying(*messages: Any) -> bytes:
    return _with(messages=list(messages))


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
    "no model": (json.dumps({"messages": _MESSAGES}).encode(), "model"),
    "no messages": (b'{"model":"ok"}', "messages"),
    "the old wrapper": (b'{"reqPayload":' + GOOD + b"}", "model"),
    "the last of two models is wrong": (b'{"model":"ok","model":1,"messages":[{}]}', "model"),
    "the last of two message lists is wrong": (GOOD[:-1] + b',"messages":[]}', "messages"),
    "names in another case": (b'{"Model":"ok","Messages":[]}', "model"),
}

# --- how deep and how big ------------------------------------------------------------------------


def _deep(levels: int, opening: bytes, closing: bytes) -> bytes:
    return opening * levels + b"0" + closing * levels


_BRACKETS = {"arrays": (b"[", b"]"), "objects": (b'{"a":', b"}")}


def _nested() -> Iterator[tuple[str, Malformed]]:
    for levels in (2_000, 10_000, 100_000):
        for name, (opening, closing) in _BRACKETS.items():
            deep = _deep(levels, opening, closing)
            for where in ("metadata", "tools", "x_unknown"):
                body = b'{"model":"ok","messages":[],"%b":%b}' % (where.encode(), deep)
                yield f"{levels} {name} in {where}", _call(body, "BAD_REQUEST")
        yield f"{levels} arrays", _call(_deep(levels, b"[", b"]"), "BAD_REQUEST")
        yield f"{levels} arrays never closed", _call(b"[" * levels, "BAD_REQUEST")


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

# --- control headers -----------------------------------------------------------------------------

#: Header lines that a call is refused for, and the parameter named.
CONTROL: dict[str, tuple[bytes, str | None]] = {
    "op-log-request maybe": (b"op-log-request: maybe", "op-log-request"),
    "op-log-request one": (b"op-log-request: 1", "op-log-request"),
    "op-log-request Latin-1": (b"op-log-request: \xe9", "op-log-request"),
    "op-log-request long": (b"op-log-request: " + b"x" * 10_000, "op-log-request"),
    "op-tags no JSON": (b"op-tags: {", None),
    "op-tags words": (b"op-tags: a=b", None),
    "op-tags null bytes as escapes": (rb'op-tags: {"a":"\u0000"}', None),
    "op-tags half a surrogate": (rb'op-tags: {"a":"\ud800"}', None),
    "op-tags an array": (b"op-tags: [1]", None),
    "op-tags a string": (b'op-tags: "a"', None),
    "op-tags nested": (b'op-tags: {"a":{"b":1}}', None),
    "op-tags an array in it": (b'op-tags: {"a":[1]}', None),
    "op-tags Latin-1": (b"op-tags: {\xe9}", None),
    "op-tags deep": (b"op-tags: " + _deep(20_000, b"[", b"]"), None),
    "op-tags a huge number": (b'op-tags: {"a":1e999}', None),
    "op-tags NaN": (b'op-tags: {"a":NaN}', None),
    "op-tags trailing data": (b"op-tags: {} {}", None),
    "op-cache readWrite": (b"op-cache: readWrite", "op-cache"),
    "op-cache true": (b"op-cache: true", "op-cache"),
    "op-criteria one": (b'op-criteria: ["a"]', "op-criteria"),
    "op-criteria no JSON": (b"op-criteria: {", "op-criteria"),
    "op-criteria Latin-1": (b"op-criteria: \xff", "op-criteria"),
}

_TWICE = [
    b"op-log-request: true",
    b"op-tags: {}",
    b"op-cache: false",
    b"op-criteria: []",
]

# --- keys ----------------------------------------------------------------------------------------

#: Authorization lines, each 401.
KEYS: dict[str, list[bytes]] = {
    "none": [],
    "empty": [b"Authorization:"],
    "a space": [b"Authorization:  "],
    "the scheme alone": [b"Authorization: Bearer"],
    "the scheme and a space": [b"Authorization: Bearer "],
    "the key alone": [b"Authorization: " + KEY.encode()],
    "Basic": [b"Authorization: Basic " + KEY.encode()],
    "another scheme that begins so": [b"Authorization: Bearerx " + KEY.encode()],
    "no space": [b"Authorization: Bearer:" + KEY.encode()],
    "a tab": [b"Authorization: Bearer\t" + KEY.encode()],
    "the scheme twice": [b"Authorization: Bearer Bearer " + KEY.encode()],
    "two spaces": [b"Authorization: Bearer  " + KEY.encode()],
    "quoted": [b'Authorization: Bearer "' + KEY.encode() + b'"'],
    "the key and more": [_AUTH + b"x"],
    "the key but its end": [_AUTH[:-1]],
    "two keys": [_AUTH + b", Bearer x"],
    "the key in upper case": [b"Authorization: Bearer " + KEY.upper().encode()],
    "SQL": [b"Authorization: Bearer ' OR 1=1 --"],
    "a wildcard": [b"Authorization: Bearer %"],
    "a star": [b"Authorization: Bearer *"],
    "null": [b"Authorization: Bearer null"],
    "unicode": ["Authorization: Bearer ключ".encode()],
    "Latin-1": [b"Authorization: Bearer \xe9\xff"],
    "60 KiB": [b"Authorization: Bearer " + b"k" * 60_000],
    "a percent-encoded line break": [_AUTH + b"%0d%0aX: 1"],
    "of our own form": [b"Authorization: Bearer sp_0123456789_" + b"a" * 43],
    "X-API-Key instead": [b"X-API-Key: " + KEY.encode()],
    "a cookie instead": [b"Cookie: key=" + KEY.encode()],
}

# --- what the body is said to be -----------------------------------------------------------------

MEDIA: dict[str, bytes] = {
    "text/plain": b"Content-Type: text/plain",
    "a form": b"Content-Type: application/x-www-form-urlencoded",
    "multipart": b"Content-Type: multipart/form-data; boundary=x",
    "XML": b"Content-Type: application/xml",
    "nearly JSON": b"Content-Type: application/jsonp",
    "anything": b"Content-Type: */*",
    "Latin-1": b"Content-Type: \xe9",
    "long": b"Content-Type: " + b"x" * 10_000,
}
ENCODINGS = ("gzip", "deflate", "br", "zstd", "gzip, gzip", "x")

# --- paths and methods ---------------------------------------------------------------------------

_LONG = "x" * 30_000
NOWHERE: list[str] = [
    "/nowhere",
    "/api",
    "/api/v2/chat/completions",
    "/api/v1",
    "/API/V1/models",
    "/v1/v1/models",
    "/v1/chat",
    "/v1/chat/completions/a/b",
    "/v1/chat/completions/a/messages/b",
    "/v1/../etc/passwd",
    "/v1/models/../../etc/passwd/..",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/v1%00/models",
    "/v1/models%2f..%2f..%2fetc",
    "/v1/%ff",
    "/v1/%zz",
    "/v1/%",
    "/v1/%u0041",
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/v1/completions",
    "/v1/models/unknown",
    "/v1/models/%00",
    "/v1/models/%ff",
    "/v1/models/" + _LONG,
    "/v1/chat/completions/unknown",
    "/v1/chat/completions/%00",
    "/v1/chat/completions/%ff",
    "/v1/chat/completions/%27%20OR%201=1--",
    "/v1/chat/completions/" + _LONG,
    "/v1/chat/completions/unknown/messages",
    "/" + _LONG,
    "/v1/local-testing-only-get-latest-logged-call",
    "http://elsewhere.invalid/v1/nowhere",
]
NOT_ALLOWED: list[tuple[str, str]] = [
    ("PUT", CHAT),
    ("PATCH", CHAT),
    ("DELETE", CHAT),
    ("OPTIONS", CHAT),
    ("TRACE", "/v1/models"),
    ("GET", "/v1/report"),
    ("DELETE", "/v1/report"),
    ("POST", "/v1/models"),
    ("PUT", "/v1/models/ok"),
    ("POST", "/health"),
    ("PROPFIND", "/v1/models"),
]

# --- queries -------------------------------------------------------------------------------------

LISTS: dict[str, tuple[str, str | None]] = {
    "limit 0": ("limit=0", "limit"),
    "limit -1": ("limit=-1", "limit"),
    "limit 101": ("limit=101", "limit"),
    "limit x": ("limit=x", "limit"),
    "limit empty": ("limit=", "limit"),
    "limit 1e9": ("limit=1e9", "limit"),
    "limit a half": ("limit=0.5", "limit"),
    "limit 3000 digits": ("limit=" + "9" * 3000, "limit"),
    "limit NUL": ("limit=%00", "limit"),
    "limit in other digits": ("limit=%D9%A3", "limit"),
    "limit twice": ("limit=1&limit=2", "limit"),
    "order up": ("order=up", "order"),
    "order empty": ("order=", "order"),
    "order DESC": ("order=DESC", "order"),
    "order twice": ("order=asc&order=asc", "order"),
    "model twice": ("model=a&model=b", "model"),
    "metadata twice": ("metadata[a]=1&metadata[a]=2", "metadata[a]"),
    "metadata open": ("metadata[a=1", "metadata[a"),
    "metadata bare": ("metadata=a", "metadata"),
    "17 names": ("&".join(f"metadata[{n}]=1" for n in range(17)), "metadata"),
    "3000 names": ("&".join(f"metadata[{n}]=1" for n in range(3000)), "metadata"),
    "unknown parameter": ("page=2", "page"),
    "parameter in another case": ("Limit=1", "Limit"),
}
#: Answered with 404: there is no such completion to go on from.
AFTER = ("after=unknown", "after=", "after=%00", "after=%ff", "after=' OR 1=1", "after=" + _LONG)

# --- the other bodies ----------------------------------------------------------------------------

_UPDATES: dict[str, tuple[bytes, str | None]] = {
    "an array": (b"[]", None),
    "a string": (b'"a"', None),
    "an empty object": (b"{}", "filters"),
    "no metadata": (b'{"filters":[]}', "metadata"),
    "no filters": (b'{"metadata":{}}', "filters"),
    "filters no array": (b'{"filters":{},"metadata":{}}', "filters"),
    "a filter no object": (b'{"filters":[1],"metadata":{}}', "filters[0]"),
    "a filter without field": (b'{"filters":[{"equals":1}],"metadata":{}}', "filters[0].field"),
    "a filter without value": (b'{"filters":[{"field":"model"}],"metadata":{}}', None),
    "a filter with null": (
        b'{"filters":[{"field":"model","equals":null}],"metadata":{}}',
        "filters[0].equals",
    ),
    "a filter with an array": (
        b'{"filters":[{"field":"model","equals":[]}],"metadata":{}}',
        "filters[0].equals",
    ),
    "a filter with a huge number": (
        b'{"filters":[{"field":"model","equals":1e999}],"metadata":{}}',
        "filters[0].equals",
    ),
    "a filter with more": (
        b'{"filters":[{"field":"model","equals":1,"or":2}],"metadata":{}}',
        "filters[0].or",
    ),
    "an unknown field": (b'{"filters":[{"field":"id","equals":1}],"metadata":{}}', "filters"),
    "a field of no name": (
        b'{"filters":[{"field":"metadata.","equals":1}],"metadata":{}}',
        "filters",
    ),
    "too many filters": (
        b'{"filters":[%b],"metadata":{}}' % b",".join([b'{"field":"model","equals":"a"}'] * 3000),
        "filters",
    ),
    "metadata no object": (b'{"filters":[],"metadata":[]}', "metadata"),
    "metadata with a number": (b'{"filters":[],"metadata":{"a":1}}', None),
    "metadata with an object": (b'{"filters":[],"metadata":{"a":{}}}', None),
    "a field too many": (b'{"filters":[],"metadata":{},"x":1}', "x"),
}

#: Path, and bodies that are refused there with BAD_REQUEST.
OTHERS: dict[str, dict[str, tuple[bytes, str | None]]] = {
    "/v1/report": {
        "an array": (b"[]", None),
        "null": (b"null", None),
        "requestedAt text": (b'{"requestedAt":"now"}', "requestedAt"),
        "requestedAt huge": (b'{"requestedAt":1e999}', "requestedAt"),
        "receivedAt object": (b'{"receivedAt":{}}', "receivedAt"),
        "statusCode text": (b'{"statusCode":"200"}', "statusCode"),
        "statusCode array": (b'{"statusCode":[200]}', "statusCode"),
        "errorMessage number": (b'{"errorMessage":1}', "errorMessage"),
        "tags array": (b'{"tags":[]}', "tags"),
        "tags nested": (b'{"tags":{"a":{}}}', "tags.a"),
        "deep payload": (b'{"reqPayload":%b}' % _deep(50_000, b"[", b"]"), None),
        "deep answer": (b'{"respPayload":%b}' % _deep(50_000, b'{"a":', b"}"), None),
    },
    "/v1/logs/update-metadata": _UPDATES,
    "/v1/logs/update-tags": {
        "metadata instead": (b'{"filters":[],"metadata":{}}', None),
        "tags array": (b'{"filters":[],"tags":[]}', "tags"),
        "tags nested": (b'{"filters":[],"tags":{"a":[]}}', None),
        "tags huge": (b'{"filters":[],"tags":{"a":1e999}}', None),
    },
    "/v1/check-cache": {"an array": (b"[]", None), "a number": (b"1", None)},
    "/v1/chat/completions/unknown": {
        "an array": (b"[]", None),
        "an empty object": (b"{}", "metadata"),
        "metadata null": (b'{"metadata":null}', "metadata"),
        "metadata array": (b'{"metadata":[]}', "metadata"),
        "metadata number": (b'{"metadata":{"a":1}}', None),
        "a value of 513": (b'{"metadata":{"a":"%b"}}' % (b"x" * 513), None),
        "a name of 65": (b'{"metadata":{"%b":"x"}}' % (b"x" * 65), None),
        "17 names": (json.dumps({"metadata": {str(n): "" for n in range(17)}}).encode(), None),
        "a field too many": (b'{"metadata":{},"model":"x"}', "model"),
        "deep": (b'{"metadata":%b}' % _deep(50_000, b"[", b"]"), None),
    },
}
#: Bodies that are no JSON, refused with PARSE_ERROR at each of these paths.
_NO_JSON: dict[str, bytes] = {
    "empty": b"",
    "half": b"{",
    "invalid UTF-8": b'{"reqPayload":"\xff"}',
    "a bracket": b"}",
    "a byte order mark": b"\xef\xbb\xbf{}",
}

# --- framing -------------------------------------------------------------------------------------

_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(189))
_GET = b"GET /v1/models HTTP/1.1\r\n"
_TE = b"Transfer-Encoding: chunked"

FRAMING: dict[str, tuple[bytes, int, str]] = {
    "length and chunks": (
        framed(b"Content-Length: 4", _TE, body=b"0\r\n\r\n"),
        400,
        "PARSE_ERROR",
    ),
    "chunks and length": (
        framed(_TE, b"Content-Length: 4", body=b"0\r\n\r\n"),
        400,
        "PARSE_ERROR",
    ),
    "chunks and gzip": (
        framed(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
        400,
        "PARSE_ERROR",
    ),
    "chunked twice": (framed(_TE, _TE, body=b"0\r\n\r\n"), 400, "PARSE_ERROR"),
    "chunked with a prefix": (
        framed(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
        400,
        "PARSE_ERROR",
    ),
    "identity": (framed(b"Transfer-Encoding: identity"), 400, "PARSE_ERROR"),
    "chunk size no number": (chunked(b"zz\r\n"), 400, "PARSE_ERROR"),
    "chunk size negative": (chunked(b"-1\r\n"), 400, "PARSE_ERROR"),
    "chunk size with 0x": (chunked(b"0x10\r\n"), 400, "PARSE_ERROR"),
    "chunk size empty": (chunked(b"\r\n\r\n"), 400, "PARSE_ERROR"),
    "chunk size overflowing": (chunked(b"f" * 17 + b"\r\n"), 400, "PARSE_ERROR"),
    "chunk size huge": (chunked(b"7" + b"f" * 15 + b"\r\n" + b"x" * 10), 408, "TIMEOUT"),
    "chunk longer than said": (chunked(b"1\r\nabc\r\n0\r\n\r\n"), 400, "PARSE_ERROR"),
    "chunk with bare line feeds": (chunked(b"1\na\n0\n\n"), 400, "PARSE_ERROR"),
    "chunk extensions without end": (
        chunked(b"1;" + b"a=b;" * 50_000),
        431,
        "HEADERS_TOO_LARGE",
    ),
    "chunk trailers without end": (
        chunked(b"0\r\n" + b"X: " + b"a" * 200_000),
        431,
        "HEADERS_TOO_LARGE",
    ),
    "length negative": (framed(b"Content-Length: -1"), 400, "PARSE_ERROR"),
    "length signed": (framed(b"Content-Length: +5", body=b"aaaaa"), 400, "PARSE_ERROR"),
    "length empty": (framed(b"Content-Length:"), 400, "PARSE_ERROR"),
    "length a word": (framed(b"Content-Length: five"), 400, "PARSE_ERROR"),
    "length hexadecimal": (framed(b"Content-Length: 0x5", body=b"aaaaa"), 400, "PARSE_ERROR"),
    "length a fraction": (framed(b"Content-Length: 5.0", body=b"aaaaa"), 400, "PARSE_ERROR"),
    "length a list": (framed(b"Content-Length: 5, 5", body=b"aaaaa"), 400, "PARSE_ERROR"),
    "length overflowing": (framed(b"Content-Length: 18446744073709551617"), 400, "PARSE_ERROR"),
    "length of 400 digits": (framed(b"Content-Length: " + b"9" * 400), 400, "PARSE_ERROR"),
    "length twice": (
        framed(b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
        400,
        "PARSE_ERROR",
    ),
    "lengths that differ": (
        framed(b"Content-Length: 2", b"Content-Length: 3", body=b"{} "),
        400,
        "PARSE_ERROR",
    ),
    "length over the limit": (
        framed(b"Content-Length: %d" % (BODY_LIMIT + 1)),
        413,
        "PAYLOAD_TOO_LARGE",
    ),
    "length of 8 EiB": (framed(b"Content-Length: 9223372036854775807"), 413, "PAYLOAD_TOO_LARGE"),
    "33 MiB": (post(CHAT, b" " * (BODY_LIMIT + 1024 * 1024)), 413, "PAYLOAD_TOO_LARGE"),
    "33 MiB in chunks": (
        chunked((b"100000\r\n" + b" " * 1024 * 1024 + b"\r\n") * 33),
        413,
        "PAYLOAD_TOO_LARGE",
    ),
    "length over the limit, expecting 100": (
        framed(b"Expect: 100-continue", b"Content-Length: %d" % (BODY_LIMIT + 1)),
        413,
        "PAYLOAD_TOO_LARGE",
    ),
    "half a head": (b"POST /v1/chat/completions HTTP/1.1\r\nHo", 408, "TIMEOUT"),
    "a head without its end": (_GET + b"Host: a\r\n", 408, "TIMEOUT"),
    "half a body": (framed(b"Content-Length: 100", body=b'{"model":'), 408, "TIMEOUT"),
    "no body": (framed(b"Content-Length: 100"), 408, "TIMEOUT"),
    "half a chunk": (chunked(b'64\r\n{"model":'), 408, "TIMEOUT"),
    "no last chunk": (chunked(b"2\r\n{}\r\n"), 408, "TIMEOUT"),
    "half a body of a report": (
        request("POST", "/v1/report", None, _AUTH, _JSON, b"Content-Length: 9"),
        408,
        "TIMEOUT",
    ),
    "no Host": (_GET + b"\r\n", 400, "BAD_REQUEST"),
    "two Hosts": (_GET + b"Host: a\r\nHost: b\r\n\r\n", 400, "BAD_REQUEST"),
    "a Host that is none": (_GET + b"Host: a b\r\n\r\n", 400, "BAD_REQUEST"),
    "a Host with a path": (_GET + b"Host: a/b\r\n\r\n", 400, "BAD_REQUEST"),
    "a header without colon": (_GET + b"Host: a\r\nX\r\n\r\n", 400, "PARSE_ERROR"),
    "a header without name": (_GET + b"Host: a\r\n: x\r\n\r\n", 400, "PARSE_ERROR"),
    "a space before the colon": (_GET + b"Host : a\r\n\r\n", 400, "PARSE_ERROR"),
    "a space in a name": (_GET + b"Host: a\r\nX Y: z\r\n\r\n", 400, "PARSE_ERROR"),
    "a name in Latin-1": (_GET + b"Host: a\r\n\xe9: z\r\n\r\n", 400, "PARSE_ERROR"),
    "a folded header": (_GET + b"Host: a\r\nX: a\r\n b\r\n\r\n", 400, "PARSE_ERROR"),
    "NUL in a value": (_GET + b"Host: a\r\nX: a\0b\r\n\r\n", 400, "PARSE_ERROR"),
    "NUL in a name": (_GET + b"Host: a\r\nX\0: a\r\n\r\n", 400, "PARSE_ERROR"),
    "NUL in a key": (
        _GET + b"Host: a\r\nAuthorization: Bearer a\0b\r\n\r\n",
        400,
        "PARSE_ERROR",
    ),
    "a bare carriage return": (_GET + b"Host: a\r\nX: a\rb\r\n\r\n", 400, "PARSE_ERROR"),
    "bare line feeds": (b"GET /v1/models HTTP/1.1\nHost: a\n\n", 400, "PARSE_ERROR"),
    "201 headers": (_GET + b"Host: a\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431, "HEADERS_TOO_LARGE"),
    "5000 headers": (
        _GET + b"Host: a\r\n" + b"X: a\r\n" * 5000 + b"\r\n",
        431,
        "HEADERS_TOO_LARGE",
    ),
    "a header of 65 KiB": (
        _GET + b"Host: a\r\nX: " + b"a" * 66_560 + b"\r\n\r\n",
        431,
        "HEADERS_TOO_LARGE",
    ),
    "a header of 1 MiB": (
        _GET + b"Host: a\r\nX: " + b"a" * 1_048_576 + b"\r\n\r\n",
        431,
        "HEADERS_TOO_LARGE",
    ),
    "a key of 65 KiB": (
        _GET + b"Host: a\r\nAuthorization: Bearer " + b"a" * 66_560 + b"\r\n\r\n",
        431,
        "HEADERS_TOO_LARGE",
    ),
    "a name of 65 KiB": (
        _GET + b"Host: a\r\n" + b"x" * 66_560 + b": a\r\n\r\n",
        431,
        "HEADERS_TOO_LARGE",
    ),
    "a path of 65 KiB": (
        b"GET /" + b"a" * 66_560 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        431,
        "HEADERS_TOO_LARGE",
    ),
    "a query of 65 KiB": (
        b"GET /v1/models?" + b"a" * 66_560 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        431,
        "HEADERS_TOO_LARGE",
    ),
    "HTTP/0.9 said": (b"GET / HTTP/0.9\r\n\r\n", 400, "PARSE_ERROR"),
    "HTTP/0.9 meant": (b"GET /v1/models\r\n\r\n", 400, "PARSE_ERROR"),
    "HTTP/1.9": (b"GET / HTTP/1.9\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "HTTP/3.0": (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "HTTP/11": (b"GET / HTTP/11\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "another protocol": (b"GET / HTCPCP/1.0\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "PARSE_ERROR"),
    "a method in lower case": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "an unknown method": (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "METHOD_NOT_SUPPORTED"),
    "no target": (b"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "a target without slash": (b"GET models HTTP/1.1\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "a space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "a raw byte in the target": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "a NUL in the target": (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "PARSE_ERROR"),
    "an injected line in a key": (
        _GET + b"Host: a\r\nAuthorization: Bearer a\r\nGET / HTTP/1.1\r\n\r\n",
        400,
        "PARSE_ERROR",
    ),
    "a TLS handshake": (_HELLO, 400, "PARSE_ERROR"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2p1\r\n", 400, "PARSE_ERROR"),
    "SMTP": (b"EHLO a\r\n", 400, "PARSE_ERROR"),
    "Redis": (b"*1\r\n$4\r\nPING\r\n", 400, "PARSE_ERROR"),
    "a NUL": (b"\0", 400, "PARSE_ERROR"),
}

#: What is sent before our side is closed. A client that is gone cannot be answered: the
#: connection is closed and that is all. The last one never began a request.
UNANSWERED: dict[str, bytes] = {
    "half a head": b"POST /v1/chat/completions HTTP/1.1\r\nHo",
    "a head without its end": _GET + b"Host: a\r\n",
    "half a body": framed(b"Content-Length: 100", body=b'{"model":'),
    "half a chunk": chunked(b'64\r\n{"model":'),
    "nothing": b"",
}


# --- all of them ---------------------------------------------------------------------------------


def _chat_bodies() -> Iterator[tuple[str, Malformed]]:
    for name, body in UNPARSABLE.items():
        yield f"no JSON: {name}", _call(body, "PARSE_ERROR")
    for name, (body, param) in NOT_A_REQUEST.items():
        yield f"no request: {name}", _call(body, "BAD_REQUEST", param)
    for name, (field, text) in NUMBERS.items():
        yield f"number: {name}", _call(_number(field, text), "BAD_REQUEST", field)
    for number, (param, changes) in enumerate(FIELDS):
        yield f"field {number}: {param}", _call(_with(**changes), "BAD_REQUEST", param)
    for number, (path, message) in enumerate(MESSAGES):
        body = _saying(_MESSAGES[0], message)
        yield f"message {number}: {path}", _call(body, "BAD_REQUEST", "messages[1]" + path)
    yield from _nested()


def _headers() -> Iterator[tuple[str, Malformed]]:
    for name, (line, param) in CONTROL.items():
        raw = post(CHAT, GOOD, line)
        yield name, Malformed(raw, 400, "BAD_REQUEST", param, is_call=True)
    for line in [*_TWICE, _AUTH, _JSON]:
        name = line.partition(b":")[0].decode()
        lines = [line] if line in {_AUTH, _JSON} else [line, line]
        raw = post(CHAT, GOOD, *lines)
        yield f"{name} twice", Malformed(raw, 400, "BAD_REQUEST", name.lower())
    raw = request("GET", "/v1/models", None, _AUTH, _AUTH)
    yield "two keys to read with", Malformed(raw, 400, "BAD_REQUEST", "authorization")
    for name, lines in KEYS.items():
        raw = request("POST", CHAT, GOOD, _JSON, *lines)
        yield f"key: {name}", Malformed(raw, 401, "UNAUTHORIZED")
        raw = request("GET", "/v1/models", None, *lines)
        yield f"key to read with: {name}", Malformed(raw, 401, "UNAUTHORIZED")
    for name, line in MEDIA.items():
        for path in (CHAT, "/v1/report"):
            raw = request("POST", path, GOOD, _AUTH, line)
            yield f"{name} at {path}", Malformed(raw, 415, "UNSUPPORTED_MEDIA_TYPE")
    for name in ENCODINGS:
        raw = post(CHAT, GOOD, b"Content-Encoding: " + name.encode())
        yield f"encoding {name}", Malformed(raw, 415, "UNSUPPORTED_MEDIA_TYPE")


def _places() -> Iterator[tuple[str, Malformed]]:
    for path in NOWHERE:
        yield f"GET {path[:60]}", Malformed(get(path), 404, "NOT_FOUND")
    for method, path in NOT_ALLOWED:
        raw = request(method, path, None, _AUTH)
        yield f"{method} {path}", Malformed(raw, 405, "METHOD_NOT_SUPPORTED")
    for name, (query, param) in LISTS.items():
        raw = get(f"/v1/chat/completions?{query}")
        yield f"list: {name}", Malformed(raw, 400, "BAD_REQUEST", param)
    for query in AFTER:
        raw = get(f"/v1/chat/completions?{query.replace(' ', '%20')}")
        yield f"list: {query[:30]}", Malformed(raw, 404, "NOT_FOUND", "after")


def _other_bodies() -> Iterator[tuple[str, Malformed]]:
    for path, bodies in OTHERS.items():
        for name, (body, param) in bodies.items():
            yield f"{path}: {name}", Malformed(post(path, body), 400, "BAD_REQUEST", param)
        for name, body in _NO_JSON.items():
            yield f"{path}: no JSON: {name}", Malformed(post(path, body), 400, "PARSE_ERROR")


def _connections() -> Iterator[tuple[str, Malformed]]:
    for name, (raw, status, code) in FRAMING.items():
        yield f"framing: {name}", Malformed(raw, status, code)


def _all() -> dict[str, Malformed]:
    parts = (_chat_bodies, _headers, _places, _other_bodies, _connections)
    pairs = [pair for part in parts for pair in part()]
    cases = dict(pairs)
    assert len(cases) == len(pairs), "two of them have one name"
    return cases


CASES = _all()
