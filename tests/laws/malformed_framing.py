"""Requests that are wrong as HTTP, and what is no HTTP at all."""

from __future__ import annotations

from collections.abc import Iterator

from laws.writing import AUTH, BODY_LIMIT, CHAT, JSON, Malformed, chunked, framed, post, request

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
        request("POST", "/v1/report", None, AUTH, JSON, b"Content-Length: 9"),
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


def cases() -> Iterator[tuple[str, Malformed]]:
    for name, (raw, status, code) in FRAMING.items():
        yield f"framing: {name}", Malformed(raw, status, code)
