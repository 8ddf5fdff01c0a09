"""Requests that are wrong in their heads, or in a body that is no chat request's."""

from __future__ import annotations

import json
from collections.abc import Iterator

from laws.writing import AUTH, CHAT, GOOD, JSON, Malformed, deep, get, post, request
from serving import KEY

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
    "op-tags deep": (b"op-tags: " + deep(20_000, b"[", b"]"), None),
    "op-tags a huge number": (b'op-tags: {"a":1e999}', None),
    "op-tags NaN": (b'op-tags: {"a":NaN}', None),
    "op-tags trailing data": (b"op-tags: {} {}", None),
    "op-criteria an object": (b'op-criteria: {"a": 1}', "op-criteria"),
    "op-criteria of numbers": (b"op-criteria: [1]", "op-criteria"),
    "op-criteria deep": (b"op-criteria: " + deep(20_000, b"[", b"]"), "op-criteria"),
    "op-criteria many": (
        b"op-criteria: [" + b",".join(b'"%d"' % n for n in range(17)) + b"]",
        "op-criteria",
    ),
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
    "the key and more": [AUTH + b"x"],
    "the key but its end": [AUTH[:-1]],
    "two keys": [AUTH + b", Bearer x"],
    "the key in upper case": [b"Authorization: Bearer " + KEY.upper().encode()],
    "SQL": [b"Authorization: Bearer ' OR 1=1 --"],
    "a wildcard": [b"Authorization: Bearer %"],
    "a star": [b"Authorization: Bearer *"],
    "null": [b"Authorization: Bearer null"],
    "unicode": ["Authorization: Bearer ключ".encode()],
    "Latin-1": [b"Authorization: Bearer \xe9\xff"],
    "60 KiB": [b"Authorization: Bearer " + b"k" * 60_000],
    "a percent-encoded line break": [AUTH + b"%0d%0aX: 1"],
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
    "/v1/audio/speech",
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
    "a NUL": ("after=%00", "after"),
    "unknown parameter": ("page=2", "page"),
    "parameter in another case": ("Limit=1", "Limit"),
}
#: Answered with 404: there is no such completion to go on from.
AFTER = ("after=unknown", "after=", "after=%ff", "after=' OR 1=1", "after=" + _LONG)

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
        "deep payload": (b'{"reqPayload":%b}' % deep(50_000, b"[", b"]"), None),
        "deep answer": (b'{"respPayload":%b}' % deep(50_000, b'{"a":', b"}"), None),
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
        "deep": (b'{"metadata":%b}' % deep(50_000, b"[", b"]"), None),
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


# --- all of them ---


def cases() -> Iterator[tuple[str, Malformed]]:
    yield from _headers()
    yield from _places()
    yield from _other_bodies()


def _headers() -> Iterator[tuple[str, Malformed]]:
    for name, (line, param) in CONTROL.items():
        raw = post(CHAT, GOOD, line)
        yield name, Malformed(raw, 400, "BAD_REQUEST", param, is_call=True)
    for line in [*_TWICE, AUTH, JSON]:
        name = line.partition(b":")[0].decode()
        lines = [line] if line in {AUTH, JSON} else [line, line]
        raw = post(CHAT, GOOD, *lines)
        yield f"{name} twice", Malformed(raw, 400, "BAD_REQUEST", name.lower())
    raw = request("GET", "/v1/models", None, AUTH, AUTH)
    yield "two keys to read with", Malformed(raw, 400, "BAD_REQUEST", "authorization")
    for name, lines in KEYS.items():
        raw = request("POST", CHAT, GOOD, JSON, *lines)
        yield f"key: {name}", Malformed(raw, 401, "UNAUTHORIZED")
        raw = request("GET", "/v1/models", None, *lines)
        yield f"key to read with: {name}", Malformed(raw, 401, "UNAUTHORIZED")
    for name, line in MEDIA.items():
        for path in (CHAT, "/v1/report"):
            raw = request("POST", path, GOOD, AUTH, line)
            yield f"{name} at {path}", Malformed(raw, 415, "UNSUPPORTED_MEDIA_TYPE")
    for name in ENCODINGS:
        raw = post(CHAT, GOOD, b"Content-Encoding: " + name.encode())
        yield f"encoding {name}", Malformed(raw, 415, "UNSUPPORTED_MEDIA_TYPE")


def _places() -> Iterator[tuple[str, Malformed]]:
    for path in NOWHERE:
        yield f"GET {path[:60]}", Malformed(get(path), 404, "NOT_FOUND")
    for method, path in NOT_ALLOWED:
        raw = request(method, path, None, AUTH)
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
