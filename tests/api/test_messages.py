"""POST /messages: Anthropic's form in and out, in front of every kind of provider."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import doubles
import pytest
from asking import CHAT, Asker
from doubles import Double
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from misbehaving import Misbehaving
from serving import PATIENCE, Answer, Standpipe, call, provider, serving

Json = dict[str, Any]

MESSAGES = "/messages"
HI = [{"role": "user", "content": "Hi"}]
#: What only Anthropic's own models can read.
EPHEMERAL = {"type": "ephemeral"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
CONVERSATION = [
    {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": EPHEMERAL}]},
    {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "Yes?"}]},
    {"role": "user", "content": "Go on."},
]


@pytest.fixture(scope="module")
def claude() -> Iterator[Double]:
    with doubles.anthropic() as double:
        yield double


@pytest.fixture(scope="module")
def gemini() -> Iterator[Double]:
    with doubles.gemini() as double:
        yield double


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    upstream: Misbehaving,
    claude: Double,
    gemini: Double,
) -> Iterator[Standpipe]:
    tables = [
        provider("openai", upstream.url, api_key='"sk-upstream"', models='["ok"]'),
        provider("claude", claude.url, api_key='"sk-claude"', dialect='"anthropic"'),
        provider("google", gemini.url, api_key='"sk-google"', dialect='"gemini"'),
    ]
    home = tmp_path_factory.mktemp("messages") / "home"
    with serving(home, "".join(tables), SERVER_LOCAL_TESTING="true") as running:
        yield running


def ask(client: Asker, model: str = "ok", **fields: Any) -> Answer:
    return client.ask(
        "POST", MESSAGES, {"model": model, "max_tokens": 2000, "messages": HI, **fields}
    )


def bare(client: Asker, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
    """Send these headers and this body, and no others."""
    if body is None:
        body = json.dumps({"model": "ok", "max_tokens": 5, "messages": HI}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", client.server.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        sent = {"content-type": "application/json", **headers}
        connection.request("POST", f"/v1{path}", body, sent)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.headers), answer.read())


def events(answer: Answer) -> list[Json]:
    """Return the data of the events, each of which is named by its type."""
    found = []
    for event in answer.body.decode().strip().split("\n\n"):
        name, _, data = event.partition("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def text_of(stream: list[Json]) -> str:
    deltas = [event["delta"] for event in stream if event["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)


@pytest.mark.parametrize("model", ["ok", "claude/opus", "google/flash"])
def test_every_provider_answers_in_anthropic_s_form(client: Asker, model: str) -> None:
    answer = ask(client, model)
    message = answer.json
    assert (answer.status, message["type"], message["model"]) == (200, "message", model)
    assert message["content"][0]["text"].startswith("Hello there")
    assert message["usage"]["output_tokens"] > 0
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    stream = events(ask(client, model, stream=True))
    assert (stream[0]["type"], stream[-1]["type"]) == ("message_start", "message_stop")
    assert stream[0]["message"]["model"] == model
    assert text_of(stream) == message["content"][0]["text"]
    (delta,) = (event for event in stream if event["type"] == "message_delta")
    assert delta["usage"]["output_tokens"] == message["usage"]["output_tokens"]


@pytest.mark.parametrize("stream", [False, True])
def test_call_is_stored_as_the_chat_completion_that_it_is(client: Asker, stream: bool) -> None:
    answer = ask(client, "google/flash", stream=stream, system="Be brief.")
    (stored,) = client.stored()
    assert stored["request_id"] == answer.headers["x-request-id"]
    assert stored["choices"][0]["message"]["content"] == doubles.CONTENT
    logged = client.latest()
    assert logged["reqPayload"]["messages"][0] == {"role": "system", "content": "Be brief."}
    listed = client.get(f"{CHAT}/{stored['request_id']}/messages")
    assert [message["role"] for message in listed["data"]] == ["system", "user"]


def test_what_only_anthropic_reads_reaches_anthropic(client: Asker, claude: Double) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    assert ask(client, "claude/opus", messages=CONVERSATION, thinking=thinking).status == 200
    sent = claude.asked[-1].body
    assert sent["thinking"] == thinking
    assert sent["messages"][0]["content"][0]["cache_control"] == EPHEMERAL
    assert sent["messages"][1]["content"][0] == THOUGHT


def test_what_only_anthropic_reads_is_left_out_for_others(
    client: Asker, upstream: Misbehaving
) -> None:
    assert ask(client, messages=CONVERSATION).status == 200
    sent = upstream.last.json["messages"]
    assert sent[0] == {"role": "user", "content": "Hi"}
    assert b"cache_control" not in upstream.last.body
    assert b"c2ln" not in upstream.last.body


@pytest.mark.parametrize(("name", "form"), [("x-api-key", "{}"), ("authorization", "Bearer {}")])
def test_key_comes_in_either_header(client: Asker, name: str, form: str) -> None:
    assert bare(client, MESSAGES, {name: form.format(client.token)}).status == 200
    assert bare(client, MESSAGES, {name: form.format("nobody's")}).status == 401


def test_key_in_anthropic_s_header_opens_no_other_route(client: Asker) -> None:
    assert bare(client, CHAT, {"x-api-key": client.token}).status == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"a":' * 5000])
def test_body_that_is_no_object_is_refused(client: Asker, body: bytes) -> None:
    answer = bare(client, MESSAGES, {"x-api-key": client.token}, body)
    assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("fields", "status", "kind", "named"),
    [
        ({"model": None}, 400, "invalid_request_error", "model"),
        ({"messages": "Hi"}, 400, "invalid_request_error", "messages"),
        ({"messages": []}, 400, "invalid_request_error", "messages"),
        ({"max_tokens": "x"}, 400, "invalid_request_error", "max"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": {}}]}]},
            400,
            "invalid_request_error",
            "messages[0].content[0].type",
        ),
        ({"tools": [{"type": {}}]}, 400, "invalid_request_error", "tools[0]"),
        ({"model": "openpipe:nothing"}, 404, "not_found_error", "openpipe:nothing"),
        ({"model": "openai:status:429"}, 429, "rate_limit_error", ""),
        ({"model": "openai:not-json"}, 502, "api_error", "JSON"),
        ({"model": "google/flash", "x_unknown": 1}, 400, "invalid_request_error", "x_unknown"),
    ],
)
def test_error_has_anthropic_s_form_and_leaves_a_record(
    client: Asker, fields: Json, status: int, kind: str, named: str
) -> None:
    answer = ask(client, **fields)
    assert answer.status == status
    body = answer.json
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert named in body["error"]["message"]
    assert body["request_id"] == answer.headers["x-request-id"]
    logged = client.latest()
    assert (logged["statusCode"], logged["errorMessage"]) == (status, body["error"]["message"])


def test_best_effort_drops_and_names_what_cannot_be_said(client: Asker) -> None:
    headers = {"standpipe-fidelity": "best-effort"}
    body = {"model": "google/flash", "max_tokens": 5, "messages": HI, "x_unknown": 1}
    answer = call(client.server, "POST", MESSAGES, body, key=client.token, headers=headers)
    assert answer.status == 200
    assert answer.headers["standpipe-fidelity"] == "x_unknown=dropped"


def test_stream_that_breaks_ends_in_an_error_event(client: Asker) -> None:
    stream = events(ask(client, "openai:cut", stream=True))
    assert stream[0]["type"] == "message_start"
    assert (stream[-1]["type"], stream[-1]["error"]["type"]) == ("error", "api_error")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "content", "role", "source", "id", "input", "name", "tool_use_id"]
            ),
            inner
            | st.sampled_from(["text", "image", "tool_use", "tool_result", "thinking", "user"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)
_fields = st.sampled_from(
    [
        *("messages", "system", "tools", "tool_choice", "thinking", "metadata", "output_config"),
        *("stop_sequences", "service_tier", "stream", "mcp_servers"),
    ]
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(junk=st.dictionaries(_fields, _json, min_size=1, max_size=3))
def test_junk_is_never_our_fault(client: Asker, junk: Json) -> None:
    for model in ("ok", "claude/opus"):
        assert ask(client, model, **junk).status in {200, 400}
