"""Law: bad input is the caller's fault. A 4xx in the right shape, no hang, nothing lost or sent on.

All of it goes to one real server, once; the tests look at what came of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws.malformed import CASES, UNANSWERED, Malformed
from laws.writing import CHAT
from misbehaving import Misbehaving
from raw_http import Answer, parse
from serving import Standpipe

from standpipe.store import Store
from standpipe.store.rows import Row

#: A guard against hangs, in seconds.
DEADLINE = 30.0
#: Connections at a time.
AT_ONCE = 8


@dataclass
class Aftermath:
    """What came of all the bad requests."""

    answers: dict[str, bytes]
    unanswered: dict[str, bytes]
    #: Requests that the provider got in the meantime.
    sent_on: int
    #: A good call, afterwards.
    good: serving.Answer
    rows: dict[str, Row]
    log: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Misbehaving) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("bad") / "home"
    provider = serving.provider("openai", upstream.url, api_key='"sk-upstream"')
    timeouts = {"SERVER_HEADER_TIMEOUT": "1", "SERVER_BODY_TIMEOUT": "1"}
    with serving.serving(home, provider, **timeouts) as running:
        yield running


@pytest.fixture(scope="module")
def aftermath(server: Standpipe, upstream: Misbehaving) -> Aftermath:
    answers = asyncio.run(send_all(server.port, {n: c.raw for n, c in CASES.items()}))
    unanswered = asyncio.run(send_all(server.port, UNANSWERED, closing=True))
    sent_on = upstream.requests_seen
    body = {"model": "ok", "messages": [{"role": "user", "content": "Hi"}]}
    good = serving.call(server, "POST", "/chat/completions", body)
    return Aftermath(answers, unanswered, sent_on, good, kept_rows(server), server.log.read_text())


def kept_rows(server: Standpipe) -> dict[str, Row]:
    """Return every record that there is now, by id."""
    assert serving.call(server, "GET", "/chat/completions").status == 200  # waits for the drain
    store = Store.open(f"sqlite:///{server.home / 'standpipe.db'}")
    rows = {row.id: row for row in store.each_log(None)}
    store.close()
    return rows


async def send_all(port: int, raw: dict[str, bytes], *, closing: bool = False) -> dict[str, bytes]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> tuple[str, bytes]:
        async with gate:
            return name, await asyncio.wait_for(send(port, raw[name], closing=closing), DEADLINE)

    return dict(await asyncio.gather(*map(one, raw)))


async def send(port: int, raw: bytes, *, closing: bool = False) -> bytes:
    """Send it and return what comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.create_task(reader.read())
    with contextlib.suppress(ConnectionError):  # refused before it was sent to its end
        writer.write(raw)
        await writer.drain()
        if closing:
            writer.write_eof()
    try:
        return await answer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def the_answer(raw: bytes) -> Answer:
    (answer,) = parse(raw)
    return answer


def test_there_are_enough_of_them() -> None:
    assert len({case.raw for case in CASES.values()}) == len(CASES) >= 200


@pytest.mark.parametrize("name", CASES)
def test_bad_request_is_answered_4xx(name: str, aftermath: Aftermath) -> None:
    case, answer = CASES[name], the_answer(aftermath.answers[name])
    assert (answer.status, answer.json["code"]) == (case.status, case.code), answer.body
    assert_shape(answer, case)


