"""POST /report: what is reported is kept as it is (spec 2.2)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from asking import CHAT, HI, Asker

from standpipe.store import Project, Row, Store

REQUEST = {"model": "gpt-4o", "messages": HI, "metadata": {"prompt_id": "p"}}
RESPONSE = {
    "id": "chatcmpl-reported",
    "object": "chat.completion",
    "created": 1_750_000_000,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


def report(client: Asker, **fields: Any) -> None:
    assert client.post("/report", fields) == {"status": "ok"}


def reported(client: Asker, store: Store, project: Project) -> Row:
    """Return the one record of the project."""
    client.stored()  # waits for the drain
    (row,) = store.logs(project.id)
    return row


def test_whole_report_is_a_call_like_any_other(
    client: Asker, store: Store, project: Project
) -> None:
    report(
        client,
        requestedAt=1_750_000_000_000,
        receivedAt=1_750_000_000_250.5,
        reqPayload=REQUEST,
        respPayload=RESPONSE,
        statusCode=200,
        tags={"$sdk": "python"},
    )
    row = reported(client, store, project)
    assert (row.kind, row.outcome, row.status, row.logged) == ("report", "complete", 200, True)
    assert (row.requested_at, row.received_at) == (1_750_000_000_000_000, 1_750_000_000_250_500)
    assert (row.model, row.completion_id) == ("gpt-4o", "chatcmpl-reported")
    assert row.usage is not None
    assert (row.usage.total_tokens, row.usage_source) == (4, "provider")
    stored = client.get(f"{CHAT}/chatcmpl-reported")
    assert stored["choices"] == RESPONSE["choices"]
    assert stored["metadata"] == {"prompt_id": "p", "$sdk": "python"}
    logged = client.latest()
    assert (logged["reqPayload"], logged["respPayload"]) == (REQUEST, RESPONSE)


@pytest.mark.parametrize(
    ("request_payload", "response_payload"),
    [
        (REQUEST, None),
        (None, RESPONSE),
        (None, None),
        ({"x": "invalid", "metadata": {"a": "b"}}, None),
        ({"model": "gpt-4o"}, {"error": {"message": "no"}}),
        ([1, 2], "text"),
        (1.5, True),
        ("", ""),
        ({"model": 1, "messages": "x", "metadata": "y", "stream": "z"}, {"choices": [None]}),
        ({"model": "a", "messages": [None, 1], "metadata": {"a": 1, "b": None}}, {"id": 1}),
    ],
)
def test_payload_is_kept_as_it_is(
    client: Asker, request_payload: Any, response_payload: Any
) -> None:
    report(client, reqPayload=request_payload, respPayload=response_payload, statusCode=200)
    logged = client.latest()
    assert (logged["reqPayload"], logged["respPayload"]) == (request_payload, response_payload)
    for each in client.stored():  # whatever it is, it does not break the list
        assert client.get(f"{CHAT}/{each['id']}") == each
        assert "data" in client.get(f"{CHAT}/{each['id']}/messages")


@pytest.mark.parametrize(
    "payload", [b'{"temperature":1e999}', b'{"a":%b}' % (b"9" * 400), b'{"a":[-1e99999]}']
)
def test_number_that_nothing_holds_is_kept_as_it_is(
    client: Asker, store: Store, project: Project, payload: bytes
) -> None:
    body = b'{"reqPayload":%b,"respPayload":%b,"statusCode":200}' % (payload, payload)
    assert client.send("/report", body).status == 200
    row = reported(client, store, project)
    assert (row.request, row.response) == (payload.decode(), payload.decode())
    assert client.ask("GET", CHAT).status == 200


def test_empty_report_is_a_call_of_now(client: Asker, store: Store, project: Project) -> None:
    before = time.time_ns() // 1000
    report(client)
    row = reported(client, store, project)
    assert before <= row.requested_at <= row.received_at
    assert (row.status, row.error, row.model, row.metadata) == (None, None, None, {})


def test_tags_become_text_and_join_the_metadata(client: Asker) -> None:
    payload = {**REQUEST, "metadata": {"prompt_id": "p", "both": "request"}}
    tags = {"n": 1, "f": 1.5, "t": True, "none": None, "empty": "", "both": "tag", "a b!": "c"}
    report(client, reqPayload=payload, tags=tags)
    expected = {"prompt_id": "p", "n": "1", "f": "1.5", "t": "true", "both": "tag", "a_b_": "c"}
    logged = client.latest()
    assert logged["metadata"] == expected
    assert logged["tags"] == expected


@pytest.mark.parametrize(
    ("payload", "model"),
    [
        ({"model": "m", "messages": []}, "m"),
        ({"model": "m"}, None),
        ({"model": 1, "messages": []}, None),
        ({"model": "m", "messages": {}}, None),
        ([], None),
    ],
)
def test_model_is_taken_from_what_looks_like_a_chat_request(
    client: Asker, store: Store, project: Project, payload: Any, model: str | None
) -> None:
    report(client, reqPayload=payload)
    assert reported(client, store, project).model == model


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        (None, None, "complete"),
        (200, 200, "complete"),
        (404.0, 404, "refused"),
        (500, 500, "failed"),
        (-1, None, "complete"),
        (1e300, None, "complete"),
    ],
)
def test_status_decides_the_outcome(
    client: Asker,
    store: Store,
    project: Project,
    code: float | None,
    status: int | None,
    outcome: str,
) -> None:
    report(client, statusCode=code, errorMessage="no" if status == 404 else None)
    row = reported(client, store, project)
    assert (row.status, row.outcome) == (status, outcome)
    assert row.error == ("no" if status == 404 else None)


@pytest.mark.parametrize("moment", [-1, 1e300, None])
def test_time_that_is_none_is_now(
    client: Asker, store: Store, project: Project, moment: float | None
) -> None:
    before = time.time_ns() // 1000
    report(client, requestedAt=moment, receivedAt=moment)
    row = reported(client, store, project)
    assert before <= row.requested_at <= row.received_at


def test_field_that_is_not_known_is_let_pass(client: Asker) -> None:
    report(client, reqPayload=REQUEST, somethingNew={"a": 1})
    assert client.latest()["reqPayload"] == REQUEST


def test_report_comes_through_a_doubled_slash(client: Asker) -> None:
    assert client.ask("POST", "//report", {"reqPayload": REQUEST}).json == {"status": "ok"}


def test_check_cache_never_finds_anything(client: Asker) -> None:
    assert client.post("/check-cache", {"reqPayload": REQUEST, "tags": {}}) == {"respPayload": None}


ANTHROPIC_REQUEST = {
    "model": "claude-3-5-sonnet",
    "max_tokens": 100,
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "Hi"}],
    "metadata": {"user_id": "u"},
}
ANTHROPIC_RESPONSE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-3-5-sonnet-20241022",
    "content": [
        {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": 1}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": 2},
}


def report_anthropic(client: Asker, **fields: Any) -> None:
    assert client.post("/report-anthropic", fields) == {"status": "ok"}


def test_report_on_anthropic_is_kept_in_openai_s_form(
    client: Asker, store: Store, project: Project
) -> None:
    report_anthropic(
        client,
        requestedAt=1_750_000_000_000,
        receivedAt=1_750_000_000_250,
        reqPayload=ANTHROPIC_REQUEST,
        respPayload=ANTHROPIC_RESPONSE,
        statusCode=200,
        metadata={"prompt_id": "p", "$sdk": "python"},
        tags={"$sdk": "python", "n": 1},
    )
    row = reported(client, store, project)
    assert (row.kind, row.outcome, row.model) == ("report", "complete", "claude-3-5-sonnet")
    assert (row.completion_id, row.finish_reason) == ("msg_1", "tool_calls")
    assert row.usage is not None
    assert (row.usage.prompt_tokens, row.usage.completion_tokens) == (7, 3)
    assert row.metadata == {"prompt_id": "p", "$sdk": "python", "n": "1"}
    logged = client.latest()
    assert logged["reqPayload"]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    message = logged["respPayload"]["choices"][0]["message"]
    assert message["content"] == "Hello"
    (call,) = message["tool_calls"]
    assert (call["function"]["name"], call["function"]["arguments"]) == ("look", '{"at":1}')
    (stored,) = client.stored()
    assert stored["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.parametrize(
    ("request_payload", "response_payload"),
    [
        (None, None),
        ({"x": "invalid", "metadata": {"a": "b"}}, None),
        ([1, 2], "text"),
        ({"model": "a", "messages": [{"role": "robot"}]}, {"type": "error", "error": {}}),
        ({"messages": 1}, {"content": "x"}),
    ],
)
def test_payload_that_is_not_anthropic_s_is_kept_as_it_is(
    client: Asker, request_payload: Any, response_payload: Any
) -> None:
    report_anthropic(client, reqPayload=request_payload, respPayload=response_payload)
    logged = client.latest()
    assert (logged["reqPayload"], logged["respPayload"]) == (request_payload, response_payload)


def test_report_on_anthropic_without_an_answer_is_taken(
    client: Asker, store: Store, project: Project
) -> None:
    report_anthropic(
        client, reqPayload=ANTHROPIC_REQUEST, respPayload=None, statusCode=429, errorMessage="no"
    )
    row = reported(client, store, project)
    assert (row.status, row.outcome, row.error) == (429, "refused", "no")
    assert row.response in {None, "null"}