def assert_shape(answer: Answer, case: Malformed) -> None:
    body = answer.json
    assert body.keys() - {"issues"} == {"message", "code", "error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert body["message"]
    assert body["message"] == body["error"]["message"]
    assert len(answer.body) < 2 * len(case.raw) + 4_000  # an error is no amplifier
    assert body["error"]["type"] == "invalid_request_error"
    assert answer.headers["content-type"] == "application/json"
    assert uuid.UUID(answer.headers["x-request-id"]).version == 7
    if case.param is not None:
        assert body["error"]["param"] == case.param
    if "issues" in body:
        assert all(issue["message"] for issue in body["issues"])
        assert body["message"] == f"Input validation failed: {body['issues'][0]['message']}"


@pytest.mark.parametrize("name", UNANSWERED)
def test_client_that_left_is_closed_in_silence(name: str, aftermath: Aftermath) -> None:
    assert aftermath.unanswered[name] == b""


def test_the_provider_gets_none_of_it(aftermath: Aftermath) -> None:
    assert aftermath.sent_on == 0


def test_good_call_works_afterwards(aftermath: Aftermath) -> None:
    assert aftermath.good.status == 200


def test_each_bad_call_left_one_record_and_nothing_else_did(aftermath: Aftermath) -> None:
    calls = {
        the_answer(aftermath.answers[name]).headers["x-request-id"]: name
        for name, case in CASES.items()
        if case.is_call
    }
    good = aftermath.good.headers["x-request-id"]
    assert aftermath.rows.keys() == {*calls, good}
    for request_id, name in calls.items():
        row = aftermath.rows[request_id]
        assert (row.outcome, row.status) == ("refused", CASES[name].status)
        assert row.error == the_answer(aftermath.answers[name]).json["message"]


def test_nothing_of_it_is_a_bug_in_the_log(aftermath: Aftermath) -> None:
    assert "Traceback" not in aftermath.log
    assert " bug" not in aftermath.log


def test_no_key_is_in_the_log(aftermath: Aftermath) -> None:
    assert serving.KEY not in aftermath.log


# --- what nobody thought of ----------------------------------------------------------------------

#: A request with a bit of everything, to a model that there is not: 404 where it is valid.
VALID: dict[str, Any] = {
    "model": "openpipe:nothing",
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}], "name": "a"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "Fine"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}},
    "stream": True,
    "stream_options": {"include_usage": True},
    "metadata": {"a": "b"},
    "stop": ["x"],
    "n": 2,
    "temperature": 0.5,
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"1": -1},
}
HEADERS = ("op-log-request", "op-tags", "op-cache", "op-criteria", "user-agent", "traceparent")

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["", "user", "function", 10**30, -1, "\x00", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
values = st.binary(max_size=40).map(lambda raw: raw.translate(None, b"\r\n\0"))
fuzzing = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container in the value with each of its keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


@pytest.fixture(scope="module")
def connection(server: Standpipe) -> Iterator[http.client.HTTPConnection]:
    opened = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    yield opened
    opened.close()


def status_of(
    connection: http.client.HTTPConnection, body: bytes, headers: dict[str, Any] | None = None
) -> int:
    sent = {"Authorization": f"Bearer {serving.KEY}", "Content-Type": "application/json"}
    connection.request("POST", CHAT, body, {**sent, **(headers or {})})
    answer = connection.getresponse()
    assert answer.read()
    return answer.status


@fuzzing
@given(st.data())
def test_changed_request_is_never_our_fault(
    connection: http.client.HTTPConnection, data: st.DataObject
) -> None:
    body = json.loads(json.dumps(VALID))
    for _ in range(data.draw(st.integers(1, 3))):
        where, key = data.draw(st.sampled_from(list(places(body))))
        if data.draw(st.booleans()):
            where[key] = data.draw(junk)
        else:
            del where[key]
        if not body:
            break
    body["model"] = VALID["model"]
    assert 400 <= status_of(connection, json.dumps(body).encode()) < 500


@fuzzing
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_request_with_flipped_bytes_is_never_our_fault(
    connection: http.client.HTTPConnection, seed: int, flips: int
) -> None:
    chance, body = random.Random(seed), bytearray(json.dumps(VALID).encode())
    for _ in range(flips):
        # Beyond the model's name, so that no provider is asked.
        body[chance.randrange(32, len(body))] = chance.randrange(256)
    assert 400 <= status_of(connection, bytes(body)) < 500


@fuzzing
@given(st.dictionaries(st.sampled_from(HEADERS), values, max_size=3))
def test_any_control_header_is_never_our_fault(
    connection: http.client.HTTPConnection, headers: dict[str, bytes]
) -> None:
    assert 400 <= status_of(connection, json.dumps(VALID).encode(), headers) < 500


@fuzzing
@given(
    st.lists(st.tuples(st.sampled_from(["limit", "order", "after", "x", ""]), values), max_size=3)
)
def test_any_query_is_never_our_fault(
    connection: http.client.HTTPConnection, pairs: list[tuple[str, bytes]]
) -> None:
    query = "&".join(f"{name}={value.hex('%')}" for name, value in pairs)
    connection.request(
        "GET", f"/v1/chat/completions?{query}", headers={"Authorization": f"Bearer {serving.KEY}"}
    )
    answer = connection.getresponse()
    answer.read()
    assert answer.status < 500


def test_nothing_of_all_this_is_a_bug_in_the_log(server: Standpipe) -> None:
    assert "Traceback" not in server.log.read_text()
